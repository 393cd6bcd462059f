/** A message as programs write it to sendmail's standard input, read as it comes: LF or CRLF, up to a line with one dot. */
import { HeaderReader } from '../protocol/mime/header-fields.ts';
import { LineEnds } from '../protocol/mime/line-ends.ts';

export interface MailInput {
  /** The whole header with the empty line; all there is where it has no end, or is longer than a header may be. */
  readonly header: Buffer;
  /** The message from its start, with CRLF (RFC 5322 §2.1), in pieces. To be read once. */
  readonly octets: AsyncIterable<Buffer>;
}

/** Resolves when the header is there. @param dotsAreText a line with one dot does not end the message */
export async function readMail(input: AsyncIterable<Uint8Array>, dotsAreText: boolean): Promise<MailInput> {
  const pieces = octetsOf(withCrlf(input), dotsAreText);
  const reader = new HeaderReader();
  let end: number | undefined;
  while (end === undefined && !reader.endless) {
    const next = await pieces.next();
    if (next.done === true) break;
    end = reader.add(next.value);
  }
  const begin = reader.octets;
  const fields = fieldsEnd(begin.subarray(0, end ?? begin.length));
  // `echo text | sendmail bob`, or lines that only look like a field: the header ends where its fields do, as every sendmail takes it.
  if (fields !== undefined) {
    const header = Buffer.concat([begin.subarray(0, fields), EMPTY_LINE]);
    return { header, octets: from(Buffer.concat([header, begin.subarray(fields)]), pieces) };
  }
  return { header: begin.subarray(0, end ?? begin.length), octets: from(begin, pieces) };
}

const EMPTY_LINE = Buffer.from('\r\n');
/** A field's name and colon (RFC 5322 §2.2), what continues one, or the line with which a message in an mbox file begins. */
const OF_HEADER = /^(?:[\x21-\x39\x3b-\x7e]{1,998}[\t ]{0,998}:|[\t ]|>?From )/;

/** Where a line stands that is of no field; undefined where there is none before the empty line. */
function fieldsEnd(octets: Buffer): number | undefined {
  for (let at = 0; at < octets.length;) {
    const end = octets.indexOf('\r\n', at);
    if (end === at) return undefined;
    const line = octets.toString('latin1', at, Math.min(end === -1 ? octets.length : end, at + 2000));
    if (!OF_HEADER.test(line) || (at === 0 && /^[\t ]/.test(line))) return at;
    if (end === -1) return undefined;
    at = end + 2;
  }
  return undefined;
}

async function* from(begin: Buffer, rest: AsyncGenerator<Buffer, void, void>): AsyncGenerator<Buffer, void, void> {
  yield begin;
  yield* rest;
}

/** Octets as latin1 text, each kind of line end as CRLF. */
async function* withCrlf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const ends = new LineEnds('ends-line');
  for await (const piece of input) yield ends.add(Buffer.from(piece)).toString('latin1');
  yield ends.end().toString('latin1');
}

const STOP = '\r\n.\r\n';

/** Up to the stop line, which may be cut anywhere; the last line is ended where its writer did not. */
async function* octetsOf(texts: AsyncIterable<string>, dotsAreText: boolean): AsyncGenerator<Buffer, void, void> {
  // As if a line had ended before the first one, so that the stop line may be that.
  let held = '\r\n';
  let unreal = held.length;
  let last = '\r\n';
  const real = (text: string): Buffer => {
    const skipped = Math.min(unreal, text.length);
    unreal -= skipped;
    last = `${last}${text}`.slice(-2);
    return Buffer.from(text.slice(skipped), 'latin1');
  };
  for await (const text of texts) {
    const all = held + text;
    const stop = dotsAreText ? -1 : all.indexOf(STOP);
    if (stop !== -1) return yield real(all.slice(0, stop + 2));
    const kept = dotsAreText ? 0 : heldBack(all);
    held = all.slice(all.length - kept);
    const piece = real(all.slice(0, all.length - kept));
    if (piece.length > 0) yield piece;
  }
  const end = real(held);
  if (end.length > 0) yield end;
  if (last !== '\r\n') yield Buffer.from('\r\n');
}

/** How many octets at the end may be the beginning of the stop line. */
function heldBack(text: string): number {
  for (let length = Math.min(STOP.length - 1, text.length); length > 0; length--)
    if (text.endsWith(STOP.slice(0, length))) return length;
  return 0;
}
