/**
 * The requests of one HTTP connection, one at a time. RFC 9112 §9.3.2 lets a client send requests without waiting for answers; Node hands
 * over every one that it finds in what it has read, 64 KiB at a time, and keeps all their answers: a client that does not read
 * would fill the memory with them.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests that may wait behind the one being answered. Hardly any client sends one; each may hold a header of 16 KiB. */
export const MAX_PIPELINED = 4;

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

/** Has a server answer through `serve`, which is called with the next request of a connection once the one before it has its whole answer. */
export function serveInOrder(server: Server, serve: Serve): void {
  const waiting = new WeakMap<Socket, Parameters<Serve>[]>();
  const begin = (request: IncomingMessage, response: ServerResponse, socket: Socket): void => {
    response.once('close', () => {
      // A connection that ends with this answer, or has ended, has no next one.
      const next = socket.writable ? waiting.get(socket)?.shift() : undefined;
      if (next) begin(...next, socket);
      else waiting.delete(socket);
    });
    serve(request, response);
  };
  const arrived: Serve = (request, response) => {
    const { socket } = request;
    const queue = waiting.get(socket);
    if (queue === undefined) {
      waiting.set(socket, []);
      begin(request, response, socket);
    } else if (queue.length < MAX_PIPELINED && !socket.destroyed) queue.push([request, response]);
    else {
      // What else was read at once is still handed over, and let go here.
      queue.length = 0;
      socket.destroy();
    }
  };
  server.on('request', arrived);
  // Node would answer these by itself, out of turn and out of sight.
  server.on('checkExpectation', arrived);
  // Likewise of what is no request: while one is being answered, the client would take these words for the answer to that.
  server.on('clientError', ({ code = '' }: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket;
    if (waiting.has(socket) || !socket.writable) socket.destroy();
    else
      socket.end(`HTTP/1.1 ${REFUSALS[code] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`, () =>
        socket.destroy(),
      );
  });
}

/** As Node says them (RFC 9110 §15.5, RFC 6585 §5). */
const REFUSALS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};
