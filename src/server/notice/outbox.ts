/** What people should be told of outgoing mail: what rests, and what has waited for hours. Pure but for the questions to the store. */
import { shellWord } from '../../base/shell.ts';
import { listRests, REST_PREFIX, type Rest, restName, restText } from '../../outbox/rest.ts';
import type { Store } from '../../store/types.ts';
import type { NoticeBody } from './causes.ts';

export interface OutboxTrouble {
  readonly rests: readonly Rest[];
  /** Mailboxes whose mail was tried and has waited for long. */
  readonly late: readonly { readonly mailbox: string; readonly count: number; readonly since: number }[];
}

/** What passes by itself is told when it has not for so long. */
const PATIENCE_MS = 3_600_000;
/** A message that was put off again and again for so long. */
const LATE_MS = 4 * 3_600_000;

/** @throws store.unavailable */
export async function surveyOutbox({ outbox }: Pick<Store, 'outbox'>, now: number): Promise<OutboxTrouble> {
  return { rests: await listRests(outbox), late: await outbox.late({ since: now - LATE_MS }) };
}

/** By cause, as all notices. */
export function outboxNotices({ late, rests }: OutboxTrouble, now: number): readonly (readonly [string, NoticeBody])[] {
  const waits = new Set(late.map(({ mailbox }) => mailbox));
  const told = rests.filter((rest) => isNews(rest, now, waits));
  const named = new Set(told.map(({ mailbox }) => mailbox));
  return [
    ...told.map((rest) => [`outbox/${restName(rest).slice(REST_PREFIX.length)}`, paused(rest)] as const),
    ...late
      .filter(({ mailbox }) => !named.has(mailbox))
      .map((one) => [`outbox-late/${one.mailbox}`, waiting(one)] as const),
  ];
}

function isNews(
  { closed, mailbox, passesMs, passesWhen, row, since }: Rest,
  now: number,
  waits: ReadonlySet<string>,
): boolean {
  // Mail may leave another way; and a consent that ended has a notice of its own.
  if (closed) return waits.has(mailbox);
  const isAccount = /^(?:smtp|graph)\./.test(row) && (passesWhen === undefined || passesMs !== undefined);
  return isAccount || now - since >= PATIENCE_MS;
}

function paused(rest: Rest): NoticeBody {
  const { cause, mailbox, passesMs, remedy, row, since } = rest;
  return {
    type: 'outbox.paused',
    summary: restText(rest),
    reason: cause,
    remedy: remedy === '' ? 'postern check says more' : remedy,
    ...(passesMs === undefined ? {} : { deadline: new Date(since + passesMs).toISOString() }),
    mailboxes: [mailbox],
    mailboxCount: 1,
    code: row,
  };
}

function waiting({ count, mailbox, since }: OutboxTrouble['late'][number]): NoticeBody {
  return {
    type: 'outbox.waiting',
    summary: `${count === 1 ? 'a message' : `${count} messages`} of ${mailbox} could not be sent since ${new Date(since).toISOString()}`,
    reason: 'every attempt was put off',
    remedy: `see why: postern outbox list --mailbox ${shellWord(mailbox)}`,
    mailboxes: [mailbox],
    mailboxCount: 1,
  };
}
