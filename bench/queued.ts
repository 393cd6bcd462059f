/**
 * What a message costs with a thousand others in the queue, and with a million: accepted and delivered, the same sink, as
 * many connections, interleaved.
 *
 *   npm run bench -- queued [--repeats 3] [--messages 1000000]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fsyncSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../src/base/clock.ts';
import { relayRoute } from '../src/outbox/deliver/relay-route.ts';
import { openStore } from '../src/store/open.ts';
import { openOutboxBed, type OutboxBed } from '../test/bed/outbox.ts';
import { deliverBy } from './deliver.ts';

const FEW = 1000;
const MEASURED = 2000;
const AT_ONCE = 50;
const MAILBOXES = 20;
const TEXT = Buffer.from(
  `From: alice@contoso.test\r\nTo: bob@contoso.test\r\nSubject: bench\r\n` +
    `Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n${`${'x'.repeat(70)}\r\n`.repeat(55)}`,
);

export async function benchQueued(repeats: number, many: number): Promise<void> {
  const sink = fork(join(import.meta.dirname, 'deliver.ts'), ['sink'], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const results = join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const folder = mkdtempSync(join(results, 'queued-'));
  const beds = new Map<number, OutboxBed>();
  try {
    const [port] = (await once(sink, 'message')) as [number];
    const queues = new Map<number, Figures[]>([
      [FEW, []],
      [many, []],
    ]);
    for (const count of queues.keys()) beds.set(count, await fill(join(folder, `${count}.db`), count));
    for (const bed of beds.values()) await measure(bed, port);
    for (let repeat = 0; repeat < repeats; repeat++)
      for (const [count, figures] of queues) {
        const one = await measure(beds.get(count)!, port);
        process.stderr.write(
          `${count} queued: ${one.accepted.toFixed(0)} µs accepted, ${one.sent.toFixed(0)} µs sent\n`,
        );
        figures.push(one);
      }
    const [few, lots] = [queues.get(FEW)!, queues.get(many)!];
    process.stdout.write(`\n| µs a message | ${FEW} queued | ${many} queued | ratio |\n|---|---|---|---|\n`);
    for (const [name, of] of [
      ['accepted', (one: Figures) => one.accepted],
      ['delivered', (one: Figures) => one.sent],
      ['both', (one: Figures) => one.accepted + one.sent],
    ] as const) {
      const [a, b] = [median(few.map(of)), median(lots.map(of))];
      process.stdout.write(`| ${name} | ${a.toFixed(0)} | ${b.toFixed(0)} | ${(b / a).toFixed(2)} |\n`);
    }
  } finally {
    sink.kill();
    for (const bed of beds.values()) await bed.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Microseconds of the wall clock a message. */
interface Figures {
  readonly accepted: number;
  readonly sent: number;
}

/** A queue of so many: copies of one real message for other mailboxes, half due and held, half scheduled for later. */
async function fill(path: string, count: number): Promise<OutboxBed> {
  // As a serving process has it.
  const bed = await openOutboxBed({ store: await openStore(`sqlite:${path}`, { writer: 'thread' }) });
  const { message } = await bed.outbox.accept(bed.request(), [TEXT]);
  await bed.outbox.cancel(message.id, 'bench');
  for (let box = 0; box < MAILBOXES; box++) {
    await bed.addMailbox(`box${box}@contoso.test`);
    await bed.outbox.holdMailbox(`box${box}@contoso.test`, 'bench', 'only there');
  }
  const file = new DatabaseSync(path);
  const columns = (file.prepare('PRAGMA table_info(outbox_messages)').all() as { name: string }[]).map(
    ({ name }) => name,
  );
  const made: Readonly<Record<string, string>> = {
    seq: 'NULL',
    id: `'msg_' || lower(hex(randomblob(13)))`,
    mailbox: `'box' || (n % ${MAILBOXES}) || '@contoso.test'`,
    message_id: `'<' || lower(hex(randomblob(16))) || '@contoso.test>'`,
    state: `'queued'`,
    state_at: `created_at + CASE WHEN n % 2 = 0 THEN 0 ELSE 864000000 + n END`,
    finished_at: 'NULL',
    body_id: `'bod_' || printf('%026d', n)`,
  };
  file.exec(`PRAGMA synchronous = OFF; BEGIN;
    CREATE TEMP TABLE numbers AS WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < ${count}) SELECT n FROM up;
    INSERT INTO outbox_messages (${columns.join(', ')})
      SELECT ${columns.map((name) => made[name] ?? name).join(', ')} FROM numbers, (SELECT * FROM outbox_messages LIMIT 1);
    INSERT INTO outbox_chunks (body_id, number, data) SELECT 'bod_' || printf('%026d', n), 0, data
      FROM numbers, (SELECT data FROM outbox_chunks LIMIT 1);
    INSERT INTO outbox_events (message_id, mailbox, at, type, data)
      SELECT id, mailbox, created_at, 'accepted', '{}' FROM outbox_messages WHERE state = 'queued';
    COMMIT; PRAGMA wal_checkpoint(TRUNCATE)`);
  file.close();
  // What was filled in without care for the disk would be written while others are measured.
  const fd = openSync(path, 'r+');
  fsyncSync(fd);
  closeSync(fd);
  return bed;
}

async function measure(bed: OutboxBed, port: number): Promise<Figures> {
  const route = relayRoute({ host: '127.0.0.1', port, tls: 'none', trust: {} }, systemClock, 'bench.test');
  try {
    const began = performance.now();
    let begun = 0;
    const hand = async (): Promise<void> => {
      while (begun++ < MEASURED) await bed.outbox.accept(bed.request(), [TEXT]);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, hand));
    const taken = performance.now();
    const delivery = deliverBy(route, bed);
    await delivery.idle();
    const ended = performance.now();
    await delivery.close();
    const left = await bed.outbox.stats(bed.mailbox.address);
    if (left.queued + left.sending > 0) throw new Error(`${left.queued + left.sending} messages were left`);
    return { accepted: ((taken - began) * 1000) / MEASURED, sent: ((ended - taken) * 1000) / MEASURED };
  } finally {
    await route.close();
  }
}

const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]!;
