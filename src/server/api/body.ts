/** Bodies that are read as they arrive. */
import type { IncomingMessage } from 'node:http';
import { Pieces } from '../../base/pieces.ts';
import { apiError } from './errors.ts';

/**
 * The octets of a request as the connection gives them: a web stream of them costs more than taking in the message.
 * @throws api.request when the client goes away before the end, so that nothing half is taken
 */
export function octetsOf(incoming: IncomingMessage): Pieces {
  return new Pieces(async () => {
    for (;;) {
      const piece = incoming.read() as Buffer | null;
      if (piece) return piece;
      if (incoming.readableEnded) return undefined;
      if (incoming.destroyed)
        throw apiError('api.request', 'the client went away before the end of the body', { cause: incoming.errored });
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

/** @throws api.request */
export async function jsonOf(request: { json(): Promise<unknown> }): Promise<unknown> {
  try {
    return await request.json();
  } catch (cause) {
    throw apiError('api.request', 'the body is no valid JSON', { cause });
  }
}
