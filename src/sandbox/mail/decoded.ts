/** What a person sees of a message: encoded words and transfer encodings undone, for SEARCH (RFC 2047, RFC 2045 §6). */
import { fieldOf, parseParameters, type Part } from '../../protocol/mime/part.ts';
import { structureOf } from './imap-fetch.ts';
import type { Message } from './store.ts';

export interface Decoded {
  /** Fields in order: names in lower case, values as read. */
  readonly fields: readonly { readonly name: string; readonly value: string }[];
  /** Texts of all textual parts. */
  readonly body: string;
}

/** Texts beyond this are not searched: a search must not decode hundreds of megabytes. */
const MAX_TEXT = 4 * 1024 * 1024;
const decoded = new WeakMap<Message, Decoded>();

/** Everything in lower case. Worked out once. */
export function decodedOf(message: Message): Decoded {
  let found = decoded.get(message);
  if (!found) {
    const part = structureOf(message);
    const fields = part.fields.map(({ name, value }) => ({ name, value: decodeWords(value).toLowerCase() }));
    const texts: string[] = [];
    collect(part, texts, { left: MAX_TEXT });
    decoded.set(message, (found = { fields, body: texts.join('\n').toLowerCase() }));
  }
  return found;
}

function collect(part: Part, texts: string[], room: { left: number }): void {
  for (const child of part.children) {
    if (part.type === 'message') texts.push(...child.fields.map(({ name, value }) => `${name}: ${decodeWords(value)}`));
    collect(child, texts, room);
  }
  if (part.children.length > 0 || part.type !== 'text' || room.left <= 0) return;
  const octets = part.raw.subarray(part.body, Math.min(part.end, part.body + room.left));
  room.left -= octets.length;
  const encoding = fieldOf(part, 'content-transfer-encoding')?.trim().toLowerCase();
  const charset = part.parameters.find(([name]) => name === 'charset')?.[1];
  texts.push(toText(undo(octets, encoding), charset));
}

function undo(octets: Buffer, encoding: string | undefined): Buffer {
  if (encoding === 'base64') return Buffer.from(octets.toString('latin1'), 'base64');
  if (encoding !== 'quoted-printable') return octets;
  const text = octets.toString('latin1').replaceAll(/=\r?\n/g, '');
  return Buffer.from(text.replaceAll(/=([\dA-F]{2})/gi, hexOctet), 'latin1');
}

const hexOctet = (_: string, hex: string): string => String.fromCharCode(Number.parseInt(hex, 16));

/** Encoded words in a field; white space between two of them goes (RFC 2047 §6.2). One octet per character in. */
export function decodeWords(value: string): string {
  const plain = toText(Buffer.from(value, 'latin1'), 'utf-8');
  if (!plain.includes('=?')) return plain;
  return plain
    .replaceAll(/(\?=)[ \t\r\n]+(?==\?[^\s?]{1,75}\?[BQ]\?)/gi, '$1')
    .replaceAll(
      /=\?([^\s?*]{1,75})(?:\*[^\s?]{0,20})?\?([BQ])\?([^\s?]{0,1000})\?=/gi,
      (_, charset: string, how: string, text: string) => {
        const octets =
          how.toUpperCase() === 'B'
            ? Buffer.from(text, 'base64')
            : Buffer.from(text.replaceAll('_', ' ').replaceAll(/=([\dA-F]{2})/gi, hexOctet), 'latin1');
        return toText(octets, charset);
      },
    );
}

/** Unknown charsets are read as one octet per character. */
function toText(octets: Buffer, charset = 'us-ascii'): string {
  const { value } = parseParameters(charset);
  try {
    // ASCII that is not: most often UTF-8.
    return new TextDecoder(/^us-ascii$/i.test(value) ? 'utf-8' : value).decode(octets);
  } catch {
    return octets.toString('latin1');
  }
}
