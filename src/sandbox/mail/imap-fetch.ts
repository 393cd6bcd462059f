/** FETCH responses: octets come straight from the stored message. */
import { formatDateTime } from '../../protocol/imap/date.ts';
import type { FetchItem, Section } from '../../protocol/imap/verb/fetch.ts';
import { parseMessage, type Part } from '../../protocol/mime/part.ts';
import { bodyStructure, envelope } from '../../protocol/mime/structure.ts';
import { estimate, malform, NO_QUIRKS, type Quirks, substitute } from './imap-quirks.ts';
import type { View } from './imap-view.ts';
import type { Message } from './store.ts';

const parsed = new WeakMap<Message, Part>();

/** The message's structure, worked out once. */
export function structureOf(message: Message): Part {
  let part = parsed.get(message);
  if (!part) parsed.set(message, (part = parseMessage(message.raw)));
  return part;
}

/** One response in pieces: text holds one octet per character. */
export function fetchResponse(
  view: View,
  index: number,
  items: readonly FetchItem[],
  quirks: Quirks = NO_QUIRKS,
): Buffer[] {
  const message = view.messages[index]!;
  const shown = message === quirks.unretrievable ? substitute(message) : message;
  const out: Buffer[] = [];
  let text = `* ${index + 1} FETCH (`;
  for (const [position, item] of items.entries()) {
    text += `${position > 0 ? ' ' : ''}${item.type === 'SECTION' ? item.label : item.type} `;
    const whole = item.type === 'SECTION' ? sectionOctets(shown, item.section) : undefined;
    if (item.type !== 'SECTION' || !whole) {
      text += item.type === 'SECTION' ? 'NIL' : plainItem(view, message, item.type, quirks);
      continue;
    }
    const { partial } = item;
    const octets = partial ? whole.subarray(partial.offset, partial.offset + partial.octets) : whole;
    out.push(Buffer.from(`${text}{${octets.length}}\r\n`, 'latin1'), octets);
    text = '';
  }
  out.push(Buffer.from(`${text})\r\n`, 'latin1'));
  return out;
}

function plainItem(view: View, message: Message, type: Exclude<FetchItem['type'], 'SECTION'>, quirks: Quirks): string {
  switch (type) {
    case 'FLAGS':
      view.told(message);
      return view.flagsOf(message);
    case 'UID':
      return String(message.uid);
    case 'INTERNALDATE':
      return `"${formatDateTime(message.internalDate)}"`;
    case 'RFC822.SIZE':
      return String(quirks.estimated ? estimate(message.raw.length) : message.raw.length);
    case 'ENVELOPE':
      return envelope(structureOf(message));
    default: {
      const structure = bodyStructure(structureOf(message), type === 'BODYSTRUCTURE');
      return quirks.malformed ? malform(structure) : structure;
    }
  }
}

/** Octets of a section (RFC 3501 §6.4.5); undefined when there is no such part. */
export function sectionOctets(message: Message, { path, text, fields }: Section): Buffer | undefined {
  if (path.length === 0 && text === 'ALL') return message.raw;
  let part = structureOf(message);
  for (const [depth, number] of path.entries()) {
    // Below a message/rfc822 the numbers are those of the message inside.
    const holder = depth > 0 && part.type === 'message' ? part.children[0] : part;
    if (!holder) return undefined;
    const isLeaf = holder.type !== 'multipart';
    if (isLeaf && number === 1 && holder !== part) part = holder;
    else if (isLeaf && number === 1 && depth === 0) continue;
    else {
      const child = isLeaf ? undefined : holder.children[number - 1];
      if (!child) return undefined;
      part = child;
    }
  }
  const { raw } = message;
  if (text === 'ALL') return raw.subarray(part.body, part.end);
  if (text === 'MIME') return raw.subarray(part.start, part.body);
  const inner = path.length === 0 ? part : part.type === 'message' ? part.children[0] : undefined;
  if (!inner) return undefined;
  if (text === 'HEADER') return raw.subarray(inner.start, inner.body);
  if (text === 'TEXT') return raw.subarray(inner.body, inner.end);
  const named = new Set(fields.map((name) => name.toLowerCase()));
  const wanted = inner.fields.filter((field) => named.has(field.name) === (text === 'HEADER.FIELDS'));
  return Buffer.concat([...wanted.map((field) => raw.subarray(field.start, field.end)), Buffer.from('\r\n')]);
}
