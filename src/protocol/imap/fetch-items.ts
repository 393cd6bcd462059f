/** What FETCH asks for (RFC 3501 §6.4.5 and §9 `fetch-att`). */
import { protocolError } from '../errors.ts';
import type { CommandReader } from './token.ts';

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
  const label = `BODY[${formatSection(section)}]`;
  const peek = name === 'BODY.PEEK';
  if (!reader.skip('<')) return { type: 'SECTION', label, section, peek };
  const offset = reader.number();
  reader.expect('.');
  const octets = reader.number();
  reader.expect('>');
  if (octets === 0) throw protocolError('wire.syntax', 'a partial of no octets');
  return { type: 'SECTION', label: `${label}<${offset}>`, section, peek, partial: { offset, octets } };
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
