/** Bodies that are read as they arrive. */
import { apiError } from './errors.ts';

/** The octets of a request. @throws api.request when the client goes away before the end, so that nothing half is taken */
export async function* octetsOf(request: Request): AsyncGenerator<Uint8Array> {
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
