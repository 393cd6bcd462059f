/** What an attempt without a known end leaves behind: its recipients may have the message, whatever is said of later attempts. */
import type { MessageChange, OutboxMessage, Recipient } from '../../store/types-outbox.ts';
import type { Outcome, Route } from './types.ts';

/** Where what an attempt handed over would be kept among the sent mail: always, only for some of its ways, or never. */
export type Copies = 'always' | 'sometimes' | 'never';

const NO_COPY = ':no-copy';
/** Of a server's words. */
const MAX_KEPT = 300;

/** The ways of an attempt as they are written down with its claim: whoever takes it over judges it by these, not by today's. */
export function waysText(routes: readonly Pick<Route, 'name' | 'leavesNoCopy'>[]): string {
  return routes.map(({ leavesNoCopy, name }) => (leavesNoCopy === true ? `${name}${NO_COPY}` : name)).join(' ');
}

/** Where nothing was written down (an older version's claim) a missing copy proves nothing. */
export function copiesOf(ways: string | undefined): Copies {
  if (ways === undefined || ways === '') return 'sometimes';
  const all = ways.split(' ');
  const without = all.filter((way) => way.endsWith(NO_COPY)).length;
  return without === 0 ? 'always' : without === all.length ? 'never' : 'sometimes';
}

/** The ways an interrupted attempt may have taken, for its story; `none` where an older version did not write them down. */
export function takenBy(ways: string | undefined): string {
  if (ways === undefined || ways === '') return 'none';
  return ways
    .split(' ')
    .map((way) => (way.endsWith(NO_COPY) ? way.slice(0, -NO_COPY.length) : way))
    .join(' or ');
}

/** Whether nobody knows how the attempt ended; also where no copy was found, as one may appear later than anybody looks. */
export function isInDoubt(outcome: Outcome): boolean {
  return outcome.type === 'unknown' || isProbablyNotSent(outcome);
}

/** It was looked for among the sent messages, and is not there yet. */
export function isProbablyNotSent(outcome: Outcome): boolean {
  return outcome.type === 'later' && outcome.code === 'outbox.not-sent';
}

/** @param named for whom it would have been taken */
export function withDoubt(
  recipients: readonly Recipient[],
  outcome: Outcome,
  named: readonly Recipient[],
): readonly Recipient[] {
  if (!isInDoubt(outcome)) return recipients;
  const mayHaveArrived = outcome.reply.text.slice(0, MAX_KEPT);
  const addresses = new Set(named.map(({ address }) => address));
  return recipients.map((one) => (addresses.has(one.address) ? { ...one, mayHaveArrived } : one));
}

/** Of a message that has failed: what is said of it where some recipients may have it all the same. */
export function failure(
  code: string,
  reason: string,
  recipients: readonly Recipient[],
): { readonly code: string; readonly reason: string; readonly mayHaveArrived: readonly string[] } {
  const doubtful = recipients.filter(
    ({ mayHaveArrived, state }) => state === 'refused' && mayHaveArrived !== undefined,
  );
  const mayHaveArrived = doubtful.map(({ address }) => address);
  if (doubtful.length === 0) return { code, reason, mayHaveArrived };
  return {
    code: 'outbox.may-have-arrived',
    reason: `it may have been delivered: the answer to an attempt was lost (${doubtful[0]!.mayHaveArrived}); ${reason}`,
    mayHaveArrived,
  };
}

/** For an event that tells of refusals: those who may have the message all the same. */
export function mayHaveIt(
  recipients: readonly Recipient[],
  refused: readonly { readonly address: string }[],
): { readonly mayHaveArrived?: readonly string[] } {
  const doubtful = refused.flatMap(({ address }) =>
    recipients.some((one) => one.address === address && one.mayHaveArrived !== undefined) ? [address] : [],
  );
  return doubtful.length === 0 ? {} : { mayHaveArrived: doubtful };
}

/** Who was named in an attempt is of no interest once its end is known. */
export function withoutAttempts(message: OutboxMessage, change: MessageChange): MessageChange {
  const recipients = change.recipients ?? message.recipients;
  if (recipients.every(({ attempt }) => attempt === undefined)) return change;
  return { ...change, recipients: recipients.map(withoutAttempt) };
}

function withoutAttempt(one: Recipient): Recipient {
  const { attempt, ...rest } = one;
  return attempt === undefined ? one : rest;
}
