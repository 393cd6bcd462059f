/**
 * Killing what accepts and delivers, again and again, and counting afterwards: what was acknowledged has arrived. The processes
 * are real, the kills are SIGKILL at a random moment of a stream of messages, the provider is whatever the site is.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Home, Serving } from './installation.ts';
import { ALICE, BOB } from './mail-site.ts';
import { Wire } from './wire.ts';

export interface KillSweep {
  readonly home: Home;
  readonly kills: number;
  /** Milliseconds after the first message within which the process is killed. */
  readonly within: number;
  /** 0 to 1; the seed is printed by who made it. */
  random(): number;
  /** Makes leases and claims of the dead run out at once, instead of waiting for their time. */
  expire(): Promise<void>;
}

export interface KillCount {
  /** Message-IDs that got their 250. */
  readonly acknowledged: ReadonlySet<string>;
  /** Message-IDs whose fate the sender does not know: the connection broke before an answer. */
  readonly unanswered: ReadonlySet<string>;
}

/** Sends and kills; then lets a last process send what is left. */
export async function sweep({ home, kills, within, random, expire }: KillSweep): Promise<KillCount> {
  await home.cli(['mailbox', 'set', ALICE, '--outgoing', 'outbox']);
  const acknowledged = new Set<string>();
  const unanswered = new Set<string>();
  for (let kill = 0; kill < kills; kill++) {
    const serving = await home.serve();
    try {
      await stream(serving, home.password, kill, { acknowledged, unanswered }, random() * within);
    } finally {
      await serving.kill();
    }
    await expire();
  }
  const last = await home.serve();
  try {
    await emptied(home, expire);
  } finally {
    await last.stop();
  }
  return { acknowledged, unanswered };
}

/** Two connections send one message after the other until the process is killed under them. */
async function stream(
  serving: Serving,
  password: string,
  round: number,
  count: { readonly acknowledged: Set<string>; readonly unanswered: Set<string> },
  ms: number,
): Promise<void> {
  const sessions = [0, 1].map(async (session) => {
    const wire = await Wire.open(serving.door.smtp);
    try {
      await wire.until(/^220 .*\r\n/);
      wire.send(`EHLO test\r\nAUTH PLAIN ${Buffer.from(`\0${ALICE}\0${password}`).toString('base64')}\r\n`);
      await wire.until(/^235 .*\r\n/m);
      for (let number = 0; ; number++) {
        const id = `<r${round}.s${session}.n${number}@kill.test>`;
        const text = `From: ${ALICE}\r\nTo: ${BOB}\r\nMessage-ID: ${id}\r\nSubject: ${number}\r\n\r\n${'x'.repeat(2000)}\r\n`;
        wire.send(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<${BOB}>\r\nDATA\r\n`);
        await wire.until(/^354 .*\r\n/m);
        count.unanswered.add(id);
        wire.send(`${text}.\r\n`);
        await wire.until(/^250 2\.0\.0 queued as .*\r\n/m);
        count.unanswered.delete(id);
        count.acknowledged.add(id);
      }
    } catch (error) {
      // The end of a session is what this is about; anything else would be a broken test.
      assert.match(String(error), /closed before/);
    } finally {
      wire.destroy();
    }
  });
  await delay(ms);
  await serving.kill();
  await Promise.all(sessions);
}

async function emptied(home: Home, expire: () => Promise<void>): Promise<void> {
  await expire();
  for (const end = performance.now() + 180_000; performance.now() < end; await delay(500)) {
    const { stdout } = await home.cli(['outbox', 'list', '--json', '--limit', '1']);
    const { stats } = JSON.parse(stdout.toString()) as { stats: { queued: number; sending: number } };
    if (stats.queued === 0 && stats.sending === 0) return;
  }
  throw new Error('the outbox does not become empty');
}

/** How often each Message-ID of the sweep is among these messages. */
export function arrivals(messages: readonly Buffer[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const message of messages) {
    const id = /^Message-ID: (<[^>]*@kill\.test>)\r?$/im.exec(message.toString('latin1', 0, 8192))?.[1];
    if (id !== undefined) found.set(id, (found.get(id) ?? 0) + 1);
  }
  return found;
}

/** Nothing acknowledged is missing; how many arrived more than once. */
export function nothingLost(count: KillCount, arrived: ReadonlyMap<string, number>): number {
  const missing = [...count.acknowledged].filter((id) => !arrived.has(id));
  assert.deepEqual(missing, [], 'acknowledged and lost');
  const strangers = [...arrived.keys()].filter((id) => !count.acknowledged.has(id) && !count.unanswered.has(id));
  assert.deepEqual(strangers, []);
  return [...arrived.values()].filter((times) => times > 1).length;
}
