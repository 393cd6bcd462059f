/** HTTP in front of fetch-style handlers: Node's requests become standard ones. Behind a door, or plain on loopback. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../base/clock.ts';
import { serveInOrder } from '../protocol/wire/in-order.ts';
import { type Door, type DoorOptions, openDoor } from './door.ts';
import type { FaultId } from './faults/catalogue.ts';

/** What handlers get besides the request. */
export interface HttpBindings {
  readonly incoming: IncomingMessage;
}

/** Such as an application of Hono. */
export interface FetchHandler {
  fetch(request: Request, bindings: HttpBindings): Response | Promise<Response>;
}

/** A server that asks the handler; `clock` is what the Date header says. The caller listens. */
export function createHttpServer(handler: () => FetchHandler, clock: Clock): Server {
  const server = createServer();
  serveInOrder(server, (incoming, outgoing) => {
    outgoing.setHeader('date', new Date(clock.now()).toUTCString());
    answer(handler(), incoming, outgoing).catch(() => incoming.socket.destroy());
  });
  return server;
}

/** Serves HTTPS behind a door. @throws sandbox.port-taken */
export async function openHttpDoor(
  options: Omit<DoorOptions, 'tls' | 'serve'> & { readonly clock: Clock },
  handler: () => FetchHandler,
): Promise<Door> {
  const server = createHttpServer(handler, options.clock);
  const idle = new Set<Socket>();
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.once('close', () => socket.destroyed || idle.add(socket));
  });
  const door = await openDoor({
    ...options,
    tls: 'implicit',
    serve({ socket }) {
      idle.add(socket);
      socket.once('close', () => idle.delete(socket));
      // Node takes a connection that it did not accept itself (events of http.Server, `connection`).
      server.emit('connection', socket);
    },
  });
  // A connection that is kept alive would pass by everything that goes wrong in connecting.
  const unwatch = options.faults.observe(() => {
    if (CONNECTING.some((fault) => options.faults.has(fault, { place: options.place })))
      for (const socket of idle) socket.destroy();
  });
  return {
    port: door.port,
    close() {
      unwatch();
      return door.close();
    },
  };
}

const CONNECTING: readonly FaultId[] = [
  'connection-refused',
  'connection-dropped',
  'connection-silent',
  'tls-failure',
  'certificate-expired',
  'certificate-wrong-name',
  'certificate-untrusted',
];

async function answer(handler: FetchHandler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const request = requestOf(incoming);
  if (request === undefined) return void outgoing.writeHead(400, { connection: 'close' }).end();
  const response = await handler.fetch(request, { incoming });
  const headers: Record<string, string | string[]> = Object.fromEntries(response.headers);
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) headers['set-cookie'] = cookies;
  // A body that nobody read cannot be told from the next request.
  if (!incoming.complete) headers['connection'] = 'close';
  outgoing.writeHead(response.status, headers);
  if (response.body === null) outgoing.end();
  else await pipeline(Readable.fromWeb(response.body), outgoing);
  if (!incoming.complete) incoming.resume();
}

/** Undefined for what the fetch API has no request of: TRACE, a target with a user name or that is none. */
function requestOf(incoming: IncomingMessage): Request | undefined {
  const scheme = (incoming.socket as Partial<TLSSocket>).encrypted === true ? 'https' : 'http';
  const headers = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct))
    for (const value of values ?? []) headers.append(name, value);
  const method = incoming.method ?? 'GET';
  const hasBody = 'content-length' in incoming.headers || 'transfer-encoding' in incoming.headers;
  const url = URL.parse(incoming.url ?? '/', `${scheme}://${incoming.headers.host ?? 'localhost'}`);
  if (url === null || url.username !== '' || url.password !== '' || method === 'TRACE') return undefined;
  return new Request(url, {
    method,
    headers,
    ...(hasBody && method !== 'GET' && method !== 'HEAD' ? { body: Readable.toWeb(incoming), duplex: 'half' } : {}),
  });
}
