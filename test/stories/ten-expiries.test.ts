/**
 * Real mail programs stay connected through ten access tokens while mail arrives, is flagged and expunged by another client:
 * Python's imaplib polling and in IDLE, NeoMutt in IDLE, mutt polling, mbsync coming back every hour. In the end each must
 * have what the server has.
 */
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { after, afterEach, before, test } from 'node:test';
import { watchImap } from '../bed/imap-watch.ts';
import { without } from '../bed/need.ts';
import { privateFolder, runProgram } from '../bed/process.ts';
import { startTenantGateway, type TenantGateway } from '../bed/tenant-gateway.ts';
import { maildirFiles } from '../interop/maildir.ts';

const MINUTE = 60_000;
const EXPIRIES = 10;

let gateway: TenantGateway;
const folder = privateFolder();
const children: { kill(): void }[] = [];
before(async () => {
  gateway = await startTenantGateway();
  gateway.sandbox.setTokenLifetime(3600);
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill();
});
after(async () => {
  await gateway?.stop();
  folder.remove();
});

const inbox = () => gateway.sandbox.mailStore.find(gateway.user)!.inbox;
let letters = 0;
function arrive(): void {
  letters += 1;
  const head = `From: bob@contoso.test\r\nTo: ${gateway.user}\r\nSubject: letter ${letters}\r\nMessage-ID: <${letters}@contoso.test>`;
  inbox().add(Buffer.from(`${head}\r\n\r\nThe ${letters}th.\r\n`), gateway.sandbox.clock.now());
}

/** What another client does in an hour. */
function anotherClient(hour: number): void {
  arrive();
  arrive();
  tidyUp(hour);
}

function tidyUp(hour: number): void {
  const { messages } = inbox();
  inbox().setFlags(messages[hour % messages.length]!, ['\\Seen', '\\Flagged'], 'another client');
  inbox().setFlags(messages[(hour * 3) % messages.length]!, [], 'another client');
  inbox().remove([messages[(hour * 5) % messages.length]!]);
}

/**
 * The same with the expunging first, for NeoMutt. NeoMutt (20220429 and its neighbours) sends FETCH by number together with DONE; when an
 * EXPUNGE crosses that, as RFC 9051 §5.5 says it may, its table of numbers keeps a pointer to a message it frees later, and it
 * loses new messages or dies of a segmentation fault. It does so at any server, so what can cross is kept apart here: nothing
 * is expunged until it rests in IDLE with all it was told of.
 */
function gentleClient(hour: number): void {
  tidyUp(hour);
  arrive();
  arrive();
}

/** An hour in which every token ends once; `poll` is called as often as programs poll. */
async function anHour(hour: number, poll: () => Promise<unknown>, change = anotherClient): Promise<void> {
  await gateway.pass(27 * MINUTE);
  await poll();
  await gateway.pass(27 * MINUTE);
  change(hour);
  // The last minutes pass at once every third time: then it is the server that ends the sessions.
  await gateway.pass(7 * MINUTE, hour % 3 !== 0);
  await poll();
}

class Python {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #text = '';

  private constructor() {
    this.#child = spawn('python3', [join(import.meta.dirname, 'polling.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(this.#child);
    this.#child.stdout.on('data', (piece: Buffer) => void (this.#text += piece.toString()));
  }

  static async start(): Promise<Python> {
    const python = new Python();
    const { imap, user, password } = gateway;
    assert.equal(await python.order(JSON.stringify({ ...imap, user, password })), 'ready');
    return python;
  }

  async order(text: string): Promise<string> {
    this.#child.stdin.write(`${text}\n`);
    while (!this.#text.includes('\n')) await once(this.#child.stdout, 'data');
    const end = this.#text.indexOf('\n');
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    return line;
  }

  async check(): Promise<void> {
    const { kept, now } = JSON.parse(await this.order('show')) as Record<'kept' | 'now', [number, string[]][]>;
    const truth = inbox().messages.map(({ uid, flags }) => [uid, [...flags].sort()]);
    assert.deepEqual(now, truth);
    assert.deepEqual(
      kept.map(([uid, flags], index) => [uid ?? truth[index]?.[0], flags ?? truth[index]?.[1]]),
      truth,
    );
  }
}

test('imaplib, polling', { skip: without('python3') }, async () => {
  const python = await Python.start();
  const moved = await gateway.count('session.moved');
  for (let hour = 1; hour <= EXPIRIES; hour++) {
    await anHour(hour, async () => assert.equal(await python.order('noop'), 'OK'));
  }
  await python.check();
  assert.ok((await gateway.count('session.moved')) - moved >= EXPIRIES);
  assert.equal(await gateway.count('session.ended'), 0);
});

test('imaplib, in IDLE', { skip: without('python3') }, async () => {
  const python = await Python.start();
  assert.equal(await python.order('idle'), 'idling');
  const moved = await gateway.count('session.moved');
  for (let hour = 1; hour <= EXPIRIES; hour++) await anHour(hour, () => delay(100));
  assert.equal(await python.order('done'), 'OK');
  await python.check();
  assert.ok((await gateway.count('session.moved')) - moved >= EXPIRIES);
});

for (const [program, idle] of [
  ['neomutt', 'yes'],
  ['mutt', 'no'],
] as const) {
  test(`${program}, imap_idle=${idle}`, { skip: without(program) }, async () => {
    const home = join(folder.path, program);
    mkdirSync(home);
    const copy = join(home, 'copy');
    const { imap, user, password } = gateway;
    const watch = await watchImap(imap.port);
    children.push({ kill: () => watch.close() });
    const poll = idle === 'yes' ? watch.resting : watch.polled;
    const config = join(home, 'muttrc');
    const at = `imap://${encodeURIComponent(user)}@${imap.host}:${watch.port}/`;
    writeFileSync(
      config,
      `set folder="${at}" spoolfile="+INBOX" imap_user="${user}" imap_pass="${password}" ssl_starttls=no ssl_force_tls=no
set mbox_type=Maildir record="" header_cache="" tmpdir="${home}" quit=yes delete=no copy=no confirmappend=no confirmcreate=no
set wait_key=no mark_old=no sleep_time=0 imap_idle=${idle} timeout=1 mail_check=1 imap_keepalive=60 check_new=yes net_inc=0
macro index Z "<tag-pattern>~A<enter><tag-prefix><copy-message>${copy}<enter><exit>"
`,
      { mode: 0o600 },
    );
    const signIns = await gateway.count('signin.local');
    const child = spawn('script', ['-qfec', `${program} -F ${config}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, HOME: home, TERM: 'xterm', LANG: 'C.UTF-8', LINES: '40', COLUMNS: '120' },
    });
    children.push(child);
    let screen = '';
    child.stdout.on('data', (piece: Buffer) => void (screen += piece.toString()));
    await poll();
    const moved = await gateway.count('session.moved');
    for (let hour = 1; hour <= EXPIRIES; hour++)
      await anHour(hour, poll, idle === 'yes' ? gentleClient : anotherClient);
    await poll();
    child.stdin.write('Z');
    const limit = AbortSignal.timeout(15_000);
    await once(child, 'close', { signal: limit }).catch(() =>
      assert.fail(`${program} does not end:\n${screen.slice(-2000)}\n${watch.transcript()}`),
    );
    const got = maildirFiles(copy).map((path) => {
      const subject = /^Subject: (.*)$/m.exec(readFileSync(path, 'latin1'))?.[1]?.trim();
      return `${subject} ${flagsOf(path)}`;
    });
    assert.deepEqual(got.toSorted(), truth().toSorted(), `${screen.slice(-2000)}\n${watch.transcript()}`);
    assert.equal(await gateway.count('signin.local'), signIns + 1, 'it connected once');
    assert.ok((await gateway.count('session.moved')) - moved >= EXPIRIES);
  });
}

test('mbsync, again and again', { skip: without('isync') }, async () => {
  const home = join(folder.path, 'mbsync');
  mkdirSync(join(home, 'mail'), { recursive: true });
  const { imap, user, password } = gateway;
  const config = join(home, 'mbsyncrc');
  writeFileSync(
    config,
    `IMAPAccount work
Host ${imap.host}
Port ${imap.port}
User ${user}
Pass "${password}"
SSLType None
AuthMechs LOGIN

IMAPStore far
Account work

MaildirStore near
Path ${home}/mail/
Inbox ${home}/mail/INBOX

Channel all
Far :far:
Near :near:
Create Near
Expunge Both
Sync All
SyncState *
`,
    { mode: 0o600 },
  );
  const run = () => runProgram('mbsync', ['--config', config, 'all'], { env: { HOME: home } });
  let toldToConnectAgain = 0;
  for (let hour = 1; hour <= EXPIRIES; hour++) {
    for (let letter = 0; letter < 10; letter++) arrive();
    // The token ends while mbsync is at work.
    // When the session ends at the very moment at which new mail has been told and the program asks for it, no other can be
    // shown to say the same: the program is told to connect again, and cron runs it again. An hour is a second here, while the
    // gateway tries again in seconds of the machine, so this is met far more often than by people.
    const synchronised = run().catch((error: unknown) => {
      if (!/unexpected BYE response: .*; connect again/.test(String(error))) throw error;
      toldToConnectAgain += 1;
    });
    await Promise.all([synchronised, anHour(hour, () => delay(5))]);
  }
  assert.ok(toldToConnectAgain <= EXPIRIES / 2, `${toldToConnectAgain} of ${EXPIRIES} times`);
  await run();
  const got = maildirFiles(join(home, 'mail', 'INBOX')).map((path) => {
    const subject = /^Subject: (.*)$/m.exec(readFileSync(path, 'latin1'))?.[1]?.trim();
    return `${subject} ${flagsOf(path)}`;
  });
  assert.deepEqual(got.toSorted(), truth().toSorted());
});

/** Seen and flagged, as a Maildir names them. */
const flagsOf = (path: string): string => (/:2,(.*)$/.exec(basename(path))?.[1] ?? '').replace(/[^FS]/g, '');

function truth(): string[] {
  return inbox().messages.map(({ raw, flags }) => {
    const subject = /^Subject: (.*)$/m.exec(raw.toString('latin1'))?.[1]?.trim();
    return `${subject} ${flags.has('\\Flagged') ? 'F' : ''}${flags.has('\\Seen') ? 'S' : ''}`;
  });
}
