/** Looks for an attempt among what the mailbox has sent: the provider keeps a copy of what it took. */
import type { Clock } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { bodyOf, type Response } from '../../protocol/imap/response.ts';
import { ImapSession, quoted } from '../../protocol/imap/session.ts';
import { textOf, type Value } from '../../protocol/imap/response-value.ts';
import { HeaderReader } from '../../protocol/mime/header-fields.ts';
import type { OutboxTable } from '../../store/types-outbox.ts';
import { type DeliveryMarks, judgeCopies, MARK_FIELD, marksOf, type SentCopy } from './proof.ts';
import type { SignInAt } from '../../upstream/upstream.ts';
import type { OpenAttempt, SentProbe } from './types.ts';
import { timeLimit } from '../../protocol/wire/time-limit.ts';

/** Where servers that do not mark it (RFC 6154 \Sent) keep it; Exchange's and Gmail's own names in English. */
const USUAL = ['Sent Items', 'Sent', '[Gmail]/Sent Mail', 'INBOX.Sent', 'Sent Messages'];
/** The newest copies of one Message-ID that are compared. */
const MAX_COPIES = 200;
/** So many of the newest sent messages say whether the provider keeps our marks. */
const MAX_RECENT = 50;
const FIELDS = `BODY.PEEK[HEADER.FIELDS (MESSAGE-ID ${MARK_FIELD.toUpperCase()} TO CC RECEIVED)]`;
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
    const imap = new ImapSession(conn, endpoint.host);
    try {
      const folder = await sentFolder(imap, signal);
      if (folder === undefined) return 'unable';
      const opened = await imap.run(`EXAMINE ${quoted(folder)}`, { signal });
      if (opened.status !== 'OK') return 'failed';
      const mark = marks.of(message, recipients);
      const id = message.messageId.replace(/^<|>$/g, '');
      const named = await search(imap, `HEADER Message-ID ${quoted(id)}`, signal);
      if (named === undefined) return 'failed';
      // A provider that gives messages another Message-ID has the mark all the same; one that cannot search for it says so.
      const found = new Set([
        ...named,
        ...((await search(imap, `HEADER ${MARK_FIELD} ${quoted(mark)}`, signal)) ?? []),
      ]);
      const uids = [...found].toSorted((a, b) => a - b).slice(-MAX_COPIES);
      const copies = uids.length === 0 ? [] : await fetchCopies(imap, `UID FETCH ${uids.join(',')}`, signal);
      const alike = await outbox.list({ mailbox: mailbox.address, messageId: message.messageId }, { limit: 2 });
      const expected = {
        message,
        recipients,
        header: await headerOf(body()),
        since,
        now: clock.now(),
        alone: alike.length < 2,
      };
      const verdict = judgeCopies(marks, expected, copies, false);
      if (verdict !== 'probably') return verdict;
      return judgeCopies(marks, expected, copies, await keepsMarks(imap, opened.responses, marks, signal));
    } finally {
      imap.end();
    }
  }
}

async function sentFolder(imap: ImapSession, signal: AbortSignal): Promise<string | undefined> {
  const { responses } = await imap.run('LIST "" "*"', { signal });
  const folders = responses.flatMap((one) => (one.type === 'list' ? [one] : []));
  const marked = folders.find(({ flags }) => flags.some((flag) => flag.toLowerCase() === '\\sent'));
  return marked?.name ?? USUAL.find((name) => folders.some((folder) => folder.name === name));
}

/** UIDs; undefined where the server does not search so. */
async function search(imap: ImapSession, key: string, signal: AbortSignal): Promise<readonly number[] | undefined> {
  const { responses, status } = await imap.run(`UID SEARCH ${key}`, { signal });
  if (status !== 'OK') return undefined;
  return responses.flatMap((one) => (one.type === 'search' ? one.numbers : []));
}

async function fetchCopies(imap: ImapSession, fetch: string, signal: AbortSignal): Promise<readonly SentCopy[]> {
  const { responses } = await imap.run(`${fetch} (UID RFC822.SIZE INTERNALDATE ${FIELDS})`, { signal });
  return responses.flatMap((one) => {
    if (one.type !== 'fetch') return [];
    const header = headerIn(one.items);
    if (header === undefined) return [];
    const savedAt = Date.parse(textOf(one.items.get('INTERNALDATE')) ?? '');
    return [
      {
        size: Number(textOf(one.items.get('RFC822.SIZE')) ?? 0),
        savedAt: Number.isNaN(savedAt) ? undefined : savedAt,
        header,
      },
    ];
  });
}

/** Servers write the list of fields as they like. */
function headerIn(items: ReadonlyMap<string, Value>): Buffer | undefined {
  const name = [...items.keys()].find((one) => one.startsWith('BODY[HEADER.FIELDS'));
  return name === undefined ? undefined : bodyOf(items, name.slice('BODY['.length, -1));
}

/** Whether some of the newest sent messages carry a mark of ours. */
async function keepsMarks(
  imap: ImapSession,
  opened: readonly Response[],
  marks: DeliveryMarks,
  signal: AbortSignal,
): Promise<boolean> {
  const count = opened.findLast((one) => one.type === 'message-count' && one.name === 'EXISTS');
  const last = count?.type === 'message-count' ? count.number : 0;
  if (last === 0) return false;
  const recent = await fetchCopies(imap, `FETCH ${Math.max(1, last - MAX_RECENT + 1)}:${last}`, signal);
  return recent.some(({ header }) => marksOf(header).some((mark) => marks.isOurs(mark)));
}

/** The message's own header. */
async function headerOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const reader = new HeaderReader();
  for await (const octets of body) {
    const end = reader.add(octets);
    if (end !== undefined) return Buffer.from(reader.octets.subarray(0, end));
    if (reader.endless) break;
  }
  return Buffer.from(reader.octets);
}
