/** Octets as mail carries them (RFC 2045 §6), piece by piece, in lines of at most 76 characters. In linear time. */

const LINE_CHARACTERS = 76;
const LINE_OCTETS = 57;
/** Octets encoded at once. */
const AT_ONCE = 1024 * LINE_OCTETS;

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const EQUALS = 61;
const TILDE = 126;
const HEX = Buffer.from('0123456789ABCDEF', 'latin1');

/** RFC 2045 §6.8. Every line has its CRLF. */
export function* base64(octets: Uint8Array): Generator<Buffer> {
  for (let at = 0; at < octets.length; at += AT_ONCE) yield base64Lines(octets.subarray(at, at + AT_ONCE));
}

/** As `base64`, of octets that are read as they are needed. */
export async function* base64Stream(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest: Uint8Array = Buffer.alloc(0);
  for await (const octets of source) {
    const all = Buffer.concat([rest, octets]); // also a copy of its own: the source may use its memory again
    const whole = all.length - (all.length % LINE_OCTETS);
    rest = all.subarray(whole);
    yield* base64(all.subarray(0, whole));
  }
  yield* base64(rest);
}

/** Copied in one buffer: a string for each line would be garbage by the million. */
function base64Lines(octets: Uint8Array): Buffer {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('base64');
  const encoded = Buffer.from(text, 'latin1');
  const out = Buffer.allocUnsafe(encoded.length + 2 * Math.ceil(encoded.length / LINE_CHARACTERS));
  let to = 0;
  for (let from = 0; from < encoded.length; from += LINE_CHARACTERS) {
    to += encoded.copy(out, to, from, from + LINE_CHARACTERS);
    out[to++] = CR;
    out[to++] = LF;
  }
  return out;
}

/** RFC 2045 §6.7. @param octets a text with CRLF */
export function* quotedPrintable(octets: Uint8Array): Generator<Buffer> {
  // An octet becomes three at most, and a soft line break comes before one of them.
  const most = 6;
  const out = Buffer.allocUnsafe(Math.min(octets.length * most, AT_ONCE) + most);
  let to = 0;
  let column = 0;
  for (let at = 0; at < octets.length; at++) {
    if (to > out.length - most) {
      yield Buffer.from(out.subarray(0, to));
      to = 0;
    }
    const octet = octets[at]!;
    if (octet === CR && octets[at + 1] === LF) {
      out[to++] = CR;
      out[to++] = LF;
      at += 1;
      column = 0;
      continue;
    }
    const isLast = at + 1 === octets.length || octets[at + 1] === CR;
    const isSpace = octet === SPACE || octet === TAB;
    const isLiteral = isSpace ? !isLast : octet > SPACE && octet <= TILDE && octet !== EQUALS;
    const width = isLiteral ? 1 : 3;
    // The last place of a line is for the sign of a soft break.
    if (column + width > LINE_CHARACTERS - 1) {
      out[to++] = EQUALS;
      out[to++] = CR;
      out[to++] = LF;
      column = 0;
    }
    column += width;
    if (isLiteral) out[to++] = octet;
    else {
      out[to++] = EQUALS;
      out[to++] = HEX[octet >> 4]!;
      out[to++] = HEX[octet & 15]!;
    }
  }
  yield out.subarray(0, to);
}
