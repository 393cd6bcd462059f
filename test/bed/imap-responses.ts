/** Responses of an IMAP server as the client's reader puts them together. */
import assert from 'node:assert/strict';
import { Framer } from '../../src/protocol/wire/framer.ts';
import { type ResponseLimits, ResponseReader, type ResponseSegments } from '../../src/protocol/imap/response-reader.ts';

/** All responses in these octets, which come in these pieces. @throws wire.*, AssertionError when part of one is left */
export function segmentsOf(pieces: readonly Buffer[], limits?: ResponseLimits): ResponseSegments[] {
  const framer = new Framer();
  const reader = new ResponseReader(limits);
  const found: ResponseSegments[] = [];
  for (const piece of pieces) {
    framer.push(piece);
    for (let one = reader.next(framer); one; one = reader.next(framer)) {
      assert.ok(one.type === 'response', 'literals are kept');
      found.push(one.segments);
    }
  }
  assert.ok(framer.drained && reader.between, 'nothing is left');
  return found;
}
