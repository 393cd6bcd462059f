/** `postern mailbox test`: the sign-in part of a check on each protocol, in plain words. */
import { shellWord } from '../base/shell.ts';
import type { Finding } from '../check/types.ts';
import { stepText } from '../oauth/catalogue/diagnose.ts';
import type { Instance } from '../server/instance.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Mailbox } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';

export type ProtocolTest =
  | {
      readonly protocol: Protocol;
      readonly outcome: 'works';
      readonly server: string;
      readonly mechanism: string;
      readonly milliseconds: number;
    }
  | { readonly protocol: Protocol; readonly outcome: 'not-consented' }
  | { readonly protocol: Protocol; readonly outcome: 'fails'; readonly failed: Finding };

/** Never throws: a failure is a result. */
export async function testProtocol(instance: Instance, mailbox: Mailbox, protocol: Protocol): Promise<ProtocolTest> {
  if (!mailbox.protocols.includes(protocol)) return { protocol, outcome: 'not-consented' };
  // Loaded here and not above: `serve` reads this file too and never needs it.
  const { checkSignIn } = await import('../check/mailbox.ts');
  const findings = await Array.fromAsync(checkSignIn(instance, mailbox, protocol));
  const failed = findings.find(({ outcome }) => outcome === 'failed');
  if (failed) return { protocol, outcome: 'fails', failed };
  const { host, port } = factsOf(findings, `${protocol}.tcp`);
  const { mechanism } = factsOf(findings, `${protocol}.sign-in`);
  return {
    protocol,
    outcome: 'works',
    server: `${String(host)}:${String(port)}`,
    mechanism: String(mechanism),
    milliseconds: findings.reduce((sum, one) => sum + one.milliseconds, 0),
  };
}

function factsOf(findings: readonly Finding[], step: string): Finding['facts'] {
  return findings.find((one) => one.step === step)?.facts ?? {};
}

const NAMES: Readonly<Record<Protocol, string>> = { imap: 'IMAP', pop3: 'POP3', smtp: 'SMTP' };

/** A line or a few for a person. */
export function describeTest(test: ProtocolTest, mailbox: Mailbox): readonly string[] {
  const name = NAMES[test.protocol];
  switch (test.outcome) {
    case 'works':
      return [`${name}  works (${test.server}, ${test.mechanism}, ${test.milliseconds} ms)`];
    case 'not-consented':
      return [
        `${name}  not set up: nobody consented to it`,
        `      next: postern mailbox reconsent ${shellWord(rowOf(mailbox))} --protocols ${[...mailbox.protocols, test.protocol].join(',')}`,
      ];
    case 'fails': {
      const { says, diagnosis } = test.failed;
      return [
        `${name}  does not work: ${says}`,
        ...(diagnosis ? [`      because ${diagnosis.cause}`] : []),
        ...(diagnosis?.remedy ?? []).map((step) => `      next: ${stepText(step)}`),
      ];
    }
  }
}
