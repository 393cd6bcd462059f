/** Bodies as they arrive. */
import type { IncomingMessage } from 'node:http';
import { type Clock, systemClock } from '../../base/clock.ts';
import { Pieces } from '../../base/pieces.ts';
import { apiError } from './errors.ts';
import { JsonBounds } from './json-bounds.ts';
import type { Room } from './room.ts';

/** Waiting that every body may cost: a line that has to be dialled first. */
const GRACE_MS = 10_000;
/** Beyond it, a millisecond for each octet that has come: 1 KB a second is slower than any line in use. */
const MS_PER_OCTET = 1;
/** However much has come, no longer than this for the next piece. */
const MAX_SILENCE_MS = 30_000;

/**
 * The octets of a request as the connection gives them: a web stream of them costs more than taking in the message.
 * @throws api.request when the client goes away before the end, so that nothing half is taken; api.slow
 */
export function octetsOf(incoming: IncomingMessage, clock: Clock = systemClock): Pieces {
  let octets = 0;
  // Only what its client lets us wait counts against it, not what we do with its octets meanwhile.
  let waited = 0;
  return new Pieces(async () => {
    for (;;) {
      const piece = incoming.read() as Buffer | null;
      if (piece) {
        octets += piece.length;
        return piece;
      }
      if (incoming.readableEnded) return undefined;
      if (incoming.destroyed)
        throw apiError('api.request', 'the client went away before the end of the body', { cause: incoming.errored });
      const left = Math.min(MAX_SILENCE_MS, GRACE_MS + octets * MS_PER_OCTET - waited);
      const began = clock.now();
      if (left <= 0 || !(await changed(incoming, clock, left)))
        throw apiError('api.slow', `the body comes too slowly: ${octets} octets, then nothing for too long`);
      waited += Math.max(0, clock.now() - began);
    }
  });
}

/** Resolves when there is more, or no more; false after `ms` without either. */
function changed(incoming: IncomingMessage, clock: Clock, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const events = ['readable', 'end', 'close', 'error'] as const;
    const settle = (inTime: boolean): void => {
      timer.cancel();
      for (const event of events) incoming.off(event, done);
      resolve(inTime);
    };
    const done = (): void => settle(true);
    const timer = clock.after(ms, () => settle(false));
    for (const event of events) incoming.on(event, done);
  });
}

/**
 * A whole body of JSON as text, within the bounds of {@link JsonBounds}. Room is taken as it comes: for the octets, and once more for
 * the text.
 * @throws api.too-large, api.busy, api.slow, api.request
 */
export async function readText(
  octets: AsyncIterable<Uint8Array>,
  { most, room, announced }: { readonly most: number; readonly room: Room; readonly announced: number | undefined },
): Promise<string> {
  if ((announced ?? 0) > most) throw tooLarge(most);
  const pieces: Uint8Array[] = [];
  const bounds = new JsonBounds();
  let size = 0;
  for await (const piece of octets) {
    size += piece.length;
    if (size > most) throw tooLarge(most);
    bounds.add(piece);
    await room.take(2 * piece.length);
    pieces.push(piece);
    // Many small pieces cost far more than their octets.
    if (pieces.length === MAX_PIECES) pieces.splice(0, pieces.length, Buffer.concat(pieces));
  }
  return new TextDecoder().decode(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
}

/** Put together whenever there are so many; each costs some 100 octets beside its own. */
const MAX_PIECES = 1000;

function tooLarge(most: number): Error {
  return apiError('api.too-large', `a JSON body has at most ${most} octets`, { detail: { most } });
}

/** @throws api.request */
export async function jsonOf(request: { json(): Promise<unknown> }): Promise<unknown> {
  try {
    return await request.json();
  } catch (cause) {
    throw apiError('api.request', 'the body is no valid JSON', { cause });
  }
}
