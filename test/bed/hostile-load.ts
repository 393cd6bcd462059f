/** Peers that want a gateway to hold as much as it will: each way for a while, beside a program that only wants its answers. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Address } from '../interop/client.ts';
import { residentBytes } from './postern.ts';
import { Wire } from './wire.ts';

export interface Target {
  readonly imap: Address;
  readonly smtp: Address;
  readonly user: string;
  readonly password: string;
  /** An app password whose mail goes to the outbox. */
  readonly outboxPassword: string;
  readonly pid: number;
}

export interface LoadResult {
  /** Bytes of resident memory at the most. */
  readonly peak: number;
  /** Milliseconds the program waited for an answer at the longest. */
  readonly slowest: number;
}

type Load = (target: Target, connections: number, stop: AbortSignal) => Promise<void>;

const PIECE = 64 * 1024;

/** A connection that never reads what it is told. */
async function deaf({ host, port }: Address): Promise<Socket> {
  const socket = connect(port, host);
  socket.on('error', () => undefined);
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  socket.pause();
  return socket;
}

/** Writes the same again and again as fast as it is taken. */
async function pour(socket: Socket, piece: Buffer, stop: AbortSignal): Promise<void> {
  while (!stop.aborted && !socket.destroyed) {
    socket.write(piece);
    while (socket.writableNeedDrain && !socket.destroyed && !stop.aborted) await delay(10);
  }
}

async function together(
  count: number,
  address: Address,
  stop: AbortSignal,
  work: (socket: Socket) => Promise<void>,
): Promise<void> {
  const sockets: Socket[] = [];
  try {
    for (let at = 0; at < count && !stop.aborted; at += 50) {
      const some = Math.min(50, count - at);
      sockets.push(...(await Promise.all(Array.from({ length: some }, () => deaf(address)))));
    }
    await Promise.all(sockets.map(work));
    if (!stop.aborted) await once(stop, 'abort');
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

const plain = (user: string, password: string): string => Buffer.from(`\0${user}\0${password}`).toString('base64');

export const LOADS: Readonly<Record<string, Load>> = {
  'S4: replies to SMTP commands that nobody reads, half a command at the end of each write': (
    { smtp, user, outboxPassword },
    count,
    stop,
  ) =>
    together(Math.min(count, 20), smtp, stop, async (socket) => {
      socket.write(`EHLO x\r\nAUTH PLAIN ${plain(user, outboxPassword)}\r\n`);
      await delay(500);
      socket.write('NO');
      const noops = 'OP\r\n' + 'NOOP\r\n'.repeat(PIECE / 6) + 'NO';
      await pour(socket, Buffer.from(noops), stop);
    }),
  'S4: refusals after an IMAP sign-in that nobody reads': ({ imap, user, password }, count, stop) =>
    // Fewer than the provider lets one mailbox have (RFC 9051 says nothing of it; Exchange: 20).
    together(Math.min(count, 8), imap, stop, async (socket) => {
      socket.write(`a LOGIN ${user} ${password}\r\n`);
      await delay(500);
      await pour(socket, Buffer.from('a COMPRESS DEFLATE\r\n'.repeat(PIECE / 20)), stop);
    }),
  'S4: literals before sign-in that do not come to an end': ({ imap }, count, stop) =>
    together(count, imap, stop, async (socket) => {
      socket.write(`a LOGIN {16000+}\r\n${'x'.repeat(15_999)}`);
    }),
  'S4: garbage behind a sign-in that is being slowed down': ({ imap, user }, count, stop) =>
    together(Math.min(count, 200), imap, stop, async (socket) => {
      socket.write(`${`a LOGIN ${user} wrong\r\n`.repeat(4)}${'x'.repeat(2 * PIECE)}`);
    }),
  'S13: connections that say nothing': ({ imap }, count, stop) => together(count, imap, stop, () => Promise.resolve()),
};

/** Runs a load while a program signs in again and is in a session, and watches memory. */
export async function underLoad(name: string, target: Target, connections: number, ms: number): Promise<LoadResult> {
  const stop = new AbortController();
  const load = LOADS[name]!(target, connections, stop.signal);
  let peak = 0;
  let slowest = 0;
  const bystander = await signedIn(target);
  try {
    for (const end = performance.now() + ms; performance.now() < end; await delay(50)) {
      peak = Math.max(peak, residentBytes(target.pid));
      const started = performance.now();
      bystander.send('n NOOP\r\n');
      await bystander.until(/^n OK .*\r\n/m, 20_000);
      const another = await signedIn(target);
      another.send('z LOGOUT\r\n');
      await another.until(/^z OK .*\r\n/m, 20_000);
      another.destroy();
      slowest = Math.max(slowest, performance.now() - started);
    }
  } finally {
    bystander.destroy();
    stop.abort();
    await load;
  }
  return { peak, slowest };
}

async function signedIn({ imap, user, password }: Target): Promise<Wire> {
  const wire = await Wire.open(imap);
  wire.send(`s LOGIN ${user} ${password}\r\n`);
  await wire.until(/^s OK .*\r\n/m, 20_000);
  return wire;
}
