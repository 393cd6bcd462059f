/**
 * Kills of a delivering process while everything lies about what was sent: the program's own copies in Sent Items, Message-IDs
 * used again, messages in several parts, refused recipients, and all faults of delivery switched at random. The judges are the
 * mailboxes of the recipients and the reports to the sender.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { type FaultId, type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { openStore } from '../../src/store/open.ts';
import type { OutboxMessage } from '../../src/store/types-outbox.ts';
import { createHome, type Home, type Serving } from './installation.ts';
import { ALICE, BOB } from './mail-site.ts';
import { SwiftClock } from './swift-clock.ts';
import { Wire } from './wire.ts';

export interface ProofKills {
  readonly seed: number;
  readonly kills: number;
  readonly acknowledged: number;
  /** Recipients of them all, and how many of those got it more often than once. */
  readonly recipients: number;
  readonly twice: number;
  readonly reported: number;
  /** Neither arrived nor reported. */
  readonly lost: readonly string[];
  /** Called delivered, and not arrived. */
  readonly untrue: readonly string[];
  readonly seconds: number;
}

interface Letter {
  readonly text: string;
  readonly to: readonly string[];
}

const FAULTS: readonly FaultId[] = [
  'smtp-message-lost',
  'smtp-lost-beside-copy',
  'smtp-reply-lost',
  'sent-copy-late',
  'sent-fields-removed',
  'smtp-delivery-deferred',
  'smtp-out-of-resources',
];
const NOBODY = 'nobody@contoso.test';
/** The process's time goes so many times faster than ours. */
const PACE = 8;
const LEAP_MS = 20_000;
const HOUR_MS = 3_600_000;
const MAX_HOURS = 20;
const PART = 3;

export async function killWhileProving(kills: number): Promise<ProofKills> {
  const seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  process.stderr.write(`delivery kill harness: seed ${seed}\n`);
  const begun = performance.now();
  const limits = {
    messagesPerMinute: 1_000_000,
    recipientsPerDay: 10_000_000,
    smtpConnections: 1_000,
    imapConnections: 1_000,
    recipientsPerMessage: PART,
  };
  const sandbox = await startSandbox({ limits, tokenLifetime: 30 * 86_400 });
  const home = await createHome(consentableAt(sandbox));
  const database = `sqlite:${join(home.path, 'postern.db')}`;
  const clock = new SwiftClock(PACE);
  try {
    await change(database);
    const known = new Map<string, Letter>();
    const random = generator(seed);
    for (let kill = 0; kill < kills; kill++) {
      await round(sandbox, home, clock, known, random, kill);
      clock.leap(LEAP_MS);
      if (kill % 50 === 49)
        process.stderr.write(`delivery kill harness: ${kill + 1} kills, ${known.size} acknowledged\n`);
    }
    sandbox.faults.clear();
    await finish(home, clock, database);
    const found = await judge(sandbox, database, known);
    return { seed, kills, acknowledged: known.size, ...found, seconds: Math.round((performance.now() - begun) / 1000) };
  } finally {
    home.remove();
    await sandbox.close();
  }
}

function consentableAt(sandbox: Sandbox): Parameters<typeof createHome>[0] {
  const trusted = { ca: sandbox.caPem };
  const { imap, pop3, smtp } = sandbox.mail;
  const settings = {
    authority: sandbox.authority,
    ca: sandbox.caPem,
    imap: { ...imap, ...trusted },
    pop3: { ...pop3, ...trusted },
    smtp: { ...smtp, ...trusted },
    sendingLimits: { messagesPerMinute: 100_000, recipientsPerDay: 1_000_000, connections: 5 },
  };
  return {
    application: { provider: 'microsoft', clientId: sandbox.clients.public.id, settings },
    authority: { approve: (url: string) => sandbox.approve(url, ALICE) },
  };
}

async function change(database: string): Promise<void> {
  const store = await openStore(database);
  await store.mailboxes.update(ALICE, { settings: { outgoing: 'outbox', routes: ['smtp'] } });
  await store.close();
}

/** One process: some letters, some faults, and an end at a random moment. */
async function round(
  sandbox: Sandbox,
  home: Home,
  clock: SwiftClock,
  known: Map<string, Letter>,
  random: () => number,
  kill: number,
): Promise<void> {
  sandbox.faults.clear();
  for (const fault of FAULTS)
    if (random() < 0.4)
      sandbox.faults.set(fault, {
        probability: 0.3 + 0.7 * random(),
        ...(fault === 'sent-copy-late' ? { value: 4 } : {}),
      });
  const serving = await home.serve(clock.env);
  const end = delay(100 + 1500 * random());
  const count = 1 + Math.floor(3 * random());
  const sending = send(sandbox, serving, known, random, kill, count);
  await end;
  if (random() < 0.7) await serving.kill();
  else await serving.stop();
  await sending;
}

async function send(
  sandbox: Sandbox,
  serving: Serving,
  known: Map<string, Letter>,
  random: () => number,
  kill: number,
  count: number,
): Promise<void> {
  try {
    const wire = await Wire.open(serving.door.smtp);
    await wire.until(/^220 .*\r\n/);
    wire.send('EHLO test\r\n');
    await wire.until(/^250 .*\r\n/m);
    wire.send(`AUTH PLAIN ${Buffer.from(`\0${ALICE}\0${serving.door.password}`).toString('base64')}\r\n`);
    await wire.until(/^235 .*\r\n/m);
    for (let number = 0; number < count; number++) {
      const letter = { text: `letter ${kill}.${number} end`, to: recipientsAt(random, `${kill}-${number}`) };
      // One of nine ids, used again and again, or one of its own.
      const id = random() < 0.4 ? `scan${Math.floor(9 * random())}@kill.test` : `${kill}.${number}@kill.test`;
      const raw = `From: ${ALICE}\r\nTo: ${letter.to[0]}\r\nMessage-ID: <${id}>\r\nSubject: ${letter.text}\r\n\r\n${letter.text}\r\n`;
      for (const line of [`MAIL FROM:<${ALICE}>`, ...letter.to.map((to) => `RCPT TO:<${to}>`)]) {
        wire.send(`${line}\r\n`);
        await wire.until(/^250 .*\r\n/m);
      }
      wire.send('DATA\r\n');
      await wire.until(/^354 .*\r\n/m);
      wire.send(`${raw}.\r\n`);
      const outboxId = /^250 2\.0\.0 \w+ as (\S+)\r\n$/.exec(await wire.until(/^\d{3} .*\r\n/m))?.[1];
      assert.ok(outboxId, 'a message was refused');
      known.set(outboxId, letter);
      if (random() < 0.5) sandbox.mailStore.find(ALICE)!.sent.add(Buffer.from(raw), Date.now(), ['\\Seen']);
    }
    wire.destroy();
  } catch (error) {
    // The end of a session is what this is about; anything else would be a broken test.
    assert.match(String(error), /closed before|ECONNREFUSED|ECONNRESET/);
  }
}

function recipientsAt(random: () => number, name: string): readonly string[] {
  const kind = random();
  if (kind < 0.5) return [BOB];
  if (kind < 0.75) return [BOB, NOBODY, `friend.${name}@elsewhere.test`];
  return Array.from({ length: 2 * PART + 1 }, (_, at) => `reader${at}.${name}@elsewhere.test`);
}

/** Processes one after the other, with hours between them, until nothing waits. */
async function finish(home: Home, clock: SwiftClock, database: string): Promise<void> {
  for (let hours = 0; ; hours++) {
    const serving = await home.serve(clock.env);
    const empty = await isEmptied(database);
    await serving.stop();
    if (empty) return;
    if (hours === MAX_HOURS) throw new Error(`mail is left:\n${serving.output().slice(-3000)}`);
    clock.leap(HOUR_MS);
  }
}

async function isEmptied(database: string): Promise<boolean> {
  const store = await openStore(database);
  try {
    for (const end = performance.now() + 6_000; performance.now() < end; await delay(100)) {
      const { queued, sending } = await store.outbox.stats(Date.now());
      if (queued === 0 && sending === 0) return true;
    }
    return false;
  } finally {
    await store.close();
  }
}

async function judge(
  sandbox: Sandbox,
  database: string,
  known: ReadonlyMap<string, Letter>,
): Promise<Pick<ProofKills, 'recipients' | 'twice' | 'reported' | 'lost' | 'untrue'>> {
  const got = new Map<string, number>();
  const note = (to: string, raw: Buffer): void => {
    const text = /letter \d+\.\d+ end(?=\r\n$)/.exec(raw.toString('latin1'))?.[0];
    if (text !== undefined) got.set(`${to} ${text}`, (got.get(`${to} ${text}`) ?? 0) + 1);
  };
  for (const { raw } of sandbox.mailStore.find(BOB)!.inbox.messages) note(BOB, raw);
  for (const { raw, to } of sandbox.mailStore.outside) for (const one of to) note(one, raw);
  const reports = sandbox.mailStore
    .find(ALICE)!
    .inbox.messages.map(({ raw }) => raw.toString('latin1'))
    .filter((raw) => raw.includes('Action: failed'));
  const lost: string[] = [];
  const untrue: string[] = [];
  let [recipients, twice, reported] = [0, 0, 0];
  const store = await openStore(database);
  try {
    for (const [id, { text, to }] of known) {
      const message: OutboxMessage | undefined = await store.outbox.find(id);
      for (const address of to) {
        recipients += 1;
        const times = got.get(`${address} ${text}`) ?? 0;
        if (times > 1) twice += 1;
        const told = reports.some((raw) => raw.includes(text) && raw.includes(`Final-Recipient: rfc822; ${address}`));
        if (told) reported += 1;
        if (times === 0 && !told) lost.push(`${id} ${address} ${text}`);
        const state = message?.recipients.find((one) => one.address === address)?.state;
        if (state === 'delivered' && times === 0) untrue.push(`${id} ${address} ${text}`);
      }
    }
  } finally {
    await store.close();
  }
  return { recipients, twice, reported, lost, untrue };
}

/** mulberry32: reproducible, and good enough for choosing moments. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
