/** A finished message as the body of a request: its header is looked at, the rest passes by. */
import { Pieces } from '../../base/pieces.ts';
import { headerEnd, MOST_HEADER } from '../../outbox/header.ts';
import { type HeaderAddresses, headerAddresses } from '../../outbox/header-addresses.ts';

export interface FinishedMessage {
  readonly addresses: HeaderAddresses;
  /** All octets, the header first. */
  readonly octets: AsyncIterable<Uint8Array>;
}

/** Reads up to the end of the header. Lines may end with LF alone, as in files; they leave here with CRLF. @throws outbox.address */
export async function readFinished(source: AsyncIterable<Uint8Array>): Promise<FinishedMessage> {
  const octets = withCrlf(source);
  let begin: Buffer = Buffer.alloc(0);
  let end: number | undefined;
  while (end === undefined && begin.length <= MOST_HEADER) {
    const piece = await octets.next();
    if (!piece) break;
    begin = begin.length === 0 ? piece : Buffer.concat([begin, piece]);
    end = headerEnd(begin);
  }
  const addresses = headerAddresses(begin.subarray(0, end ?? begin.length));
  let first = begin.length > 0;
  return {
    addresses,
    octets: new Pieces(async () => {
      if (!first) return octets.next();
      first = false;
      return begin;
    }),
  };
}

const LF = 10;
const CR = 13;

/** Puts CR before each LF that has none. A CR alone stays, and is refused by the outbox. */
function withCrlf(source: AsyncIterable<Uint8Array>): Pieces {
  const pieces = source[Symbol.asyncIterator]();
  let last = 0;
  return new Pieces(async () => {
    const { value: piece, done } = await pieces.next();
    if (done === true) return undefined;
    const octets = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    const parts: Buffer[] = [];
    let from = 0;
    for (let at = octets.indexOf(LF); at >= 0; at = octets.indexOf(LF, at + 1)) {
      if ((at === 0 ? last : octets[at - 1]) === CR) continue;
      parts.push(octets.subarray(from, at), CRLF);
      from = at + 1;
    }
    last = octets.at(-1) ?? last;
    return parts.length === 0 ? octets : Buffer.concat([...parts, octets.subarray(from)]);
  });
}

const CRLF = Buffer.from('\r\n');
