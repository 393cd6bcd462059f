/** A door behind which HTTP is spoken: TLS is the door's, requests are Node's, time is the tenant's. */
import { createServer, type RequestListener } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { openDoor, type Door, type DoorOptions } from './door.ts';

/** Serves HTTPS. `clock` is what the Date header says. @throws sandbox.port-taken */
export async function openHttpDoor(
  options: Omit<DoorOptions, 'tls' | 'serve'> & { readonly clock: Clock },
  answer: (...request: Parameters<RequestListener>) => unknown,
): Promise<Door> {
  const server = createServer((request, response) => {
    response.setHeader('date', new Date(options.clock.now()).toUTCString());
    answer(request, response);
  });
  const door = await openDoor({
    ...options,
    tls: 'implicit',
    // Node takes a connection that it did not accept itself (events of http.Server, `connection`).
    serve: ({ socket }) => void server.emit('connection', socket),
  });
  return {
    port: door.port,
    async close() {
      server.closeAllConnections();
      await door.close();
    },
  };
}
