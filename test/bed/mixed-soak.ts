/**
 * A working day in little: programs at one `postern serve` process while hostile peers try each way to use up its memory. The
 * provider is in a process of its own, as are the health checks' clock and what measures memory in a thread of its own.
 */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Sample, watchHealth } from './health-watch.ts';
import { LOADS } from './hostile-load.ts';
import { createHome, type Serving } from './installation.ts';
import { ALICE } from './mail-site.ts';
import { type Day, PROGRAMS } from './mixed-programs.ts';
import { startSandboxProcess } from './sandbox-process.ts';
import { TailWire } from './tail-wire.ts';
import { z } from 'zod';
import { said } from './said.ts';
import { portOf } from './port.ts';

export interface SoakResult {
  readonly samples: readonly Sample[];
  /** Rounds of each program that went well, and that ended in a documented way: no room just now, or the session moved. */
  readonly rounds: Readonly<Record<string, { well: number; interrupted: number }>>;
  /** What no program should have met. */
  readonly wrong: readonly string[];
  readonly accepted: number;
  /** Accepted and not arrived; accepted and no webhook called that told of its sending. */
  readonly lost: readonly string[];
  readonly untold: readonly string[];
  /** It runs, in the process that it started in. */
  readonly running: boolean;
  readonly log: string;
}

/** What a program may be told while others use up what there is, or while its session moves (docs/reliability.md). */
const DOCUMENTED =
  /closed before|ECONNRESET|EPIPE|disconnected before secure|socket hang up|fetch failed|\[UNAVAILABLE\]|\[SYS\/TEMP\]|\b421 |\b452 4\.3\.1|refused: 503/;
/** As the Helm chart has it for 512 MiB. */
const MAX_CONNECTIONS = 2500;
const LARGE_OCTETS = 3 * 1024 * 1024;
/** Sessions move to new tokens many times in an hour. */
const TOKEN_SECONDS = 600;
const LIMITS = {
  messagesPerMinute: 1_000_000,
  recipientsPerDay: 10_000_000,
  smtpConnections: 1000,
  imapConnections: 1000,
};
/** What was accepted last is sent within this time. */
const ARRIVES_MS = 120_000;

export async function mixedSoak(options: {
  readonly seed: number;
  readonly ms: number;
  /** Connections that say nothing, at any moment. */
  readonly idle: number;
  /** Of one hostile load; each lasts so many milliseconds, and so long is the pause after it. */
  readonly hostile: number;
  readonly hostileMs: number;
  readonly onProgress?: (line: string) => void;
}): Promise<SoakResult> {
  const random = generator(options.seed);
  const sandbox = await startSandboxProcess({ limits: LIMITS, tokenLifetime: TOKEN_SECONDS });
  const closers: (() => Promise<void> | void)[] = [() => sandbox.stop()];
  try {
    const home = await createHome(
      {
        application: { provider: 'microsoft', ...sandbox },
        authority: { approve: (url) => sandbox.approve(url, ALICE) },
      },
      { limits: { maxConnections: MAX_CONNECTIONS } },
    );
    closers.push(() => home.remove());
    const file = join(home.path, 'postern.yaml');
    const settings = JSON.parse(readFileSync(file, 'utf8')) as object;
    const changed = { ...settings, webhooks: { allow: ['127.0.0.0/8'] }, log: { level: 'warn', format: 'json' } };
    writeFileSync(file, JSON.stringify(changed));
    const made = async (args: readonly string[]): Promise<string> =>
      (await home.cli([...args, '--mailbox', ALICE, '--label', 'soak', '--json'])).stdout.toString();
    const { password: outboxPassword } = said(await made(['password', 'add', '--outgoing', 'outbox']), {
      password: z.string(),
    });
    const { key: apiKey } = said(await made(['apikey', 'add', '--allow', '*']), { key: z.string() });
    const serving = await home.serve();
    closers.push(() => serving.stop());
    const told = await startReceiver(serving, apiKey);
    closers.push(told.close);

    const stop = new AbortController();
    const accepted = new Map<string, string>();
    const day: Day = {
      serving,
      outboxPassword,
      apiKey,
      random,
      accepted,
      stop: stop.signal,
      arrives: (raw) => sandbox.deliver(ALICE, raw),
    };
    await storeLarge(serving);
    const rounds: Record<string, { well: number; interrupted: number }> = {};
    const wrong: string[] = [];
    const programs = PROGRAMS.flatMap(([name, count, restMs, program]) => {
      const counted = (rounds[name] = { well: 0, interrupted: 0 });
      return Array.from({ length: count }, async () => {
        while (!stop.signal.aborted) {
          await delay(restMs * random());
          await program(day).then(
            () => void (counted.well += 1),
            (error: unknown) => {
              if (DOCUMENTED.test(String(error))) counted.interrupted += 1;
              else wrong.push(`${name}: ${String(error).slice(0, 400)}`);
            },
          );
        }
      });
    });
    const watch = watchHealth({ pid: serving.pid, api: serving.api });
    closers.push(watch.stop);
    const others = [silence(serving, options.idle, stop.signal), hostility(day, options, wrong)];
    await delay(options.ms);
    const samples = [...watch.samples];
    stop.abort();
    await Promise.all([...programs, ...others]);
    await watch.stop();
    const left = await everythingOf(accepted, sandbox.arrived, told.sent);
    return {
      samples,
      rounds,
      wrong,
      accepted: accepted.size,
      ...left,
      running: serving.running,
      log: serving.output(),
    };
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

/** One hostile load after the other in an order that is drawn again each time round. */
async function hostility(
  { serving: { door, pid }, outboxPassword, random, stop }: Day,
  { hostile, hostileMs, onProgress }: Parameters<typeof mixedSoak>[0],
  wrong: string[],
): Promise<void> {
  const target = { ...door, outboxPassword, pid };
  while (!stop.aborted) {
    const names = Object.keys(LOADS)
      .map((name) => [random(), name] as const)
      .toSorted(([a], [b]) => a - b);
    for (const [, name] of names) {
      if (stop.aborted) return;
      onProgress?.(name);
      const over = AbortSignal.any([stop, AbortSignal.timeout(hostileMs)]);
      await LOADS[name]!(target, hostile, over).catch((error: unknown) => void wrong.push(`${name}: ${String(error)}`));
      await delay(hostileMs, undefined, { signal: stop }).catch(() => undefined);
    }
  }
}

/** Keeps so many connections open that never say anything; two hundred a second take the place of those that had to go. */
async function silence({ door }: Serving, count: number, stop: AbortSignal): Promise<void> {
  const open = new Set<Socket>();
  while (!stop.aborted) {
    for (let at = 0; at < 20 && open.size < count; at++) {
      const socket = connect(door.imap.port, '127.0.0.1');
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => open.delete(socket));
      socket.resume();
    }
    await delay(100);
  }
  for (const socket of open) socket.destroy();
}

/** A program that is told by webhook what was sent. */
async function startReceiver(serving: Serving, apiKey: string) {
  const sent = new Set<string>();
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => void (body += piece.toString()));
    request.on('end', () => {
      const { type, data } = said(body, { type: z.string(), data: z.object({ messageId: z.string() }) });
      if (type === 'message.sent') sent.add(data.messageId);
      response.writeHead(204).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${portOf(server)}/told`;
  const answer = await fetch(`${serving.api}/v1/webhooks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url, types: ['message.sent'], mailboxes: [ALICE] }),
  });
  if (!answer.ok) throw new Error(`no webhook: ${await answer.text()}`);
  return {
    sent,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The message that bulk reading is about. */
async function storeLarge({ door, caPem }: Serving): Promise<void> {
  const wire = await TailWire.open(door.imaps, caPem);
  await wire.ask('', /^\* OK .*\r\n$/m);
  await wire.ask(`a LOGIN ${door.user} ${door.password}\r\n`, /^a OK .*\r\n$/m);
  await wire.ask(`b APPEND Drafts {${LARGE_OCTETS}}\r\n`, /^\+ .*\r\n$/m);
  await wire.ask(`${'y'.repeat(LARGE_OCTETS)}\r\n`, /^b OK .*\r\n$/m);
  wire.destroy();
}

async function everythingOf(
  accepted: ReadonlyMap<string, string>,
  arrived: () => Promise<readonly string[]>,
  sent: ReadonlySet<string>,
): Promise<{ readonly lost: readonly string[]; readonly untold: readonly string[] }> {
  for (const end = performance.now() + ARRIVES_MS; ; await delay(500)) {
    const there = new Set(await arrived());
    const lost = [...accepted.keys()].filter((id) => !there.has(id));
    const untold = [...accepted.values()].filter((id) => !sent.has(id));
    if ((lost.length === 0 && untold.length === 0) || performance.now() > end) return { lost, untold };
  }
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
