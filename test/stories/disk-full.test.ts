/**
 * The disk under a running gateway becomes full, for any user and without a file system of its own: the library that counts
 * system calls answers ENOSPC when files would grow further. src/outbox/disk-full.test.ts does it on a real file system.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { Home, Serving } from '../bed/installation.ts';
import { ALICE, BOB } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import { sandboxHome } from '../bed/sandbox-home.ts';
import { SuddenDeath } from '../bed/sudden-death.ts';
import { SwiftClock } from '../bed/swift-clock.ts';
import { Wire } from '../bed/wire.ts';

const skip = without('gcc', 'libc6-dev');
/** More than SQLite lets its log grow to before it writes it back: both files meet the end of the disk. */
const ROOM = 6 * 2 ** 20;

let sandbox: Sandbox;
before(async () => {
  if (skip === false) sandbox = await startSandbox({ limits: { messagesPerMinute: 1e6, recipientsPerDay: 1e7 } });
});
after(() => sandbox?.close());

async function openHome(): Promise<Home> {
  const home = await sandboxHome(sandbox);
  await home.cli(['mailbox', 'set', ALICE, '--outgoing', 'outbox']);
  return home;
}

async function signedIn(serving: Serving): Promise<Wire> {
  const wire = await Wire.open(serving.door.smtp);
  const { user, password } = serving.door;
  wire.send(`EHLO test\r\nAUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}\r\n`);
  await wire.until(/^235 .*\r\n/m);
  return wire;
}

/** The answer to a message of about so many octets. */
async function answer(wire: Wire, id: string, octets: number): Promise<string> {
  wire.send(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<${BOB}>\r\nDATA\r\n`);
  await wire.until(/^354 .*\r\n/m);
  const body = `${'x'.repeat(76)}\r\n`.repeat(Math.ceil(octets / 78));
  wire.send(`From: ${ALICE}\r\nTo: ${BOB}\r\nMessage-ID: <${id}@disk.test>\r\n\r\n${body}end of ${id}\r\n.\r\n`);
  return wire.until(/^\d{3} .*\r\n/);
}

/** How often each message lies in bob's inbox, whole. */
function arrived(): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  for (const { raw } of sandbox.mailStore.find(BOB)!.inbox.messages) {
    const text = raw.toString('latin1');
    const id = /^Message-ID: <([^@]*)@disk\.test>/im.exec(text)?.[1];
    if (id === undefined) continue;
    assert.ok(text.endsWith(`end of ${id}\r\n`), `${id} arrived in pieces`);
    times.set(id, (times.get(id) ?? 0) + 1);
  }
  return times;
}

/** Hands over messages until five were refused; which ones were taken. */
async function fill(wire: Wire, name: string, octets: number): Promise<string[]> {
  const taken: string[] = [];
  for (let refused = 0; refused < 5;) {
    const id = `${name}${taken.length}.${refused}`;
    const reply = await answer(wire, id, octets);
    if (reply.startsWith('250 2.0.0 queued as')) taken.push(id);
    else {
      assert.match(reply, /^452 4\.3\.1 the disk of the database is full/);
      refused += 1;
    }
    assert.ok(taken.length < 5000, 'the disk does not become full');
  }
  assert.ok(taken.length > 1, `${taken.length} messages were taken`);
  return taken;
}

test('a full disk, room again; full again, kill -9, room again: what was taken arrives, once', { skip }, async () => {
  const home = await openHome();
  const death = new SuddenDeath(home.path);
  // What the killed process had begun is looked into a minute later: soon.
  const clock = new SwiftClock(8);
  let serving = await home.serve({ ...death.env, ...clock.env });
  try {
    let wire = await signedIn(serving);
    const taken: string[] = [];
    const take = async (id: string): Promise<void> => {
      assert.match(await answer(wire, id, 2_000), /^250 2\.0\.0 queued as/);
      taken.push(id);
    };
    death.limitDisk(ROOM);
    taken.push(...(await fill(wire, 'large', 600_000)));
    death.limitDisk(undefined);
    await take('after-large');
    death.limitDisk(ROOM);
    taken.push(...(await fill(wire, 'middle', 50_000)));
    wire.destroy();
    await serving.kill();
    clock.leap(61_000);
    death.limitDisk(undefined);
    serving = await home.serve({ ...death.env, ...clock.env });
    wire = await signedIn(serving);
    await take('after-middle');
    wire.destroy();
    for (const until = performance.now() + 60_000; arrived().size < taken.length; await delay(50))
      assert.ok(performance.now() < until, `only ${arrived().size} of ${taken.length} arrived`);
    assert.deepEqual(arrived(), new Map(taken.map((id) => [id, 1])), 'each once, and nothing that was refused');
  } finally {
    await serving.kill();
    death.remove();
    home.remove();
  }
});
