/** Loopback listeners of the sandbox. */
import type { Server as HttpServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { listenFailure } from '../base/listen-failure.ts';
import { sandboxError } from './errors.ts';

export const LOOPBACK = '127.0.0.1';

/**
 * Listens on loopback and gives the port.
 * @param port 0 for any free one
 * @throws sandbox.port-taken
 */
export async function listen(server: Server, port: number, what: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host: LOOPBACK, port }, resolve);
  try {
    await promise;
  } catch (cause) {
    throw portTaken(cause, port, what);
  } finally {
    server.off('error', reject);
  }
  return (server.address() as AddressInfo).port;
}

/** Stops an HTTP server with its open connections. */
export function closeNow(server: HttpServer): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  return promise;
}

/** Opens a port again that was closed for a while. */
export async function listenAgain(server: Server, port: number): Promise<void> {
  await listen(server, port, 'the same again');
}

/** The failure to listen as ours where the port is the reason, anything else unchanged. */
function portTaken(cause: unknown, port: number, what: string): unknown {
  const { taken, why } = listenFailure(cause, { host: LOOPBACK, port, what });
  const { code } = cause as NodeJS.ErrnoException;
  if (!taken && code !== 'EACCES') return cause;
  const text = `port ${port} for ${what} ${taken ? 'is taken' : 'cannot be opened'}: ${why}`;
  return sandboxError('sandbox.port-taken', text, { detail: { port, what }, cause });
}
