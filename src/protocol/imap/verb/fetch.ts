/** FETCH (RFC 3501 §6.4.5; RFC 9051 §6.4.5, §7.5.2): the items that are asked for, and what came of them. */
import { protocolError } from '../../errors.ts';
import type { Response } from '../response.ts';
import { isString, textOf, type Value } from '../response-value.ts';
import type { CommandOptions, CommandResult, ImapSession } from '../session.ts';
import type { CommandReader } from '../token.ts';

export interface Section {
  /** Part numbers; empty for the message itself. */
  readonly path: readonly number[];
  readonly text: 'ALL' | 'HEADER' | 'HEADER.FIELDS' | 'HEADER.FIELDS.NOT' | 'TEXT' | 'MIME';
  /** Field names as the client wrote them. */
  readonly fields: readonly string[];
}

export type FetchItem =
  | { readonly type: 'FLAGS' | 'UID' | 'INTERNALDATE' | 'RFC822.SIZE' | 'ENVELOPE' | 'BODY' | 'BODYSTRUCTURE' }
  | {
      readonly type: 'SECTION';
      /** How the response names it: `BODY[…]` without the partial's length, or an RFC822 name. */
      readonly label: string;
      readonly section: Section;
      readonly peek: boolean;
      readonly partial?: { readonly offset: number; readonly octets: number };
    };

type SectionItem = Extract<FetchItem, { type: 'SECTION' }>;

/** One message's items as a server gave them. */
export class Fetched {
  /** Its sequence number. */
  readonly number: number;
  /** By name in capitals. */
  readonly items: ReadonlyMap<string, Value>;

  constructor({ number, items }: Extract<Response, { type: 'fetch' }>) {
    this.number = number;
    this.items = items;
  }

  get uid(): number | undefined {
    return this.#number('UID');
  }

  get size(): number | undefined {
    return this.#number('RFC822.SIZE');
  }

  /** Milliseconds since the epoch; undefined where it cannot be read. */
  get internalDate(): number | undefined {
    const time = Date.parse(textOf(this.items.get('INTERNALDATE')) ?? '');
    return Number.isNaN(time) ? undefined : time;
  }

  /** The octets of a section that was asked for, however the server wrote the names of fields and the origin. */
  section({ label, section: { text } }: SectionItem): Buffer | undefined {
    const wanted = label.replace(/<\d+>$/, '').toUpperCase();
    // Servers write the list of fields as they like.
    const begins = text === 'HEADER.FIELDS' ? wanted.slice(0, wanted.indexOf('(')) : undefined;
    for (const [name, value] of this.items)
      if (
        name === wanted ||
        (name.startsWith(`${wanted}<`) && name.endsWith('>')) ||
        (begins && name.startsWith(begins))
      )
        return isString(value) ? value.data : undefined;
    return undefined;
  }

  #number(name: string): number | undefined {
    const text = textOf(this.items.get(name));
    return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
  }
}

export interface FetchResult extends CommandResult {
  /** In the server's order; none where it refuses. */
  readonly messages: readonly Fetched[];
}

/**
 * Messages of the selected mailbox.
 * @param set of sequence numbers, or of UIDs where `uid` says so @throws as `ImapSession.run`
 */
export async function fetch(
  session: ImapSession,
  set: string,
  items: readonly FetchItem[],
  { uid = false, ...options }: CommandOptions & { readonly uid?: boolean } = {},
): Promise<FetchResult> {
  const result = await session.run(`${uid ? 'UID ' : ''}FETCH ${set} ${formatFetchItems(items)}`, options);
  const messages = result.responses.flatMap((one) => (one.type === 'fetch' ? [new Fetched(one)] : []));
  return { ...result, messages };
}

/** Named fields of the header, without marking the message as read. */
export function headerFields(...fields: readonly string[]): SectionItem {
  return sectionItem({ path: [], text: 'HEADER.FIELDS', fields }, true);
}

/** The whole message, or its first octets, without marking it as read. */
export function wholeMessage(octets?: number): SectionItem {
  return sectionItem(whole('ALL'), true, octets === undefined ? undefined : { offset: 0, octets });
}

/** Items as they stand in a command. */
export function formatFetchItems(items: readonly FetchItem[]): string {
  const texts = items.map((item) => {
    if (item.type !== 'SECTION' || !item.label.startsWith('BODY['))
      return item.type === 'SECTION' ? item.label : item.type;
    const { section, peek, partial } = item;
    const part = partial === undefined ? '' : `<${partial.offset}.${partial.octets}>`;
    return `BODY${peek ? '.PEEK' : ''}[${formatSection(section)}]${part}`;
  });
  return `(${texts.join(' ')})`;
}

function sectionItem(section: Section, peek: boolean, partial?: SectionItem['partial']): SectionItem {
  const label = `BODY[${formatSection(section)}]`;
  if (partial === undefined) return { type: 'SECTION', label, section, peek };
  return { type: 'SECTION', label: `${label}<${partial.offset}>`, section, peek, partial };
}

const NAME = /[A-Z0-9.]+/iy;
const PART = /\d{1,6}(?:\.\d{1,6})*/y;
const SECTION_TEXT = /HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME/iy;
const PLAIN = ['FLAGS', 'UID', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE', 'BODYSTRUCTURE'] as const;
const FAST = ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE'] as const;

/** @throws wire.syntax */
export function parseFetchItems(reader: CommandReader): FetchItem[] {
  if (reader.peek() === '(') {
    const items = reader.list(() => parseItem(reader));
    if (items.length === 0) throw protocolError('wire.syntax', 'FETCH names no item');
    return items;
  }
  if (reader.skip('ALL')) return [...FAST, 'ENVELOPE' as const].map((type) => ({ type }));
  if (reader.skip('FULL')) return [...FAST, 'ENVELOPE' as const, 'BODY' as const].map((type) => ({ type }));
  if (reader.skip('FAST')) return FAST.map((type) => ({ type }));
  return [parseItem(reader)];
}

const whole = (text: Section['text']): Section => ({ path: [], text, fields: [] });

function parseItem(reader: CommandReader): FetchItem {
  const name = reader.matching(NAME, 'a FETCH item').toUpperCase();
  const plain = PLAIN.find((item) => item === name);
  if (plain !== undefined) return { type: plain };
  if (name === 'RFC822') return { type: 'SECTION', label: name, section: whole('ALL'), peek: false };
  if (name === 'RFC822.HEADER') return { type: 'SECTION', label: name, section: whole('HEADER'), peek: true };
  if (name === 'RFC822.TEXT') return { type: 'SECTION', label: name, section: whole('TEXT'), peek: false };
  if (name !== 'BODY' && name !== 'BODY.PEEK') throw protocolError('wire.syntax', `unknown FETCH item ${name}`);
  if (reader.peek() !== '[') {
    if (name === 'BODY') return { type: 'BODY' };
    throw protocolError('wire.syntax', 'BODY.PEEK needs a section');
  }
  reader.expect('[');
  const section = parseSection(reader);
  reader.expect(']');
  const peek = name === 'BODY.PEEK';
  if (!reader.skip('<')) return sectionItem(section, peek);
  const offset = reader.number();
  reader.expect('.');
  const octets = reader.number();
  reader.expect('>');
  if (octets === 0) throw protocolError('wire.syntax', 'a partial of no octets');
  return sectionItem(section, peek, { offset, octets });
}

function parseSection(reader: CommandReader): Section {
  const path = /\d/.test(reader.peek()) ? reader.matching(PART, 'part numbers').split('.').map(Number) : [];
  if (path.includes(0)) throw protocolError('wire.syntax', 'parts are counted from 1');
  if (reader.peek() === ']') return { path, text: 'ALL', fields: [] };
  if (path.length > 0) reader.expect('.');
  const text = reader.matching(SECTION_TEXT, 'a section').toUpperCase() as Section['text'];
  if (text === 'MIME' && path.length === 0) throw protocolError('wire.syntax', 'MIME needs part numbers');
  if (text !== 'HEADER.FIELDS' && text !== 'HEADER.FIELDS.NOT') return { path, text, fields: [] };
  reader.space();
  return { path, text, fields: reader.list(() => reader.astring().toString('latin1')) };
}

function formatSection(section: Section): string {
  const text = section.text === 'ALL' ? '' : section.text;
  const fields = section.fields.length > 0 ? ` (${section.fields.join(' ')})` : '';
  return `${[...section.path, ...(text ? [text] : [])].join('.')}${fields}`;
}
