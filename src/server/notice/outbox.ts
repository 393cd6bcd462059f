/** What people should know about outgoing mail: what rests, and what has waited for hours. Pure but for the questions to the store. */
import { shellWord } from '../../base/shell.ts';
import { listRests, REST_PREFIX, type Rest, restName, restText } from '../../outbox/rest.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import type { Store } from '../../store/types.ts';
import type { NoticeBody } from './notice-body.ts';

export interface OutboxTrouble {
  readonly rests: readonly Rest[];
  /** Reports that failed: they have no sender who could be told (RFC 5321 §4.5.5). */
  readonly untold: readonly OutboxMessage[];
  /** Mailboxes whose mail was tried and has waited for long. */
  readonly late: readonly { readonly mailbox: string; readonly count: number; readonly since: number }[];
}

/** What passes by itself is told when it has not for so long. */
const PATIENCE_MS = 3_600_000;
/** A message that was put off again and again for so long. */
const LATE_MS = 4 * 3_600_000;

/** A message fails within two days and five of waiting, unless its deadline is another. */
const UNTOLD_SINCE_MS = 8 * 86_400_000;
const TOLD_MS = 86_400_000;
/** Many that fail together fail for one reason. */
const MAX_UNTOLD = 20;

/** @throws store.unavailable */
export async function surveyOutbox({ outbox }: Pick<Store, 'outbox'>, now: number): Promise<OutboxTrouble> {
  const reports = { states: ['failed'], envelopeFrom: '', since: now - UNTOLD_SINCE_MS } as const;
  const failed = await outbox.list(reports, { limit: MAX_UNTOLD });
  return {
    rests: await listRests(outbox),
    late: await outbox.late({ since: now - LATE_MS }),
    untold: failed.filter(({ finishedAt = 0 }) => now - finishedAt < TOLD_MS),
  };
}

/** By cause, as all notices. */
export function outboxNotices(
  { late, rests, untold }: OutboxTrouble,
  now: number,
): readonly (readonly [string, NoticeBody])[] {
  const waits = new Set(late.map(({ mailbox }) => mailbox));
  const told = rests.filter((rest) => isNews(rest, now, waits));
  const named = new Set(told.map(({ mailbox }) => mailbox));
  return [
    ...told.map((rest) => [`outbox/${restName(rest).slice(REST_PREFIX.length)}`, paused(rest)] as const),
    ...late
      .filter(({ mailbox }) => !named.has(mailbox))
      .map((one) => [`outbox-late/${one.mailbox}`, waiting(one)] as const),
    ...untold.map((one) => [`outbox-failed/${one.id}`, failed(one)] as const),
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

function failed({ id, mailbox, recipients, state }: OutboxMessage): NoticeBody {
  const [first] = recipients;
  return {
    type: 'outbox.failed',
    summary: `a report of ${mailbox} to ${first?.address ?? 'nobody'} could not be delivered; a report has no sender who could be told`,
    reason: state.type === 'failed' ? state.reason : 'it was refused',
    remedy: `see the whole story: postern outbox show ${shellWord(id)}; send it again: postern outbox retry ${shellWord(id)}`,
    mailboxes: [mailbox],
    mailboxCount: 1,
    ...(state.type === 'failed' ? { code: state.code } : {}),
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
