/** Whose refusal it is when outgoing mail is not taken: a lookup in the catalogue. */
import { describeRow, type Facts, findRow, remedyText } from './diagnose.ts';
import type { Evidence } from './evidence.ts';
import type { Whose } from './schema.ts';

export interface Refusal {
  readonly whose: Whose;
  /** Row of the catalogue. */
  readonly row: string;
  /** One plain sentence without a full stop. */
  readonly cause: string;
  readonly remedy: string;
  /** Absent: it does not pass by itself. */
  readonly passesWhen?: string;
  /** Milliseconds until the first try after it. */
  readonly againMs: number;
  /** Milliseconds after which time alone has cleared it. */
  readonly passesMs?: number;
}

/** What passes is tried again soon, what somebody has to change now and then. */
const PASSING_MS = 60_000;
const LASTING_MS = 15 * 60_000;

/**
 * What a reply of a mail server or an answer of Microsoft Graph refuses; undefined when the catalogue does not know it. Our own
 * codes are not looked at.
 * @param to `recipient`: the reply to RCPT, or what Graph says of one recipient
 */
export function refusalOf(
  { reply, graph }: Pick<Evidence, 'reply' | 'graph'>,
  facts: Facts = {},
  to: 'message' | 'recipient' = 'message',
): Refusal | undefined {
  const row = findRow({ ...(reply ? { reply } : {}), ...(graph === undefined ? {} : { graph }), ours: [] });
  if (!row?.refuses) return undefined;
  const { againSeconds, asReplyToRecipient, passesSeconds, whose } = row.refuses;
  const { cause, passesWhen, remedy } = describeRow(row, facts);
  return {
    whose: to === 'recipient' ? (asReplyToRecipient ?? whose) : whose,
    row: row.id,
    cause,
    remedy: remedyText(remedy),
    ...(passesWhen === undefined ? {} : { passesWhen }),
    againMs: againSeconds === undefined ? (passesWhen === undefined ? LASTING_MS : PASSING_MS) : againSeconds * 1000,
    ...(passesSeconds === undefined ? {} : { passesMs: passesSeconds * 1000 }),
  };
}
