/** A finished message as the body of a request: its header is looked at, the rest passes by. */
import { Pieces } from '../../base/pieces.ts';
import { HeaderReader } from '../../protocol/mime/header-fields.ts';
import { LineEnds } from '../../protocol/mime/line-ends.ts';
import { type HeaderAddresses, headerAddresses } from '../../outbox/header-addresses.ts';

export interface FinishedMessage {
  readonly addresses: HeaderAddresses;
  /** All octets, the header first. */
  readonly octets: AsyncIterable<Uint8Array>;
}

/** Reads up to the end of the header. Lines may end with LF alone, as in files; they leave here with CRLF. @throws outbox.address, outbox.header */
export async function readFinished(source: AsyncIterable<Uint8Array>): Promise<FinishedMessage> {
  const octets = withCrlf(source);
  const reader = new HeaderReader();
  let end: number | undefined;
  while (end === undefined && !reader.endless) {
    const piece = await octets.next();
    if (!piece) break;
    end = reader.add(piece);
  }
  const begin = reader.octets;
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

/** LF and CR CR LF become CRLF. A CR alone stays, and is refused by the outbox. */
function withCrlf(source: AsyncIterable<Uint8Array>): Pieces {
  const pieces = source[Symbol.asyncIterator]();
  const ends = new LineEnds('stays');
  let over = false;
  return new Pieces(async () => {
    while (!over) {
      const { value: piece, done } = await pieces.next();
      over = done === true;
      const octets = over ? ends.end() : ends.add(Buffer.from(piece!.buffer, piece!.byteOffset, piece!.length));
      if (octets.length > 0) return octets;
    }
    return undefined;
  });
}
