/** What a response of a server means (RFC 9051 §7): status, data and continuation, in both directions of reading one grammar. */
import { isError } from '../../base/error.ts';
import { protocolError } from '../errors.ts';
import type { ResponseSegments } from './response-reader.ts';
import { isList, textOf, type Value, ValueReader } from './response-value.ts';

/** `[UIDVALIDITY 12] …`: its name in capitals and what follows it, as written (RFC 9051 §7.1). */
export interface ResponseCode {
  readonly name: string;
  readonly text: string;
}

export type Response =
  /** `+ …` (RFC 9051 §7.6). */
  | { readonly type: 'continuation'; readonly text: string }
  /** The end of a command (§7.1). */
  | {
      readonly type: 'tagged';
      readonly tag: string;
      readonly status: 'OK' | 'NO' | 'BAD';
      readonly code: ResponseCode | undefined;
      readonly text: string;
    }
  | {
      readonly type: 'status';
      readonly status: 'OK' | 'NO' | 'BAD' | 'BYE' | 'PREAUTH';
      readonly code: ResponseCode | undefined;
      readonly text: string;
    }
  | { readonly type: 'capability'; readonly names: readonly string[] }
  /** LIST, LSUB, XLIST. Undefined delimiter: the hierarchy is flat (§7.3.1). Names stay in modified UTF-7. */
  | {
      readonly type: 'list';
      readonly flags: readonly string[];
      readonly delimiter: string | undefined;
      readonly name: string;
    }
  /** SEARCH and the ALL of ESEARCH (§7.3.4), in order of the server. */
  | { readonly type: 'search'; readonly numbers: readonly number[] }
  | { readonly type: 'message-count'; readonly name: 'EXISTS' | 'RECENT'; readonly number: number }
  | { readonly type: 'expunge'; readonly number: number }
  /** Messages that are gone, by UID (RFC 7162 §3.2.10); `earlier` those that were gone before. */
  | { readonly type: 'vanished'; readonly earlier: boolean; readonly set: string }
  /** The flags of the selected mailbox (§7.3.5), with parentheses, as written. */
  | { readonly type: 'flags'; readonly text: string }
  /** Names in capitals (RFC 5161 §3.2). */
  | { readonly type: 'enabled'; readonly names: readonly string[] }
  /** STATUS (§7.3.4). The name as on the wire, values by name in capitals. */
  | { readonly type: 'mailbox-status'; readonly mailbox: string; readonly values: ReadonlyMap<string, number> }
  /** Items by their name in capitals (§7.5.2). */
  | { readonly type: 'fetch'; readonly number: number; readonly items: ReadonlyMap<string, Value> }
  /** Data of another name, or such whose form is not what the grammar says. */
  | { readonly type: 'other'; readonly name: string; readonly text: string };

/** Characters of a line that are told of. */
const MAX_SHOWN = 200;
/** More numbers than any search of ours gives back; a set like 1:4000000000 must not be written out. */
const MAX_NUMBERS = 1_000_000;

/**
 * @throws wire.syntax for what is no response at all: no tag, no status, no name
 */
export function parseResponse(segments: ResponseSegments): Response {
  const response = responseOf(segments);
  if (response === undefined) throw notOne(segments[0]);
  return response;
}

/** The same, undefined for what is no response at all. */
export function responseOf(segments: ResponseSegments): Response | undefined {
  const first = segments[0];
  if (typeof first !== 'string') return undefined;
  if (first === '+' || first.startsWith('+ ')) return { type: 'continuation', text: human(first.slice(2)) };
  if (!first.startsWith('* ')) {
    const answer = answerOf(first);
    return answer && { type: 'tagged', tag: answer.tag, status: answer.status, ...statusText(segments, answer.end) };
  }
  const number = numberedOf(first);
  const [word, end] = wordAt(first, 2);
  if (word === '') return undefined;
  try {
    if (number !== undefined) return numbered(segments, number);
    switch (word) {
      case 'OK':
      case 'NO':
      case 'BAD':
      case 'BYE':
      case 'PREAUTH':
        return { type: 'status', status: word, ...statusText(segments, end) };
      default:
        return data(segments, word, end);
    }
  } catch (error) {
    if (!isError(error, 'wire.syntax')) throw error;
    return { type: 'other', name: word, text: whole(segments, end) };
  }
}

/** The end of a command (§7.1), as its line begins; `end` is where response code and words do. */
export function answerOf(
  line: string,
): { readonly tag: string; readonly status: 'OK' | 'NO' | 'BAD'; readonly end: number } | undefined {
  const space = line.indexOf(' ');
  if (space < 1 || (space === 1 && line.startsWith('*'))) return undefined;
  const next = line.indexOf(' ', space + 1);
  const stop = next === -1 ? line.length : next;
  const status = stop - space > LONGEST_STATUS ? '' : line.slice(space + 1, stop).toUpperCase();
  if (status !== 'OK' && status !== 'NO' && status !== 'BAD') return undefined;
  return { tag: line.slice(0, space), status, end: next === -1 ? stop : stop + 1 };
}

/** With the space before it. */
const LONGEST_STATUS = 4;

/** Data of a message or of their number (§7.4, §7.5), as its line begins; `end` is where what is said of it does. */
export interface Numbered {
  readonly number: number;
  /** In capitals. */
  readonly name: string;
  readonly end: number;
}

export function numberedOf(line: string): Numbered | undefined {
  if (!isDigit(line.charCodeAt(2)) || !line.startsWith('* ')) return undefined;
  const space = line.indexOf(' ', 2);
  const digits = space === -1 ? line.slice(2) : line.slice(2, space);
  if (!/^\d{1,10}$/.test(digits)) return undefined;
  const [name, end] = wordAt(line, 3 + digits.length);
  return { number: Number(digits), name, end };
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/**
 * The UID of a FETCH whose line may not be all of it; `alone`: nothing else is told. Only what comes before it is looked at, and
 * undefined is given where that is no list of items.
 */
export function uidOf(line: string, { end }: Numbered): { readonly uid: number; readonly alone: boolean } | undefined {
  const reader = new ValueReader([line], end);
  try {
    reader.expect('(');
    for (let first = true; !reader.skip(')'); first = false) {
      const name = reader.itemName();
      reader.expect(' ');
      const value = reader.value();
      if (name === 'UID')
        return typeof value === 'string' && /^\d{1,10}$/.test(value)
          ? { uid: Number(value), alone: first && reader.skip(')') && reader.atEnd }
          : undefined;
      while (reader.skip(' '));
    }
  } catch (error) {
    if (!isError(error, 'wire.syntax')) throw error;
  }
  return undefined;
}

function data(segments: ResponseSegments, name: string, end: number): Response {
  switch (name) {
    case 'CAPABILITY':
      return { type: 'capability', names: whole(segments, end).split(' ').filter(Boolean) };
    case 'LIST':
    case 'LSUB':
    case 'XLIST': {
      const reader = new ValueReader(segments, end);
      const flags = reader.value();
      reader.expect(' ');
      const delimiter = textOf(reader.value());
      reader.expect(' ');
      const mailbox = reader.value();
      if (!isList(flags) || mailbox === undefined || isList(mailbox)) throw protocolError('wire.syntax', 'no LIST');
      // A mailbox may be called NIL.
      return {
        type: 'list',
        flags: flags.flatMap((flag) => textOf(flag) ?? []),
        delimiter,
        name: textOf(mailbox) ?? 'NIL',
      };
    }
    case 'FLAGS': {
      const text = whole(segments, end);
      if (!text.startsWith('(') || !text.endsWith(')')) throw protocolError('wire.syntax', 'no FLAGS');
      return { type: 'flags', text };
    }
    case 'ENABLED':
      return { type: 'enabled', names: whole(segments, end).toUpperCase().split(' ').filter(Boolean) };
    case 'VANISHED': {
      const [, earlier, set] = /^(\(EARLIER\) )?([\d:,]+)$/i.exec(whole(segments, end)) ?? [];
      if (set === undefined) throw protocolError('wire.syntax', 'no VANISHED');
      return { type: 'vanished', earlier: earlier !== undefined, set };
    }
    case 'STATUS': {
      const reader = new ValueReader(segments, end);
      const mailbox = reader.value();
      reader.expect(' ');
      const values = reader.value();
      if (isList(mailbox) || !isList(values)) throw protocolError('wire.syntax', 'no STATUS');
      return { type: 'mailbox-status', mailbox: textOf(mailbox) ?? 'NIL', values: numbersByName(values) };
    }
    case 'SEARCH':
      return { type: 'search', numbers: numbersIn(whole(segments, end).split(' ')) };
    case 'ESEARCH': {
      // (TAG "q1") UID ALL 1:3,5
      const words = whole(segments, end).split(' ');
      const all = words.findIndex((one) => one.toUpperCase() === 'ALL');
      return { type: 'search', numbers: all === -1 ? [] : numbersOfSet(words[all + 1] ?? '') };
    }
    default:
      return { type: 'other', name, text: whole(segments, end) };
  }
}

function numbered(segments: ResponseSegments, { number, name, end }: Numbered): Response {
  switch (name) {
    case 'EXISTS':
    case 'RECENT':
      return { type: 'message-count', name, number };
    case 'EXPUNGE':
      return { type: 'expunge', number };
    case 'FETCH':
      return { type: 'fetch', number, items: itemsOf(new ValueReader(segments, end)) };
    default:
      return { type: 'other', name, text: whole(segments, end) };
  }
}

/** @throws wire.syntax */
function itemsOf(reader: ValueReader): ReadonlyMap<string, Value> {
  const items = new Map<string, Value>();
  reader.expect('(');
  while (!reader.skip(')')) {
    const name = reader.itemName();
    reader.expect(' ');
    items.set(name, reader.value());
    while (reader.skip(' '));
  }
  return items;
}

/** The response code, if there is one, and the words. */
function statusText(
  segments: ResponseSegments,
  at: number,
): { readonly code: ResponseCode | undefined; readonly text: string } {
  const text = whole(segments, at);
  if (!text.startsWith('[')) return { code: undefined, text };
  const close = closingBracket(text);
  if (close === -1) return { code: undefined, text };
  const inner = text.slice(1, close);
  const space = inner.indexOf(' ');
  const name = (space === -1 ? inner : inner.slice(0, space)).toUpperCase();
  return { code: { name, text: space === -1 ? '' : inner.slice(space + 1) }, text };
}

/** Where a code ends: a `]` inside a quoted string does not end it. */
function closingBracket(text: string): number {
  let inQuotes = false;
  for (let at = 1; at < text.length; at++) {
    const char = text[at];
    if (char === '\\' && inQuotes) at += 1;
    else if (char === '"') inQuotes = !inQuotes;
    else if (char === ']' && !inQuotes) return at;
  }
  return text.indexOf(']');
}

/** The word at a place in capitals, and where what follows its space begins. */
function wordAt(text: string, at: number): readonly [string, number] {
  const space = text.indexOf(' ', at);
  const end = space === -1 ? text.length : space;
  return [text.slice(at, end).toUpperCase(), Math.min(end + 1, text.length)];
}

/** All that follows as text for people, literals put in. */
function whole(segments: ResponseSegments, at: number): string {
  const [first, ...others] = segments;
  const rest = (first as string).slice(at);
  const text = others.map((one) => (typeof one === 'string' ? one : (one.data?.toString('latin1') ?? '')));
  return human(rest + text.join(''));
}

function numbersIn(words: readonly string[]): readonly number[] {
  return words.filter((word) => /^\d{1,10}$/.test(word)).map(Number);
}

function numbersOfSet(set: string): readonly number[] {
  const numbers: number[] = [];
  for (const range of set.split(',')) {
    const [from = NaN, to = from] = range.split(':').map(Number);
    for (let one = Math.min(from, to); one <= Math.max(from, to); one++) {
      if (numbers.length >= MAX_NUMBERS) throw protocolError('wire.syntax', 'a search gives too many numbers');
      numbers.push(one);
    }
  }
  return numbers;
}

/** `MESSAGES 5 UIDNEXT 9`; what is no number is left out (RFC 8474 MAILBOXID). */
function numbersByName(values: readonly Value[]): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (let at = 0; at + 1 < values.length; at += 2) {
    const [name, text] = [textOf(values[at]), textOf(values[at + 1])];
    if (name !== undefined && text !== undefined && /^\d{1,20}$/.test(text))
      numbers.set(name.toUpperCase(), Number(text));
  }
  return numbers;
}

/** Octets come as latin1 text; servers write UTF-8. */
function human(text: string): string {
  return /[\x80-\xff]/.test(text) ? Buffer.from(text, 'latin1').toString('utf8') : text;
}

function notOne(line: ResponseSegments[number] | undefined): Error {
  const reply = typeof line === 'string' ? line.slice(0, MAX_SHOWN) : '';
  return protocolError('wire.syntax', `no IMAP response: ${JSON.stringify(reply)}`, { detail: { reply } });
}
