/**
 * Kills of a delivering process while everything lies about what was sent: the program's own copies in Sent Items, saved before or
 * after it sends, Message-IDs used again, messages in several parts, refused recipients, two ways out, and all faults of delivery
 * switched at random. The judges are the provider's own log of whom it took which transaction for, the mailboxes of the recipients,
 * and the reports to the sender.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { exchangeLimits, type FaultId, type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { openStore } from '../../src/store/open.ts';
import { createHome, type Home, type Serving } from './installation.ts';
import { ALICE, BOB } from './mail-site.ts';
import { judge, type Judged, keepLog, type Letter } from './proof-judge.ts';
import { SwiftClock } from './swift-clock.ts';
import { TenantClient } from './tenant-client.ts';
import { Wire } from './wire.ts';
import { editMailbox } from '../../src/store/edit.ts';

export interface ProofKills extends Judged {
  readonly seed: number;
  readonly kills: number;
  readonly acknowledged: number;
  /** Copies that the program saved itself. */
  readonly ownCopies: number;
  readonly seconds: number;
}

const FAULTS: readonly FaultId[] = [
  'smtp-message-lost',
  'smtp-lost-beside-copy',
  'smtp-reply-lost',
  'sent-copy-late',
  'sent-fields-removed',
  'smtp-delivery-deferred',
  'smtp-out-of-resources',
  'graph-message-lost',
  'graph-reply-lost',
  'graph-unavailable',
  'graph-throttled',
  'graph-timeout',
];
/** With what they are to say: seconds. */
const VALUES: Partial<Record<FaultId, number>> = { 'sent-copy-late': 4, 'graph-unavailable': 2, 'graph-throttled': 2 };
const ROUTES = [['smtp'], ['smtp'], ['graph'], ['smtp', 'graph'], ['graph', 'smtp']] as const;
const NOBODY = 'nobody@contoso.test';
/** The process's time goes so many times faster than ours. */
const PACE = 8;
/** Between two processes: long enough that what rests after a fault is tried again while faults and kills go on. */
const LEAP_MS = [20_000, 30 * 60_000] as const;
const HOUR_MS = 3_600_000;
const MAX_HOURS = 20;
/** Long enough for all looks at the sent messages, 75 seconds of the process's time, on a busy machine. */
const LOOKS_MS = 15_000;
const PART = 3;
/** So many kills in the middle of a long run fall while a message for more people than the provider's real limit is on its way. */
const LARGE_KILLS = 8;
const LEAST_FOR_LARGE = 40;

interface Run {
  readonly sandbox: Sandbox;
  readonly home: Home;
  readonly clock: SwiftClock;
  readonly known: Map<string, Letter>;
  readonly random: () => number;
  readonly database: string;
  ownCopies: number;
}

/** @param seed KILL_SEED unless given, or chosen; printed at once */
export async function killWhileProving(
  kills: number,
  seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31)),
): Promise<ProofKills> {
  process.stderr.write(`delivery kill harness: KILL_SEED=${seed}\n`);
  const begun = performance.now();
  const limits = {
    messagesPerMinute: 1_000_000,
    recipientsPerDay: 10_000_000,
    smtpConnections: 1_000,
    imapConnections: 1_000,
    recipientsPerMessage: PART,
  };
  const sandbox = await startSandbox({ limits, tokenLifetime: 30 * 86_400 });
  const log = keepLog(sandbox);
  const home = await createHome(consentableAt(sandbox));
  const database = `sqlite:${join(home.path, 'postern.db')}`;
  const clock = new SwiftClock(PACE);
  const run: Run = { sandbox, home, clock, known: new Map(), random: generator(seed), database, ownCopies: 0 };
  try {
    const client = new TenantClient(sandbox);
    await client.tokens(ALICE, 'https://graph.microsoft.com/Mail.Send');
    await client.close();
    await routeBy(database, ['smtp']);
    for (let kill = 0; kill < kills; kill++) {
      const past = kill - Math.floor(kills / 2);
      const large = kills >= LEAST_FOR_LARGE && past >= 0 && past < LARGE_KILLS;
      sandbox.limits.recipientsPerMessage = large ? exchangeLimits.recipientsPerMessage : PART;
      await round(run, kill, large && past === 0);
      clock.leap(LEAP_MS[0] + (LEAP_MS[1] - LEAP_MS[0]) * run.random());
      if (kill % 25 === 24)
        process.stderr.write(`delivery kill harness ${seed}: ${kill + 1} kills, ${run.known.size} acknowledged\n`);
    }
    sandbox.faults.clear();
    sandbox.limits.recipientsPerMessage = exchangeLimits.recipientsPerMessage;
    await finish(home, clock, database);
    const found = await judge(sandbox, database, run.known, log);
    const { known, ownCopies } = run;
    const seconds = Math.round((performance.now() - begun) / 1000);
    return { seed, kills, acknowledged: known.size, ownCopies, ...found, seconds };
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
    graph: sandbox.graph,
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

async function routeBy(database: string, routes: readonly ('smtp' | 'graph')[]): Promise<void> {
  const store = await openStore(database);
  await editMailbox(store, ALICE, () => ({ outgoing: 'outbox', routes }));
  await store.close();
}

/** One process: some letters, some faults, and an end at a random moment. */
async function round(run: Run, kill: number, large: boolean): Promise<void> {
  const { clock, home, random, sandbox } = run;
  sandbox.faults.clear();
  for (const fault of FAULTS) {
    if (random() >= 0.25) continue;
    const value = VALUES[fault];
    sandbox.faults.set(fault, { probability: 0.3 + 0.7 * random(), ...(value === undefined ? {} : { value }) });
  }
  if (random() < 0.4) await routeBy(run.database, ROUTES[Math.floor(ROUTES.length * random())]!);
  const serving = await home.serve(clock.env);
  const [patient, moment] = [random() < 0.7, random()];
  const end = delay(100 + 1500 * moment);
  const sending = send(run, serving, kill, 1 + Math.floor(3 * random()), large);
  // Mostly in the middle of delivering; a machine under load would be killed before anything was acknowledged.
  if (patient || large) await sending.then(() => delay(1200 * moment));
  else await end;
  if (random() < 0.7) await serving.kill();
  else await serving.stop();
  await sending;
}

async function send(run: Run, serving: Serving, kill: number, count: number, large: boolean): Promise<void> {
  const { known, random } = run;
  const wires: Wire[] = [];
  try {
    const wire = await Wire.open(serving.door.smtp);
    wires.push(wire);
    await wire.until(/^220 .*\r\n/);
    wire.send('EHLO test\r\n');
    await wire.until(/^250 .*\r\n/m);
    wire.send(`AUTH PLAIN ${Buffer.from(`\0${ALICE}\0${serving.door.password}`).toString('base64')}\r\n`);
    await wire.until(/^235 .*\r\n/m);
    for (let number = 0; number < count; number++) {
      const name = `${kill}-${number}`;
      const to =
        large && number === 0 ? crowd(exchangeLimits.recipientsPerMessage + 1, name) : recipientsAt(random, name);
      const letter = { text: `letter ${kill}.${number} end`, to };
      // One of nine ids, used again and again, or one of its own.
      const id = random() < 0.4 ? `scan${Math.floor(9 * random())}@kill.test` : `${name}@kill.test`;
      // Microsoft Graph sends to whom the header names, and part by part only where it names nobody.
      const named = random() < 0.5 ? to[0]! : 'undisclosed-recipients:;';
      const raw = `From: ${ALICE}\r\nTo: ${named}\r\nMessage-ID: <${id}>\r\nSubject: ${letter.text}\r\n\r\n${letter.text}\r\n`;
      const saving = random();
      if (saving < 0.25) await saveOwnCopy(run, serving, wires, raw);
      for (const line of [`MAIL FROM:<${ALICE}>`, ...to.map((one) => `RCPT TO:<${one}>`)]) {
        wire.send(`${line}\r\n`);
        await wire.until(/^250 .*\r\n/m);
      }
      wire.send('DATA\r\n');
      await wire.until(/^354 .*\r\n/m);
      wire.send(`${raw}.\r\n`);
      const outboxId = /^250 2\.0\.0 \w+ as (\S+)\r\n$/.exec(await wire.until(/^\d{3} .*\r\n/m))?.[1];
      assert.ok(outboxId, 'a message was refused');
      known.set(outboxId, letter);
      if (saving > 0.75) await saveOwnCopy(run, serving, wires, raw);
    }
  } catch (error) {
    // The end of a session is what this is about; anything else would be a broken test.
    assert.match(String(error), /closed before|ECONNREFUSED|ECONNRESET/);
    assert.ok(!large, 'the large message was not acknowledged');
  } finally {
    for (const wire of wires) wire.destroy();
  }
}

/** As Thunderbird, Apple Mail and mutt do: the program saves the message as it wrote it, by IMAP. */
async function saveOwnCopy(run: Run, { door }: Serving, wires: Wire[], raw: string): Promise<void> {
  let wire = wires[1];
  if (!wire) {
    wires.push((wire = await Wire.open(door.imap)));
    await wire.until(/^\* OK .*\r\n/);
    wire.send(`a LOGIN ${ALICE} ${door.password}\r\n`);
    await wire.until(/^a OK .*\r\n/m);
  }
  wire.send(`b APPEND "Sent Items" (\\Seen) {${Buffer.byteLength(raw)}}\r\n`);
  await wire.until(/^\+ .*\r\n/m);
  wire.send(`${raw}\r\n`);
  await wire.until(/^b OK .*\r\n/m);
  run.ownCopies += 1;
}

const crowd = (people: number, name: string): readonly string[] =>
  Array.from({ length: people }, (_, at) => `reader${at}.${name}@elsewhere.test`);

function recipientsAt(random: () => number, name: string): readonly string[] {
  const kind = random();
  if (kind < 0.5) return [BOB];
  if (kind < 0.75) return [BOB, NOBODY, `friend.${name}@elsewhere.test`];
  return crowd(2 * PART + 1, name);
}

/** Processes one after the other, with hours between them, until nothing waits. */
async function finish(home: Home, clock: SwiftClock, database: string): Promise<void> {
  for (let hours = 0; ; hours++) {
    const serving = await home.serve(clock.env);
    const empty = await isEmptied(database);
    await serving.stop();
    if (empty) return;
    if (hours === MAX_HOURS)
      throw new Error(`mail is left:\n${await left(database)}\n${serving.output().slice(-3000)}`);
    clock.leap(HOUR_MS);
  }
}

/** What waits, and what has happened to it lately. */
async function left(database: string): Promise<string> {
  const store = await openStore(database);
  try {
    const [first] = await store.outbox.list({ states: ['queued', 'sending'] }, { limit: 1 });
    const events = first ? await store.outbox.events({ messageId: first.id, limit: 30 }) : [];
    return [first, ...events].map((one) => JSON.stringify(one)).join('\n');
  } finally {
    await store.close();
  }
}

async function isEmptied(database: string): Promise<boolean> {
  const store = await openStore(database);
  try {
    for (const end = performance.now() + LOOKS_MS; performance.now() < end; await delay(100)) {
      const { queued, sending } = await store.outbox.stats(Date.now());
      if (queued === 0 && sending === 0) return true;
    }
    return false;
  } finally {
    await store.close();
  }
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
