/** Looks for an attempt among what the mailbox has sent: the provider keeps a copy of what it took. */
import type { Clock } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { ImapSession } from '../../protocol/imap/session.ts';
import { fetch, type FetchItem, headerFields } from '../../protocol/imap/verb/fetch.ts';
import { list, sentMailbox } from '../../protocol/imap/verb/list.ts';
import { type SearchKey, uidSearch } from '../../protocol/imap/verb/search.ts';
import { select } from '../../protocol/imap/verb/select.ts';
import type { OutboxTable } from '../../store/types-outbox.ts';
import { headerOf } from './author.ts';
import { type DeliveryMarks, judgeCopies, MARK_FIELD, marksOf, type SentCopy } from './proof.ts';
import type { SignInAt } from '../../upstream/upstream.ts';
import type { OpenAttempt, SentProbe } from './types.ts';
import { timeLimit } from '../../protocol/wire/time-limit.ts';

/** The newest copies of one Message-ID that are compared. */
const MAX_COPIES = 200;
/** So many of the newest sent messages say whether the provider keeps our marks. */
const MAX_RECENT = 50;
const HEADER = headerFields('MESSAGE-ID', MARK_FIELD.toUpperCase(), 'TO', 'CC', 'RECEIVED');
const ITEMS: readonly FetchItem[] = [{ type: 'UID' }, { type: 'RFC822.SIZE' }, { type: 'INTERNALDATE' }, HEADER];
/** One look; there are several. */
const LOOK_MS = 60_000;

export interface SentProbeDeps {
  readonly signIn: SignInAt;
  readonly outbox: Pick<OutboxTable, 'list'>;
  readonly marks: DeliveryMarks;
  readonly clock: Clock;
  readonly log: Log;
}

export class ImapSentProbe implements SentProbe {
  readonly #deps: SentProbeDeps;
  /** One look at a time in each mailbox: after a crash many are to be looked for, and sessions are few. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(deps: SentProbeDeps) {
    this.#deps = deps;
  }

  async look(attempt: OpenAttempt, signal: AbortSignal): ReturnType<SentProbe['look']> {
    const { mailbox, message } = attempt;
    if (!mailbox.protocols.includes('imap')) return 'unable';
    const before = this.#turns.get(mailbox.address);
    const turn = (async () => {
      await before;
      using limit = timeLimit(`the IMAP server of ${mailbox.address}`, LOOK_MS, signal);
      return await this.#look(attempt, limit.signal);
    })();
    const quiet = turn.catch((error: unknown) => error);
    this.#turns.set(mailbox.address, quiet);
    try {
      return await turn;
    } catch (error) {
      signal.throwIfAborted();
      const facts = { id: message.id, mailbox: mailbox.address, err: asError(error) };
      this.#deps.log.warn(facts, 'the sent messages could not be looked at');
      return asError(error).kind === 'denied' ? 'unable' : 'failed';
    } finally {
      if (this.#turns.get(mailbox.address) === quiet) this.#turns.delete(mailbox.address);
    }
  }

  async #look(attempt: OpenAttempt, signal: AbortSignal): ReturnType<SentProbe['look']> {
    const { clock, marks, outbox, signIn } = this.#deps;
    const { body, mailbox, message, recipients, since } = attempt;
    signal.throwIfAborted();
    const { conn, endpoint } = await signIn(mailbox, 'imap', signal);
    const imap = new ImapSession(conn, endpoint);
    try {
      const folder = sentMailbox(await list(imap, '', '*', { signal }));
      if (folder === undefined) return 'unable';
      const opened = await select(imap, { verb: 'EXAMINE', mailbox: folder }, { signal });
      if (opened.status !== 'OK') return 'failed';
      const mark = marks.of(message, recipients);
      const header = (field: string, text: string): SearchKey => ({ type: 'header', field, text });
      const named = await uidSearch(imap, header('Message-ID', message.messageId.replace(/^<|>$/g, '')), { signal });
      if (named === undefined) return 'failed';
      // A provider that gives messages another Message-ID has the mark all the same; one that cannot search for it says so.
      const found = new Set([...named, ...((await uidSearch(imap, header(MARK_FIELD, mark), { signal })) ?? [])]);
      const uids = [...found].toSorted((a, b) => a - b).slice(-MAX_COPIES);
      const copies = uids.length === 0 ? [] : await fetchCopies(imap, uids.join(','), { uid: true, signal });
      const alike = await outbox.list({ mailbox: mailbox.address, messageId: message.messageId }, { limit: 2 });
      const expected = {
        message,
        recipients,
        header: (await headerOf(body)) ?? Buffer.alloc(0),
        since,
        now: clock.now(),
        alone: alike.length < 2,
      };
      const verdict = judgeCopies(marks, expected, copies, false);
      if (verdict !== 'probably') return verdict;
      return judgeCopies(marks, expected, copies, await keepsMarks(imap, opened.mailbox.exists ?? 0, marks, signal));
    } finally {
      imap.end();
    }
  }
}

async function fetchCopies(
  imap: ImapSession,
  set: string,
  options: { readonly uid?: boolean; readonly signal: AbortSignal },
): Promise<readonly SentCopy[]> {
  const { messages } = await fetch(imap, set, ITEMS, options);
  return messages.flatMap((one) => {
    const header = one.section(HEADER);
    return header === undefined ? [] : [{ size: one.size ?? 0, savedAt: one.internalDate, header }];
  });
}

/** Whether some of the newest of so many sent messages carry a mark of ours. */
async function keepsMarks(
  imap: ImapSession,
  count: number,
  marks: DeliveryMarks,
  signal: AbortSignal,
): Promise<boolean> {
  if (count === 0) return false;
  const recent = await fetchCopies(imap, `${Math.max(1, count - MAX_RECENT + 1)}:${count}`, { signal });
  return recent.some(({ header }) => marksOf(header).some((mark) => marks.isOurs(mark)));
}
