/**
 * Known secrets go through the real product by every path, good and bad; afterwards every byte on disk, every line of output
 * and every process's arguments and environment are searched for them. Two outputs are meant to show a secret and are
 * searched for all the others only: `password add`, which shows the app password once, and `token`, which prints a token.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createHome, type Home, type Serving } from './bed/installation.ts';
import { ALICE, BOB, type MailSite, startMailSite } from './bed/mail-site.ts';
import { without } from './bed/need.ts';
import { type Finished, privateFolder } from './bed/process.ts';
import { type Leak, search, searchFolder, searchProcess } from './bed/secret-sweep.ts';
import { Wire } from './bed/wire.ts';

const skip = without('dovecot-imapd', 'postfix');
const scratch = privateFolder();
const temporary = join(scratch.path, 'tmp');
/** Everything the product said, by where it said it. */
const said = new Map<string, string>();
const leaks: Leak[] = [];
const PASSPHRASE = 'correct horse/battery+staple';
let site: MailSite;
let home: Home;

before(async () => {
  if (skip) return;
  mkdirSync(temporary);
  site = await startMailSite('jwt');
  site.authority.ttl = 1;
  writeFileSync(join(scratch.path, 'passphrase'), `${PASSPHRASE}\n`);
  const env = { TMPDIR: temporary, POSTERN_PASSPHRASE_FILE: join(scratch.path, 'passphrase') };
  home = await createHome(site, { env, log: 'debug', byCommand: true });
});
after(async () => {
  await site?.stop();
  home?.remove();
  scratch.remove();
});

function secrets(): Map<string, string> {
  const known = new Map(site.authority.secrets);
  known.set('passphrase', PASSPHRASE);
  known.set('client secret', site.authority.clients.confidential.secret);
  known.set('app password', home.password);
  known.set('app password without separators', home.password.replaceAll(/[\s-]/g, ''));
  return known;
}

/** Remembers what was said, and looks at the process while it runs. */
function note(where: string, text: string): void {
  said.set(where, `${said.get(where) ?? ''}${text}`);
}

async function command(args: readonly string[], input = ''): Promise<Finished> {
  const done = await home.cli(args, { input, accept: Array.from({ length: 128 }, (_, code) => code) });
  note(`postern ${args.join(' ')}`, done.stdout.toString() + done.stderr);
  return done;
}

async function conversation(
  serving: Serving,
  protocol: 'imap' | 'pop3' | 'smtp',
  lines: readonly string[],
): Promise<void> {
  const wire = await Wire.open(serving.door[protocol]);
  await wire.until(/\r\n/);
  for (const line of lines) {
    wire.send(`${line}\r\n`);
    note(
      `${protocol} replies`,
      await wire.until(/^(?:a\d+ |\+|-ERR|\* BYE|[2345]\d\d ).*\r\n/m).catch((error: Error) => error.message),
    );
  }
  wire.destroy();
}

const plain = (password: string): string => Buffer.from(`\0${ALICE}\0${password}`).toString('base64');

/** Sign-ins that work and that do not, on every protocol. */
async function signIns(serving: Serving): Promise<void> {
  for (const password of [home.password, 'wrong-password-1', `${home.password}x`]) {
    await conversation(serving, 'imap', [`a1 LOGIN ${ALICE} ${password}`, 'a2 NOOP']);
    await conversation(serving, 'imap', [`a1 AUTHENTICATE PLAIN ${plain(password)}`]);
    await conversation(serving, 'pop3', [`USER ${ALICE}`, `PASS ${password}`]);
    await conversation(serving, 'smtp', ['EHLO client.test', `AUTH PLAIN ${plain(password)}`]);
  }
  // Secrets where they do not belong.
  // Not as an IMAP tag: that comes back by design (RFC 9051 §2.2.1), to whoever sent it.
  await conversation(serving, 'imap', [`a1 LOGIN ${home.password} ${ALICE}`, `a2 ${home.password}`]);
  await conversation(serving, 'pop3', [`PASS ${home.password}`, home.password]);
  await conversation(serving, 'smtp', [home.password, `EHLO ${home.password}`, `AUTH PLAIN ${home.password}`]);
}

function watch(serving: Serving): void {
  leaks.push(...searchProcess(serving.pid, secrets()));
}

function collect(serving: Serving, name: string): void {
  note(name, serving.output());
}

test('consent, sign-in, refresh, refusal', { skip }, async () => {
  const serving = await home.serve();
  await signIns(serving);
  watch(serving);
  const [refresh] = [...site.authority.secrets]
    .filter(([name]) => name.startsWith('refresh_token'))
    .map(([, value]) => value);
  // Answers that quote the token, as careless servers do.
  for (const failure of [
    { status: 503, body: `upstream said: ${refresh}` },
    { status: 400, body: { error: 'temporarily_unavailable', error_description: `token ${refresh} busy` } },
    { status: 200, body: `<html>${refresh}</html>` },
    { status: 500, cut: true },
    { status: 400, body: { error: 'invalid_grant', error_description: `the token ${refresh} is not known` } },
  ]) {
    site.authority.failNext.push(failure);
    await conversation(serving, 'imap', [`a1 LOGIN ${ALICE} ${home.password}`]);
  }
  site.authority.failNext.length = 0;
  await serving.stop();
  collect(serving, 'serve, orderly end');
});

test('an application that signs in with a secret', { skip }, async () => {
  const { id, secret } = site.authority.clients.confidential;
  const [secretFile, settings] = [join(scratch.path, 'client-secret'), join(scratch.path, 'settings.json')];
  writeFileSync(secretFile, `${secret}\n`);
  writeFileSync(settings, JSON.stringify(site.application.settings));
  const add = [
    'application',
    'add',
    'robot',
    '--client-id',
    id,
    '--client-secret-file',
    secretFile,
    '--settings',
    settings,
  ];
  assert.equal((await command(add)).code, 0);
  assert.equal((await command(['mailbox', 'add', BOB, '--application', 'robot', '--flow', 'app-only'])).code, 0);
  // Refused with the secret quoted.
  site.authority.failNext.push({
    status: 401,
    body: { error: 'invalid_client', error_description: `secret ${secret} is wrong` },
  });
  await command(['mailbox', 'add', 'carol@contoso.test', '--application', 'robot', '--flow', 'app-only']);
  site.authority.failNext.length = 0;
  await command(['mailbox', 'test', BOB]);
});

test('the two outputs that are meant to show a secret show no other', { skip }, async () => {
  const { stdout, stderr } = await home.cli(['token', BOB]);
  const [shown] = [...site.authority.secrets].find(([, value]) => value === stdout.toString().trim()) ?? [];
  assert.ok(shown?.startsWith('access_token'), 'token prints the access token and nothing else');
  note('postern token, what it says besides', stderr);
});

test('commands', { skip }, async () => {
  for (const json of [[], ['--json']])
    for (const args of [
      ['mailbox', 'list'],
      ['mailbox', 'show', ALICE],
      ['mailbox', 'test', ALICE],
      ['application', 'list'],
      ['application', 'show', 'work'],
      ['password', 'list'],
      ['audit', 'show'],
      ['audit', 'verify'],
      ['no-such-command', home.password],
    ])
      await command([...args, ...json]);
});

test('killed, and ended by a defect', { skip }, async () => {
  const killed = await home.serve();
  await signIns(killed);
  await killed.kill();
  collect(killed, 'serve, killed');

  // A module of the test's own makes the process throw, with a token in the message.
  const [, token] = [...site.authority.secrets].findLast(([name]) => name.startsWith('access_token'))!;
  const bomb = join(scratch.path, 'bomb.mjs');
  writeFileSync(
    bomb,
    `process.on('SIGUSR2', () => setImmediate(() => { throw new Error('unexpected: Bearer ' + ${splitLiteral(token)}); }));\n`,
  );
  const broken = await home.serve({ NODE_OPTIONS: `--import=${bomb}` });
  await conversation(broken, 'imap', [`a1 LOGIN ${ALICE} ${home.password}`]);
  broken.signal('SIGUSR2');
  for (const end = performance.now() + 10_000; broken.running && performance.now() < end;) await delay(20);
  await broken.stop();
  collect(broken, 'serve, ended by a defect');
});

test('no secret is anywhere', { skip }, () => {
  const known = secrets();
  assert.ok(known.size > 6, 'there are secrets to look for');
  for (const name of ['access_token', 'refresh_token', 'code_verifier', 'id_token'])
    assert.ok(
      [...known.keys()].some((key) => key.startsWith(name)),
      `a ${name} was seen`,
    );
  assert.ok([...said.values()].join('').length > 2000, 'the product said something');
  for (const [where, text] of said) leaks.push(...search(Buffer.from(text), known, where));
  const setup = new Map(known);
  for (const each of ['app password', 'app password without separators']) setup.delete(each);
  leaks.push(...search(Buffer.from(home.said), setup, 'setting up'));
  leaks.push(...searchFolder(home.path, known), ...searchFolder(temporary, known));
  assert.deepEqual(leaks, []);
});

/** The text as an expression that does not contain it, so that the test's own file is no finding. */
function splitLiteral(text: string): string {
  return Array.from({ length: Math.ceil(text.length / 8) }, (_, part) =>
    JSON.stringify(text.slice(part * 8, part * 8 + 8)),
  ).join(' + ');
}
