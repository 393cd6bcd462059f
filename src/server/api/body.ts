/** Bodies that are read as they arrive. */
import type { IncomingMessage } from 'node:http';
import { Pieces } from '../../base/pieces.ts';
import { apiError } from './errors.ts';
import type { ApiContext } from './request.ts';

/**
 * The octets of a request, as the connection gives them where there is one: a web stream of them costs more than taking in
 * the message. @throws api.request when the client goes away before the end, so that nothing half is taken
 */
export function octetsOf(c: ApiContext): AsyncIterable<Uint8Array> {
  const { incoming } = c.env;
  return incoming ? octetsOfIncoming(incoming) : octetsOfRequest(c.req.raw);
}

function octetsOfIncoming(incoming: IncomingMessage): Pieces {
  return new Pieces(async () => {
    for (;;) {
      const piece = incoming.read() as Buffer | null;
      if (piece) return piece;
      if (incoming.readableEnded) return undefined;
      if (incoming.destroyed) throw brokenOff(incoming.errored);
      await changed(incoming);
    }
  });
}

/** Resolves when there is more, or no more. */
function changed(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    const events = ['readable', 'end', 'close', 'error'] as const;
    const done = (): void => {
      for (const event of events) incoming.off(event, done);
      resolve();
    };
    for (const event of events) incoming.on(event, done);
  });
}

async function* octetsOfRequest(request: Request): AsyncGenerator<Uint8Array> {
  const expected = Number(request.headers.get('content-length') ?? Number.NaN);
  let seen = 0;
  try {
    for await (const octets of (request.body ?? []) as AsyncIterable<Uint8Array>) {
      seen += octets.length;
      yield octets;
    }
  } catch (cause) {
    if (request.signal.aborted) throw brokenOff(cause);
    throw cause;
  }
  if (request.signal.aborted || (!Number.isNaN(expected) && seen < expected)) throw brokenOff();
}

/** @throws api.request */
export async function jsonOf(request: { json(): Promise<unknown> }): Promise<unknown> {
  try {
    return await request.json();
  } catch (cause) {
    throw apiError('api.request', 'the body is no valid JSON', { cause });
  }
}

function brokenOff(cause?: unknown): Error {
  return apiError('api.request', 'the client went away before the end of the body', { cause });
}
