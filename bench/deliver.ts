/**
 * Delivering: our outbox, its database on disk, against nodemailer's pool, which keeps nothing; the same sink, as many
 * connections, interleaved.
 *
 *   npm run bench -- deliver [--repeats 3]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import { systemClock } from '../src/base/clock.ts';
import { nullLog } from '../src/base/log.ts';
import { type Delivery, startDelivery } from '../src/outbox/deliver/delivery.ts';
import { DeliveryMarks } from '../src/outbox/deliver/proof.ts';
import type { Route } from '../src/outbox/deliver/types.ts';
import { relayRoute } from '../src/outbox/deliver/relay-route.ts';
import { openStore } from '../src/store/open.ts';
import { type OutboxBed, openOutboxBed } from '../test/bed/outbox.ts';

const MESSAGES = 3000;
const CONNECTIONS = 5;
const WARM_UP = 500;
const TEXT = Buffer.from(
  `From: alice@contoso.test\r\nTo: bob@contoso.test\r\nSubject: bench\r\nMessage-ID: <bench@contoso.test>\r\n` +
    `Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n${`${'x'.repeat(70)}\r\n`.repeat(55)}`,
);

export async function benchDeliver(repeats: number): Promise<void> {
  const sink = fork(import.meta.filename, ['sink'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [port] = (await once(sink, 'message')) as [number];
  try {
    const all: Record<'nodemailer' | 'postern', Figures[]> = { nodemailer: [], postern: [] };
    await nodemailer(port, WARM_UP);
    await postern(port, WARM_UP);
    for (let repeat = 0; repeat < repeats; repeat++) {
      all.nodemailer.push(await nodemailer(port, MESSAGES));
      all.postern.push(await postern(port, MESSAGES));
    }
    const received = await ask(sink);
    const expected = 2 * WARM_UP + repeats * 2 * MESSAGES;
    if (received !== expected) throw new Error(`the sink got ${received} messages instead of ${expected}`);
    const reference = median(all.nodemailer.map(({ perSecond }) => perSecond));
    process.stdout.write(
      `\n| delivered to a sink, 4 KiB, ${CONNECTIONS} connections | messages/s | ratio | CPU µs each |\n|---|---|---|---|\n`,
    );
    for (const [name, figures] of Object.entries(all)) {
      const rate = median(figures.map(({ perSecond }) => perSecond));
      const cpu = median(figures.map((one) => one.cpu));
      process.stdout.write(`| ${name} | ${rate.toFixed(0)} | ${(rate / reference).toFixed(2)} | ${cpu.toFixed(0)} |\n`);
    }
  } finally {
    sink.kill();
  }
}

interface Figures {
  readonly perSecond: number;
  /** Microseconds of this process for a message. */
  readonly cpu: number;
}

/** Starts a watch; calling it stops it. */
function watch(count: number): () => Figures {
  const begun = performance.now();
  const before = process.cpuUsage();
  return () => {
    const { system, user } = process.cpuUsage(before);
    return { perSecond: (count * 1000) / (performance.now() - begun), cpu: (system + user) / count };
  };
}

async function nodemailer(port: number, count: number): Promise<Figures> {
  const pool = createTransport({
    host: '127.0.0.1',
    port,
    pool: true,
    maxConnections: CONNECTIONS,
    maxMessages: Number.POSITIVE_INFINITY,
    secure: false,
    ignoreTLS: true,
    auth: { user: 'alice', pass: 'x' },
  });
  const envelope = { from: 'alice@contoso.test', to: 'bob@contoso.test' };
  const stop = watch(count);
  await Promise.all(Array.from({ length: count }, () => pool.sendMail({ envelope, raw: TEXT })));
  const figures = stop();
  pool.close();
  return figures;
}

/** From the first look into the queue until every message is known as sent. */
async function postern(port: number, count: number): Promise<Figures> {
  const results = join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const folder = mkdtempSync(join(results, 'deliver-'));
  // As a serving process has it.
  const store = await openStore(`sqlite:${join(folder, 'outbox.db')}`, { writer: 'thread' });
  const bed = await openOutboxBed({ store });
  const route = relayRoute({ host: '127.0.0.1', port, tls: 'none', trust: {} }, systemClock, 'bench.test');
  try {
    for (let done = 0; done < count; done += 100)
      await Promise.all(Array.from({ length: 100 }, () => bed.outbox.accept(bed.request(), [TEXT])));
    const stop = watch(count);
    const delivery = deliverBy(route, bed);
    await delivery.idle();
    const figures = stop();
    const { queued, sending } = await bed.outbox.stats();
    if (queued + sending > 0) throw new Error(`${queued + sending} messages were left`);
    await delivery.close();
    return figures;
  } finally {
    await route.close();
    await bed.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Begins to deliver all there is, unpaced, over as many connections as the peer gets. */
export function deliverBy(route: Route, bed: OutboxBed): Delivery {
  return startDelivery({
    store: bed.store,
    outbox: bed.outbox,
    clock: systemClock,
    log: nullLog,
    owner: 'bench',
    marks: new DeliveryMarks(Buffer.alloc(32, 7)),
    routes: () => Promise.resolve([route]),
    limits: () =>
      Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: undefined, connections: CONNECTIONS }),
  });
}

async function ask(sink: ChildProcess): Promise<number> {
  sink.send('count');
  const [count] = (await once(sink, 'message')) as [number];
  return count;
}

const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]!;

/** Takes everything and keeps nothing but the number. */
function serveSink(): void {
  let count = 0;
  const server = createServer((socket) => takeAll(socket, () => void (count += 1)));
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    process.send!(typeof address === 'object' ? address?.port : undefined);
  });
  process.on('message', () => process.send!(count));
}

function takeAll(socket: Socket, taken: () => void): void {
  let unread = '';
  let inData = false;
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.write('220 sink ESMTP\r\n');
  socket.on('data', (octets) => {
    unread += octets.toString('latin1');
    let reply = '';
    for (;;) {
      if (inData) {
        const end = unread.indexOf('\r\n.\r\n');
        if (end === -1) break;
        unread = unread.slice(end + 5);
        inData = false;
        taken();
        reply += '250 2.0.0 OK\r\n';
        continue;
      }
      const end = unread.indexOf('\r\n');
      if (end === -1) break;
      const verb = unread.slice(0, 4).toUpperCase();
      unread = unread.slice(end + 2);
      if (verb === 'EHLO')
        reply += '250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 50000000\r\n250 AUTH PLAIN\r\n';
      else if (verb === 'AUTH') reply += '235 2.7.0 OK\r\n';
      else if (verb === 'DATA') {
        inData = true;
        reply += '354 go on\r\n';
      } else if (verb === 'QUIT') {
        socket.end('221 bye\r\n');
        return;
      } else reply += '250 2.1.0 OK\r\n';
    }
    if (reply !== '') socket.write(reply);
  });
}

if (process.argv[2] === 'sink') serveSink();
