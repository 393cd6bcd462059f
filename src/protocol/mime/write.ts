/** Messages, written: header and MIME tree (RFC 5322, RFC 2045, 2046), octets as they are needed. No I/O of its own. */
import { nameParameter, parameter, parameterField } from './field.ts';
import { base64, base64Stream, quotedPrintable } from './transfer-encoding.ts';

/** A part of a message: its own header fields, and what follows them. */
interface Part {
  readonly fields: string;
  readonly body: Body;
}

type Body =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'octets'; readonly octets: Iterable<Buffer> }
  | { readonly type: 'stream'; readonly octets: AsyncIterable<Buffer> }
  | { readonly type: 'parts'; readonly parts: readonly Part[]; readonly boundary: string };

export interface Attachment {
  readonly filename: string;
  readonly contentType: string;
  /** Octets that are here, or that are read when their turn comes. */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** Shown inside the HTML by `cid:`; without angle brackets. */
  readonly cid?: string;
}

export interface Content {
  readonly text?: string | undefined;
  readonly html?: string | undefined;
  readonly attachments: readonly Attachment[];
}

/** Characters without CRLF (RFC 5322 §2.1.1). */
const MAX_LINE = 998;
/** With more than one octet in so many that is not ASCII there is little to read in quoted-printable, and base64 is shorter. */
const FEW = 3;

/**
 * Words and attachments as programs expect them: text and HTML are alternatives, what the HTML shows is related to it, the rest
 * is mixed in (RFC 2046 §5.1, RFC 2387). One part alone is the message itself.
 * @param unique in no message before: boundaries are made of it
 */
export function contentPart({ text, html, attachments }: Content, unique: string): Part {
  let boundaries = 0;
  const together = (kind: string, parts: readonly Part[], ...parameters: readonly string[]): Part =>
    parts.length === 1 ? parts[0]! : multipart(kind, parts, `=_${unique}_${boundaries++}`, parameters);
  const shown = (one: Attachment): boolean => html !== undefined && one.cid !== undefined;
  const related = attachments.filter(shown).map((one) => attachmentPart(one, 'inline'));
  const others = attachments.filter((one) => !shown(one)).map((one) => attachmentPart(one, 'attachment'));
  const words: Part[] = [];
  const hasText = text !== undefined && text !== '';
  if (hasText || (html === undefined && others.length === 0)) words.push(textPart('plain', text ?? ''));
  if (html !== undefined) words.push(together('related', [textPart('html', html), ...related], 'type="text/html"'));
  return together('mixed', [...(words.length === 0 ? [] : [together('alternative', words)]), ...others]);
}

/** @param text with line ends of any kind; kept readable where it may be */
export function textPart(subtype: string, text: string): Part {
  const lines = text.replace(/\r\n?|\n/g, '\r\n');
  const type = `Content-Type: text/${subtype}; charset=utf-8\r\n`;
  const fields = (encoding: string): string => `${type}Content-Transfer-Encoding: ${encoding}\r\n`;
  if (!/[^\t\r\n -~]/.test(lines) && areShort(lines))
    return { fields: fields('7bit'), body: { type: 'text', text: lines } };
  const octets = Buffer.from(lines);
  let foreign = 0;
  for (const octet of octets) if (octet > 126) foreign += 1;
  return foreign * FEW > octets.length
    ? { fields: fields('base64'), body: { type: 'octets', octets: base64(octets) } }
    : { fields: fields('quoted-printable'), body: { type: 'octets', octets: quotedPrintable(octets) } };
}

const OCTETS = { type: 'application/octet-stream', parameters: [] };

/**
 * A media type as it was given (RFC 2045 §5.1), its parameters written once each, and not `name`, which is the file's. What
 * cannot be read is left out.
 */
function mediaTypeOf(text: string): { readonly type: string; readonly parameters: readonly string[] } {
  const type = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+/.exec(text)?.[0];
  if (type === undefined) return OCTETS;
  const parameters = new Map<string, readonly string[]>([['name', []]]);
  const next = /\s*;\s*([\w-]+)=(?:"([^"\r\n]*)"|([\w.+-]+))/y;
  next.lastIndex = type.length;
  for (let found = next.exec(text); found; found = next.exec(text)) {
    const [, name = '', quoted, token = ''] = found;
    if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), parameter(name, quoted ?? token));
  }
  return { type, parameters: [...parameters.values()].flat() };
}

/** RFC 2183. What others made is base64 whatever it is, so that it comes back octet for octet. */
function attachmentPart({ filename, contentType, content, cid }: Attachment, disposition: string): Part {
  // RFC 2046 §5.1 and §5.2.1 forbid to encode these, so what others made goes as octets of no known kind.
  const given = mediaTypeOf(contentType);
  const { type, parameters } = /^(?:message|multipart)\//i.test(given.type) ? OCTETS : given;
  const id = cid === undefined ? '' : `Content-ID: <${cid.replace(/[^!-~]+/g, '')}>\r\n`;
  return {
    fields:
      parameterField('Content-Type', type, [...parameters, ...nameParameter('name', filename)]) +
      id +
      'Content-Transfer-Encoding: base64\r\n' +
      parameterField('Content-Disposition', disposition, parameter('filename', filename)),
    body:
      content instanceof Uint8Array
        ? { type: 'octets', octets: base64(content) }
        : { type: 'stream', octets: base64Stream(content) },
  };
}

/** RFC 2046 §5.1. @param boundary in none of the parts; `=_` is in nothing that is encoded */
function multipart(kind: string, parts: readonly Part[], boundary: string, parameters: readonly string[] = []): Part {
  const fields = parameterField('Content-Type', `multipart/${kind}`, [...parameters, `boundary="${boundary}"`]);
  return { fields, body: { type: 'parts', parts, boundary } };
}

/** The octets of a message. @param fields of its header, each with CRLF, but those of MIME, which follow from the part */
export function writeMessage(fields: readonly string[], part: Part): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  const root = { ...part, fields: `${fields.join('')}MIME-Version: 1.0\r\n${part.fields}` };
  const pieces = joined(piecesOf(root));
  return hasStream(root) ? streamed(pieces) : withoutStreams(pieces);
}

function hasStream({ body }: Part): boolean {
  return body.type === 'stream' || (body.type === 'parts' && body.parts.some(hasStream));
}

type Piece = Buffer | AsyncIterable<Buffer>;

function* piecesOf({ fields, body }: Part): Generator<string | Piece> {
  yield `${fields}\r\n`;
  if (body.type === 'text') yield body.text;
  else if (body.type === 'octets') yield* body.octets;
  else if (body.type === 'stream') yield body.octets;
  else {
    let before = '';
    for (const part of body.parts) {
      yield `${before}--${body.boundary}\r\n`;
      yield* piecesOf(part);
      before = '\r\n';
    }
    yield `\r\n--${body.boundary}--\r\n`;
  }
}

/** Texts that follow each other as one buffer: a short message is a single one. */
function* joined(pieces: Iterable<string | Piece>): Generator<Piece> {
  let text = '';
  for (const piece of pieces) {
    if (typeof piece === 'string') text += piece;
    else {
      if (text !== '') yield Buffer.from(text);
      text = '';
      yield piece;
    }
  }
  if (text !== '') yield Buffer.from(text);
}

function* withoutStreams(pieces: Iterable<Piece>): Generator<Buffer> {
  for (const piece of pieces) if (Buffer.isBuffer(piece)) yield piece;
}

async function* streamed(pieces: Iterable<Piece>): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) yield piece;
    else yield* piece;
  }
}

function areShort(text: string): boolean {
  for (let from = 0; ;) {
    const end = text.indexOf('\r\n', from);
    if (end === -1) return text.length - from <= MAX_LINE;
    if (end - from > MAX_LINE) return false;
    from = end + 2;
  }
}
