/** SEARCH (RFC 3501 §6.4.4; RFC 9051 §6.4.4, §7.3.4): the search language, and the numbers that are found. */
import { protocolError } from '../../errors.ts';
import { formatDate, parseDate } from '../date.ts';
import { formatSequenceSet, parseSequenceSet, type SequenceSet, writeSequenceSet } from '../sequence-set.ts';
import type { CommandOptions, ImapSession } from '../session.ts';
import { type CommandReader, formatString } from '../token.ts';

export type SearchKey =
  | { readonly type: 'all' }
  | { readonly type: 'set'; readonly uid: boolean; readonly set: SequenceSet }
  | { readonly type: 'flag'; readonly flag: string; readonly present: boolean }
  | { readonly type: 'recent' | 'new' | 'old' }
  | { readonly type: 'header'; readonly field: string; readonly text: string }
  | { readonly type: 'body' | 'text'; readonly text: string }
  | { readonly type: 'internal' | 'sent'; readonly relation: 'before' | 'on' | 'since'; readonly day: number }
  | { readonly type: 'larger' | 'smaller'; readonly octets: number }
  | { readonly type: 'not'; readonly key: SearchKey }
  /** Two with `or`, one or more with `and`. */
  | { readonly type: 'or' | 'and'; readonly keys: readonly SearchKey[] };

/**
 * UIDs of the selected mailbox's messages that the key fits.
 * @returns undefined where the server does not search so. @throws as `ImapSession.run`
 */
export async function uidSearch(
  session: ImapSession,
  key: SearchKey,
  options?: CommandOptions,
): Promise<readonly number[] | undefined> {
  const { responses, status } = await session.run(`UID SEARCH ${formatSearch(key)}`, options);
  if (status !== 'OK') return undefined;
  return responses.flatMap((one) => (one.type === 'search' ? one.numbers : []));
}

/** A response, with CRLF. @param extended where ESEARCH answers SEARCH: with the tag, and no numbers where none were found */
export function formatFound(
  numbers: readonly number[],
  extended?: { readonly tag: string; readonly uid: boolean },
): string {
  if (extended === undefined) return `* SEARCH${numbers.map((number) => ` ${number}`).join('')}\r\n`;
  const all = numbers.length === 0 ? '' : ` ALL ${formatSequenceSet(numbers)}`;
  return `* ESEARCH (TAG ${formatString(extended.tag)})${extended.uid ? ' UID' : ''}${all}\r\n`;
}

/** A key as text in one line. What cannot stand in a quoted string is left out of the texts: servers look for what contains them. */
export function formatSearch(key: SearchKey): string {
  const text = (value: string): string => formatString(value.replace(/[^\x20-\x7e]/g, ''));
  switch (key.type) {
    case 'set':
      return `${key.uid ? 'UID ' : ''}${writeSequenceSet(key.set)}`;
    case 'flag': {
      const name = Object.keys(flags).find((one) => flags[one] === key.flag);
      return name === undefined ? `${key.present ? '' : 'UN'}KEYWORD ${key.flag}` : `${key.present ? '' : 'UN'}${name}`;
    }
    case 'header':
      return `HEADER ${text(key.field)} ${text(key.text)}`;
    case 'body':
    case 'text':
      return `${key.type.toUpperCase()} ${text(key.text)}`;
    case 'internal':
    case 'sent':
      return `${key.type === 'sent' ? 'SENT' : ''}${key.relation.toUpperCase()} ${formatDate(key.day)}`;
    case 'larger':
    case 'smaller':
      return `${key.type.toUpperCase()} ${key.octets}`;
    case 'not':
      return `NOT ${formatSearch(key.key)}`;
    case 'or':
      return `OR ${key.keys.map(formatSearch).join(' ')}`;
    case 'and':
      return `(${key.keys.map(formatSearch).join(' ')})`;
    default:
      return key.type.toUpperCase();
  }
}

const KEY = /[A-Z]+/iy;
const DEEPEST = 50;

/** The keys up to the end of the command, all of which must hold. @throws wire.syntax */
export function parseSearch(reader: CommandReader): SearchKey {
  const keys = [parseKey(reader, 0)];
  while (!reader.atEnd) {
    reader.space();
    keys.push(parseKey(reader, 0));
  }
  return { type: 'and', keys };
}

const flags: Readonly<Record<string, string>> = {
  ANSWERED: '\\Answered',
  DELETED: '\\Deleted',
  DRAFT: '\\Draft',
  FLAGGED: '\\Flagged',
  SEEN: '\\Seen',
};
const HEADERS = ['BCC', 'CC', 'FROM', 'SUBJECT', 'TO'];
const DATES = /^(SENT)?(BEFORE|ON|SINCE)$/;

function parseKey(reader: CommandReader, depth: number): SearchKey {
  if (depth > DEEPEST) throw protocolError('wire.syntax', 'the search is nested too deeply');
  if (reader.peek() === '(') return { type: 'and', keys: reader.list(() => parseKey(reader, depth + 1)) };
  if (/[\d*]/.test(reader.peek())) return { type: 'set', uid: false, set: parseSequenceSet(reader.set()) };
  const name = reader.matching(KEY, 'a search key').toUpperCase();
  const argument = <T>(read: () => T): T => {
    reader.space();
    return read();
  };
  const text = (): string => argument(() => reader.astring().toString('latin1').toLowerCase());
  if (flags[name] !== undefined) return { type: 'flag', flag: flags[name], present: true };
  if (name.startsWith('UN') && flags[name.slice(2)] !== undefined)
    return { type: 'flag', flag: flags[name.slice(2)]!, present: false };
  if (HEADERS.includes(name)) return { type: 'header', field: name.toLowerCase(), text: text() };
  const [, sent, relation] = DATES.exec(name) ?? [];
  if (relation !== undefined) {
    const day = parseDate(argument(() => reader.astring().toString('latin1')));
    return { type: sent ? 'sent' : 'internal', relation: relation.toLowerCase() as 'before' | 'on' | 'since', day };
  }
  switch (name) {
    case 'ALL':
      return { type: 'all' };
    case 'RECENT':
    case 'NEW':
    case 'OLD':
      return { type: name.toLowerCase() as 'recent' | 'new' | 'old' };
    case 'KEYWORD':
    case 'UNKEYWORD':
      return { type: 'flag', flag: argument(() => reader.atom()), present: name === 'KEYWORD' };
    case 'HEADER':
      return { type: 'header', field: text(), text: text() };
    case 'BODY':
    case 'TEXT':
      return { type: name === 'BODY' ? 'body' : 'text', text: text() };
    case 'LARGER':
    case 'SMALLER':
      return { type: name === 'LARGER' ? 'larger' : 'smaller', octets: argument(() => reader.number()) };
    case 'UID':
      return { type: 'set', uid: true, set: parseSequenceSet(argument(() => reader.set())) };
    case 'NOT':
      return { type: 'not', key: argument(() => parseKey(reader, depth + 1)) };
    case 'OR':
      return {
        type: 'or',
        keys: [argument(() => parseKey(reader, depth + 1)), argument(() => parseKey(reader, depth + 1))],
      };
    default:
      throw protocolError('wire.syntax', `unknown search key ${name}`);
  }
}
