/** The search language (RFC 3501 §6.4.4). */
import { protocolError } from '../errors.ts';
import { parseDate } from './date.ts';
import { parseSequenceSet, type SequenceSet } from './sequence-set.ts';
import type { CommandReader } from './token.ts';

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
  | { readonly type: 'or' | 'and'; readonly keys: readonly SearchKey[] };

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
