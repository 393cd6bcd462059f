/** IMAP commands on folders, and IDLE. */
import { decodeMailboxName, encodeMailboxName } from '../../protocol/imap/mailbox-name.ts';
import type { CommandReader } from '../../protocol/imap/token.ts';
import { parseAppend } from '../../protocol/imap/verb/append.ts';
import { formatEnabled, parseEnable } from '../../protocol/imap/verb/enable.ts';
import { formatListed, parseList } from '../../protocol/imap/verb/list.ts';
import { formatSelected, parseSelect } from '../../protocol/imap/verb/select.ts';
import { formatStatus, parseStatus } from '../../protocol/imap/verb/status.ts';
import { bites } from './imap-quirks.ts';
import type { Answer, Command, ImapSession } from './imap-answer.ts';
import { View } from './imap-view.ts';
import { canonicalName, type Folder } from './store.ts';

/** Flags that Exchange keeps; it takes no keywords. */
export const FLAGS = ['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft', '$MDNSent'];

export function knownFlags(flags: readonly string[]): string[] {
  return flags.flatMap((flag) => FLAGS.find((known) => known.toLowerCase() === flag.toLowerCase()) ?? []);
}

const STATUS = ['MESSAGES', 'RECENT', 'UIDNEXT', 'UIDVALIDITY', 'UNSEEN'];
const missing = (verb: string): Answer => ({ text: `NO ${verb} failed. The requested mailbox does not exist.` });
const done = (verb: string): Answer => ({ text: `OK ${verb} completed.` });

export function folderName(reader: CommandReader): string {
  return nameOf(reader.astring());
}

/** @throws wire.syntax */
function nameOf(wire: Buffer): string {
  return canonicalName(decodeMailboxName(wire.toString('latin1')).replace(/\/$/, ''));
}

function folderCommand(verb: string, act: (session: ImapSession, folder: Folder) => Answer | undefined): Command {
  return (session, reader) => {
    reader.space();
    const folder = session.admitted.mailbox.find(folderName(reader));
    reader.end();
    return folder ? (act(session, folder) ?? done(verb)) : missing(verb);
  };
}

function select(verb: 'SELECT' | 'EXAMINE'): Command {
  return async (session, reader) => {
    const name = nameOf(parseSelect(reader).mailbox);
    reader.end();
    session.view?.close();
    session.view = undefined;
    const folder = session.admitted.mailbox.find(name);
    if (!folder) return { text: `NO ${name} doesn't exist.` };
    if (bites(session, 'imap-uidvalidity-changed')) session.admitted.mailbox.rebuild(folder);
    const readOnly = verb === 'EXAMINE';
    const view = (session.view = new View(folder, readOnly));
    const unseen = view.messages.findIndex((message) => !message.flags.has('\\Seen'));
    const { uidNext, uidValidity } = folder;
    const selected = {
      exists: view.messages.length,
      recent: session.enabled ? undefined : view.recent.size,
      flags: `(${FLAGS.join(' ')})`,
      permanentFlags: `(${readOnly ? '' : FLAGS.join(' ')})`,
      uidValidity,
      uidNext,
    };
    await session.conn.write(formatSelected(selected, unseen === -1 || session.enabled ? undefined : unseen + 1));
    return { text: `OK [${readOnly ? 'READ-ONLY' : 'READ-WRITE'}] ${verb} completed.` };
  };
}

function list(verb: 'LIST' | 'LSUB'): Command {
  return async (session, reader) => {
    const { reference, pattern } = parseList(reader);
    const { folders, subscribed } = session.admitted.mailbox;
    if (pattern === '') await session.conn.write(`* ${verb} (\\Noselect \\HasChildren) "/" ""\r\n`);
    const isWanted = listMatcher(decodeMailboxName(reference + pattern));
    const names = verb === 'LIST' ? [...folders.keys()] : withAbove([...subscribed], pattern.includes('%'));
    const lines = names.sort().flatMap((name) => {
      if (!isWanted(name)) return [];
      const children = names.some((other) => other.startsWith(`${name}/`));
      const use = folders.get(name)?.use;
      const flags = [
        ...(verb === 'LSUB' && !subscribed.has(name) ? ['\\Noselect'] : []),
        ...(children ? ['\\HasChildren'] : ['\\HasNoChildren']),
        ...(use ? [use] : []),
      ];
      return formatListed(verb, { flags, delimiter: '/', name: encodeMailboxName(name) });
    });
    await session.conn.write(lines.join(''));
    return done(verb);
  };
}

/** Characters of a whole name: every level of one becomes a folder. */
const MAX_NAME = 1000;

/** LSUB with `%` also shows what only lies above something subscribed (RFC 3501 §6.3.9). */
function withAbove(names: readonly string[], percent: boolean): string[] {
  if (!percent) return [...names];
  const above = names.flatMap((name) => {
    const levels = name.split('/');
    return levels.slice(1).map((_, depth) => levels.slice(0, depth + 1).join('/'));
  });
  return [...new Set([...names, ...above])];
}

/**
 * Whether a name fits a pattern (RFC 9051 §6.3.9): `*` any text, `%` any text of one level; INBOX whatever its case. Keeps
 * which beginnings of the pattern the name so far fits, so that many wildcards cost no more than many letters.
 */
function listMatcher(pattern: string): (name: string) => boolean {
  const canonical = canonicalName(pattern).replace(/[*%]+/g, (run) => (run.includes('*') ? '*' : '%'));
  const isExact = canonical.startsWith('INBOX');
  const wanted = isExact ? canonical : canonical.toLowerCase();
  const letters = wanted.replace(/[*%]/g, '').length;
  return (name) => {
    const given = isExact ? name : name.toLowerCase();
    if (letters > given.length) return false;
    let fits = new Uint8Array(wanted.length + 1);
    fits[0] = 1;
    skipWildcards(wanted, fits);
    for (let n = 0; n < given.length; n++) {
      const letter = given[n]!;
      const next = new Uint8Array(wanted.length + 1);
      for (let at = 0; at < wanted.length; at++) {
        if (fits[at] === 0) continue;
        const want = wanted[at]!;
        if (want === '*' || (want === '%' && letter !== '/')) next[at] = 1;
        else if (want === letter) next[at + 1] = 1;
      }
      skipWildcards(wanted, next);
      fits = next;
    }
    return fits[wanted.length] === 1;
  };
}

/** A wildcard may stand for nothing. */
function skipWildcards(wanted: string, fits: Uint8Array): void {
  for (let at = 0; at < wanted.length; at++)
    if (fits[at] === 1 && (wanted[at] === '*' || wanted[at] === '%')) fits[at + 1] = 1;
}

async function status(session: ImapSession, reader: CommandReader): Promise<Answer> {
  const { mailbox, items } = parseStatus(reader);
  const name = nameOf(mailbox);
  if (items.length === 0 || items.some((item) => !STATUS.includes(item)))
    return { text: 'BAD Command Argument Error. 11' };
  const folder = session.admitted.mailbox.find(name);
  if (!folder) return missing('STATUS');
  const { messages } = folder;
  const values: Readonly<Record<string, number>> = {
    MESSAGES: messages.length,
    RECENT: messages.filter((message) => message.uid >= folder.recentFrom).length,
    UIDNEXT: folder.uidNext,
    UIDVALIDITY: folder.uidValidity,
    UNSEEN: messages.filter((message) => !message.flags.has('\\Seen')).length,
  };
  const shown = items.map((item) => [item, values[item]!] as const);
  await session.conn.write(formatStatus(encodeMailboxName(folder.name), shown));
  return done('STATUS');
}

function append(session: ImapSession, reader: CommandReader): Answer {
  const { mailbox, flags, date = session.service.clock.now(), message: raw } = parseAppend(reader);
  const folder = session.admitted.mailbox.find(nameOf(mailbox));
  if (!folder) return { text: `NO [TRYCREATE] APPEND failed. The requested mailbox does not exist.` };
  const message = folder.add(raw, date, knownFlags(flags));
  return { text: `OK [APPENDUID ${folder.uidValidity} ${message.uid}] APPEND completed.` };
}

async function idle(session: ImapSession, reader: CommandReader): Promise<Answer> {
  reader.end();
  const { conn, view, end } = session;
  await conn.write('+ IDLE accepted, awaiting DONE command.\r\n');
  const line = conn.line(1000).then((text) => ({ text }));
  const ended = Promise.withResolvers<string>();
  const unwatch = end.watch('idle', ended.resolve);
  try {
    for (;;) {
      if (view?.gone) return { text: 'NO The selected mailbox was deleted.' };
      const news = view?.tell(true, !session.enabled) ?? '';
      if (news !== '') await conn.write(news);
      const next = await Promise.race([line, ended.promise, ...(view ? [view.changed()] : [])]);
      if (next === undefined) continue;
      if (typeof next === 'string') {
        conn.end(`* BYE ${next}\r\n`);
        await line;
        return { text: 'NO IDLE ended.' };
      }
      return next.text?.toString('latin1').toUpperCase() === 'DONE'
        ? done('IDLE')
        : { text: 'BAD Command Argument Error. 12' };
    }
  } finally {
    unwatch();
  }
}

export const folderCommands: Readonly<Record<string, Command>> = {
  SELECT: select('SELECT'),
  EXAMINE: select('EXAMINE'),
  LIST: list('LIST'),
  LSUB: list('LSUB'),
  STATUS: status,
  APPEND: append,
  IDLE: idle,
  ENABLE: async (session, reader) => {
    if (parseEnable(reader).includes('IMAP4REV2')) session.enabled = true;
    await session.conn.write(formatEnabled(session.enabled ? ['IMAP4rev2'] : []));
    return done('ENABLE');
  },
  NAMESPACE: async (session, reader) => {
    reader.end();
    await session.conn.write('* NAMESPACE (("" "/")) NIL NIL\r\n');
    return done('NAMESPACE');
  },
  CREATE: (session, reader) => {
    reader.space();
    const name = folderName(reader);
    reader.end();
    const { mailbox } = session.admitted;
    if (name === '' || name.length > MAX_NAME || name.split('/').includes(''))
      return { text: 'NO CREATE failed. The name is not valid.' };
    if (mailbox.find(name)) return { text: 'NO CREATE failed. Mailbox already exists.' };
    mailbox.create(name);
    return done('CREATE');
  },
  DELETE: folderCommand('DELETE', ({ admitted: { mailbox } }, folder) => {
    if (folder === mailbox.inbox || folder.use !== undefined)
      return { text: 'NO DELETE failed. The folder cannot be deleted.' };
    const below = [...mailbox.folders.keys()].some((name) => name.startsWith(`${folder.name}/`));
    if (below) return { text: 'NO DELETE failed. The folder has subfolders.' };
    mailbox.delete(folder);
    return undefined;
  }),
  RENAME: (session, reader) => {
    reader.space();
    const from = folderName(reader);
    reader.space();
    const to = folderName(reader);
    reader.end();
    const { mailbox } = session.admitted;
    const folder = mailbox.find(from);
    if (!folder) return missing('RENAME');
    if (to === '' || to.length > MAX_NAME || mailbox.find(to) || to.startsWith(`${from}/`) || folder.use !== undefined)
      return { text: 'NO RENAME failed.' };
    mailbox.rename(folder, to);
    return done('RENAME');
  },
  SUBSCRIBE: folderCommand('SUBSCRIBE', ({ admitted }, folder) => {
    admitted.mailbox.subscribed.add(folder.name);
    return undefined;
  }),
  UNSUBSCRIBE: (session, reader) => {
    reader.space();
    session.admitted.mailbox.subscribed.delete(folderName(reader));
    reader.end();
    return done('UNSUBSCRIBE');
  },
};
