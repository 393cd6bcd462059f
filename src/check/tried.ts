/** What a check or a test found of each protocol is remembered with the mailbox: `postern mailbox list` shows it. */
import { asError } from '../base/error.ts';
import type { Protocol } from '../store/protocols.ts';
import type { Mailbox, Tried, Tries } from '../store/types.ts';
import { operatorWarning } from './step.ts';
import type { CheckDeps, Finding } from './types.ts';

/** Passes the findings on as they come. What a full or read-only disk keeps from being remembered is one more finding. */
export async function* remembered(
  { store, clock }: Pick<CheckDeps, 'store' | 'clock'>,
  { address, catchAll, protocols }: Mailbox,
  steps: AsyncIterable<Finding>,
): AsyncGenerator<Finding, void, void> {
  const findings: Finding[] = [];
  for await (const finding of steps) {
    findings.push(finding);
    yield finding;
  }
  const tries = triesOf(findings, protocols, clock.now());
  // An address that `*@domain` opens has no row of its own.
  if (catchAll !== undefined || Object.keys(tries).length === 0) return;
  const failure = await store.mailboxes.remember(address, tries).then(() => undefined, asError);
  if (failure === undefined) return;
  const says = `what was found is not remembered for the list of mailboxes: ${failure.message}`;
  const warning = operatorWarning('check.not-remembered', says, { do: failure.hint });
  const { code, kind } = failure;
  yield {
    step: 'remembered',
    title: 'mailbox list',
    outcome: 'warning',
    says,
    diagnosis: { sources: [], ...warning },
    error: { code, kind },
    facts: {},
    milliseconds: 0,
  };
}

/** Steps whose failure is that of every protocol. */
const BEFORE = new Set(['grant', 'token', 'permissions']);

/** A protocol whose sign-in was not reached for any fault of its own is left out. */
export function triesOf(findings: readonly Finding[], protocols: readonly Protocol[], at: number): Tries {
  const tried = (protocol: Protocol): Tried | undefined => {
    const own = findings.filter(({ step }) => BEFORE.has(step) || step.startsWith(`${protocol}.`));
    const failed = own.find(({ outcome }) => outcome === 'failed');
    // Closed here on purpose, which the list says anyway: nothing was tried.
    if (failed?.error?.code === 'oauth.suspended') return undefined;
    if (failed) return { at, failure: { code: failed.error!.code, reason: failed.diagnosis?.cause ?? failed.says } };
    return own.some(({ step }) => step === `${protocol}.sign-in`) ? { at } : undefined;
  };
  return Object.fromEntries(
    protocols.flatMap((protocol) => {
      const one = tried(protocol);
      return one === undefined ? [] : [[protocol, one]];
    }),
  );
}
