/** Signing in on each protocol as the gateway would, and saying in plain words what came of it. */
import { asError, type PosternError } from '../base/error.ts';
import type { MailEndpoint } from '../oauth/types.ts';
import * as imap from '../protocol/imap/client.ts';
import * as pop3 from '../protocol/pop3/client.ts';
import * as smtp from '../protocol/smtp/client.ts';
import { connect, secureClient } from '../protocol/tls/connect.ts';
import type { Instance } from '../server/instance.ts';
import type { Mailbox, Protocol } from '../store/types.ts';

export type ProtocolTest =
  | {
      readonly protocol: Protocol;
      readonly outcome: 'works';
      readonly server: string;
      readonly mechanism: string;
      readonly milliseconds: number;
    }
  | { readonly protocol: Protocol; readonly outcome: 'not-consented' }
  | {
      readonly protocol: Protocol;
      readonly outcome: 'fails';
      readonly server: string | undefined;
      readonly error: PosternError;
    };

const clients = { imap, pop3, smtp };
/** A person waits for this; Exchange may take half a minute. */
const TIMEOUT_MS = 45_000;
const QUIT: Readonly<Record<Protocol, string>> = { imap: 'z LOGOUT\r\n', pop3: 'QUIT\r\n', smtp: 'QUIT\r\n' };

/** Never throws: a failure is a result. */
export async function testProtocol(instance: Instance, mailbox: Mailbox, protocol: Protocol): Promise<ProtocolTest> {
  if (!mailbox.protocols.includes(protocol)) return { protocol, outcome: 'not-consented' };
  const started = instance.clock.now();
  const stop = AbortSignal.timeout(TIMEOUT_MS);
  let server: string | undefined;
  try {
    const endpoint = await instance.tokens.endpoint(mailbox, protocol);
    server = `${endpoint.host}:${endpoint.port}`;
    const token = await instance.tokens.accessToken(mailbox, protocol, stop);
    const mechanism = await signIn(endpoint, token.value, stop);
    return { protocol, outcome: 'works', server, mechanism, milliseconds: instance.clock.now() - started };
  } catch (error) {
    return { protocol, outcome: 'fails', server, error: asError(error) };
  }
}

async function signIn(
  endpoint: MailEndpoint,
  token: Parameters<typeof imap.signIn>[1]['token'],
  signal: AbortSignal,
): Promise<string> {
  const { host, port, tls, trust, user, mechanisms, protocol } = endpoint;
  const conn = await connect({ host, port, tls, trust, timeoutMs: TIMEOUT_MS, signal });
  try {
    const { mechanism } = await clients[protocol].signIn(conn, {
      tls,
      secure: (plain) => secureClient(plain, { host, trust, timeoutMs: TIMEOUT_MS }),
      user,
      token,
      host,
      port,
      mechanisms,
      signal,
    });
    conn.end(QUIT[protocol]);
    return mechanism;
  } catch (error) {
    conn.destroy();
    throw error;
  }
}

const NAMES: Readonly<Record<Protocol, string>> = { imap: 'IMAP', pop3: 'POP3', smtp: 'SMTP' };

/** One or two lines for a person. */
export function describeTest(test: ProtocolTest, address: string): readonly string[] {
  const name = NAMES[test.protocol];
  switch (test.outcome) {
    case 'works':
      return [`${name}  works (${test.server}, ${test.mechanism}, ${test.milliseconds} ms)`];
    case 'not-consented':
      return [
        `${name}  not set up: nobody consented to it`,
        `      next: postern mailbox reconsent ${address} --protocols imap,pop3,smtp`,
      ];
    case 'fails':
      return [`${name}  does not work: ${test.error.message}`, `      next: ${remedy(test, address)}`];
  }
}

/** What a refusal most often means, by the protocol; the provider's words alone do not help. */
function remedy(test: Extract<ProtocolTest, { outcome: 'fails' }>, address: string): string {
  const { error, protocol } = test;
  const reply = typeof error.detail['reply'] === 'string' ? error.detail['reply'] : '';
  if (error.code === 'sasl.refused' && protocol === 'smtp' && /SmtpClientAuthentication|5\.7\.139/i.test(reply)) {
    return `switch SMTP AUTH on for the mailbox: Set-CASMailbox ${address} -SmtpClientAuthenticationDisabled $false`;
  }
  if (error.code === 'sasl.refused') {
    return `the token is good but ${test.server} does not let this mailbox in: check that ${NAMES[protocol]} is switched on for it (Get-CASMailbox ${address}) and, for shared or app-only access, that FullAccess was granted (Add-MailboxPermission)`;
  }
  return error.hint;
}
