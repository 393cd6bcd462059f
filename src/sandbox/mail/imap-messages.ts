/** IMAP commands on the messages of the selected folder. */
import { parseFetchItems, type FetchItem } from '../../protocol/imap/verb/fetch.ts';
import { formatFound, parseSearch } from '../../protocol/imap/verb/search.ts';
import { formatSequenceSet, parseSequenceSet, sequenceMatcher } from '../../protocol/imap/sequence-set.ts';
import type { CommandReader } from '../../protocol/imap/token.ts';
import { fetchResponse } from './imap-fetch.ts';
import { folderName, knownFlags } from './imap-folders.ts';
import { searchTest } from './imap-search.ts';
import { bites, type Quirks } from './imap-quirks.ts';
import type { Answer, Command, ImapSession } from './imap-answer.ts';
import type { View } from './imap-view.ts';
import type { Message } from './store.ts';

type MessageCommand = (
  session: ImapSession & { view: View },
  reader: CommandReader,
  uid: boolean,
) => Promise<Answer> | Answer;

const READ_ONLY: Answer = { text: 'NO The mailbox is opened read-only.' };

/** Indexes of the messages a set names. A number that names none is an error, a UID is not (RFC 3501 §6.4.8). */
function takeSet(view: View, reader: CommandReader, uid: boolean): number[] | 'outside' {
  reader.space();
  const set = parseSequenceSet(reader.set());
  const { length } = view.messages;
  if (!uid && set.some((range) => range.some((bound) => (bound === '*' ? length === 0 : bound > length))))
    return 'outside';
  const matches = sequenceMatcher(set, uid ? view.largestUid : length);
  return view.messages.flatMap((message, index) => (matches(uid ? message.uid : index + 1) ? [index] : []));
}

const outside: Answer = { text: 'BAD The specified message set is invalid.', expunge: false };

const fetch: MessageCommand = async (session, reader, uid) => {
  const { conn, view } = session;
  const indexes = takeSet(view, reader, uid);
  reader.space();
  let items = parseFetchItems(reader);
  reader.end();
  if (indexes === 'outside') return outside;
  if (uid && !items.some(({ type }) => type === 'UID')) items = [{ type: 'UID' }, ...items];
  const marks = !view.readOnly && items.some((item) => item.type === 'SECTION' && !item.peek);
  const withFlags: FetchItem[] = items.some(({ type }) => type === 'FLAGS') ? items : [...items, { type: 'FLAGS' }];
  const quirks = quirksOf(session, items);
  for (const index of indexes) {
    const message = view.messages[index]!;
    const marked = marks && !message.flags.has('\\Seen');
    if (marked) view.folder.setFlags(message, [...message.flags, '\\Seen'], view);
    for (const piece of fetchResponse(view, index, marked ? withFlags : items, quirks)) await conn.write(piece);
  }
  return { text: 'OK FETCH completed.', expunge: uid };
};

/** Faults that bend what is fetched. Each is asked only where it can show. */
function quirksOf(session: ImapSession & { view: View }, items: readonly FetchItem[]): Quirks {
  const asks = (type: FetchItem['type']): boolean => items.some((item) => item.type === type);
  return {
    malformed: asks('BODYSTRUCTURE') && bites(session, 'imap-malformed-bodystructure') !== undefined,
    estimated: asks('RFC822.SIZE') && bites(session, 'imap-size-estimated') !== undefined,
    unretrievable:
      asks('SECTION') && bites(session, 'imap-message-unretrievable') ? session.view.messages.at(-1) : undefined,
  };
}

const store: MessageCommand = async ({ conn, view }, reader, uid) => {
  const indexes = takeSet(view, reader, uid);
  reader.space();
  const mode = reader.skip('+') ? '+' : reader.skip('-') ? '-' : '';
  reader.expect('FLAGS');
  const silent = reader.skip('.SILENT');
  reader.space();
  const flags = knownFlags(reader.peek() === '(' ? reader.list(() => reader.flag()) : bareFlags(reader));
  reader.end();
  if (indexes === 'outside') return outside;
  if (view.readOnly) return READ_ONLY;
  const items: FetchItem[] = [...(uid ? [{ type: 'UID' as const }] : []), { type: 'FLAGS' }];
  for (const index of indexes) {
    const message = view.messages[index]!;
    const { flags: before } = message;
    const after =
      mode === '+' ? [...before, ...flags] : mode === '-' ? [...before].filter((flag) => !flags.includes(flag)) : flags;
    view.folder.setFlags(message, after, view);
    if (!silent) for (const piece of fetchResponse(view, index, items)) await conn.write(piece);
  }
  return { text: 'OK STORE completed.', expunge: uid };
};

function bareFlags(reader: CommandReader): string[] {
  const flags = [reader.flag()];
  while (reader.skip(' ')) flags.push(reader.flag());
  return flags;
}

const search: MessageCommand = async ({ conn, view, enabled, tag }, reader, uid) => {
  reader.space();
  if (reader.skip('CHARSET ')) {
    const charset = reader.astring().toString('latin1').toUpperCase();
    if (charset !== 'US-ASCII')
      return { text: 'NO [BADCHARSET (US-ASCII)] The specified charset is not supported.', expunge: false };
    reader.space();
  }
  const test = searchTest(view, parseSearch(reader));
  const found = view.messages.flatMap((message, index) =>
    test(message, index) ? [uid ? message.uid : index + 1] : [],
  );
  // RFC 9051 §6.4.4: SEARCH is answered with ESEARCH.
  await conn.write(formatFound(found, enabled ? { tag, uid } : undefined));
  return { text: 'OK SEARCH completed.', expunge: uid };
};

function transfer(verb: 'COPY' | 'MOVE'): MessageCommand {
  return async ({ conn, view, admitted }, reader, uid) => {
    const indexes = takeSet(view, reader, uid);
    reader.space();
    const name = folderName(reader);
    reader.end();
    if (indexes === 'outside') return outside;
    const target = admitted.mailbox.find(name);
    if (!target) return { text: `NO [TRYCREATE] ${verb} failed. The requested mailbox does not exist.` };
    if (verb === 'MOVE' && view.readOnly) return READ_ONLY;
    const live = new Set(view.folder.messages);
    const originals = indexes.map((index) => view.messages[index]!).filter((message) => live.has(message));
    if (originals.length === 0) return { text: `OK ${verb} completed.` };
    const copies = originals.map(({ raw, internalDate, flags }) => target.add(raw, internalDate, flags));
    const uids = [originals, copies].map((messages) => formatSequenceSet(messages.map((message) => message.uid)));
    const code = `[COPYUID ${target.uidValidity} ${uids.join(' ')}]`;
    if (verb === 'COPY') return { text: `OK ${code} COPY completed.` };
    // RFC 6851 §4.3: COPYUID comes before the EXPUNGE responses.
    await conn.write(`* OK ${code} Moved UIDs.\r\n`);
    view.folder.remove(originals);
    return { text: 'OK MOVE completed.' };
  };
}

const expunge: MessageCommand = ({ view }, reader, uid) => {
  let doomed: readonly Message[] = view.messages;
  if (uid) {
    const indexes = takeSet(view, reader, true) as number[];
    doomed = indexes.map((index) => view.messages[index]!);
  }
  reader.end();
  if (view.readOnly) return READ_ONLY;
  view.folder.remove(doomed.filter(({ flags }) => flags.has('\\Deleted')));
  return { text: 'OK EXPUNGE completed.' };
};

const leave =
  (verb: 'CLOSE' | 'UNSELECT'): Command =>
  (session, reader) => {
    reader.end();
    const view = session.view!;
    view.close();
    session.view = undefined;
    if (verb === 'CLOSE' && !view.readOnly)
      view.folder.remove(view.messages.filter(({ flags }) => flags.has('\\Deleted')));
    return { text: `OK ${verb} completed.` };
  };

const both: Readonly<Record<string, MessageCommand>> = {
  FETCH: fetch,
  STORE: store,
  SEARCH: search,
  COPY: transfer('COPY'),
  MOVE: transfer('MOVE'),
  EXPUNGE: expunge,
};

const byNumber = Object.entries(both).map(([verb, act]): [string, Command] => [
  verb,
  (session, reader) => act(session as ImapSession & { view: View }, reader, false),
]);

export const messageCommands: Readonly<Record<string, Command>> = {
  ...Object.fromEntries(byNumber),
  CHECK: (_, reader) => {
    reader.end();
    return { text: 'OK CHECK completed.' };
  },
  CLOSE: leave('CLOSE'),
  UNSELECT: leave('UNSELECT'),
  UID: (session, reader) => {
    reader.space();
    const act = both[reader.atom().toUpperCase()];
    if (!act) return { text: 'BAD Command Error. 12' };
    return act(session as ImapSession & { view: View }, reader, true);
  },
};
