/** `*@domain` and what leaves through it: a pattern is no user name and no sender, and one address that is refused stops no other. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { privateFolder } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { Wire } from '../bed/wire.ts';

const EVERYBODY = '*@contoso.test';
const CRON = 'From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@vm> backup\n\nout\n';
const CRON_FLAGS = ['sendmail', '-FCronDaemon', '-i', '-B8BITMIME', '-oem', 'root'];
const folder = privateFolder();
let site: SandboxGateway;
let password: string;

before(async () => {
  site = await startSandboxGateway();
  const { tenant, authority, mailboxes } = site.facts;
  const settings = join(folder.path, 'settings.json');
  const ca = site.caPem;
  const servers = { imap: { ...tenant.imap, ca }, smtp: { ...tenant.smtp, ca } };
  writeFileSync(settings, JSON.stringify({ authority, ca, ...servers }));
  const secret = join(folder.path, 'secret');
  writeFileSync(secret, 'sandbox~secret/for+contoso-only');
  const robot = ['--preset', 'microsoft', '--client-id', '5a4db0c5-0000-4000-8000-000000000020'];
  await site.cli(['application', 'add', 'robot', ...robot, '--client-secret-file', secret, '--settings', settings]);
  for (const { address } of mailboxes) await site.cli(['mailbox', 'remove', address, '--yes']);
  const open = ['--application', 'robot', '--flow', 'app-only', '--protocols', 'imap,smtp'];
  await site.cli(['mailbox', 'add', EVERYBODY, ...open]);
  const made = await site.cli(['password', 'add', '--mailbox', EVERYBODY, '--label', 'all', '--json']);
  ({ password } = JSON.parse(made.stdout.toString()) as { password: string });
});
after(async () => {
  await site?.stop();
  folder.remove();
});

/** Commands read it; the gateway that runs keeps what it began with. */
function configure(outbox: object): void {
  const path = join(site.facts.home, 'postern.yaml');
  const [mark, ...rest] = readFileSync(path, 'utf8').split('\n');
  writeFileSync(path, `${mark}\n${JSON.stringify({ ...(JSON.parse(rest.join('\n')) as object), outbox })}\n`);
}

interface Row {
  readonly id: string;
  readonly mailbox: string;
  readonly envelopeFrom: string;
  readonly state: { readonly type: string };
}

async function newest(): Promise<Row> {
  const { stdout } = await site.cli(['outbox', 'list', '--limit', '5', '--json']);
  const { messages } = JSON.parse(stdout.toString()) as { messages: readonly Row[] };
  // Reports are about it.
  return messages.find(({ envelopeFrom }) => envelopeFrom !== '')!;
}

test('P21: a local name completed with the domain is no mailbox because *@ would open it: localMailbox sends', async () => {
  configure({ localDomain: 'contoso.test', localMailbox: 'bob@contoso.test' });
  await site.cli(CRON_FLAGS, { input: CRON });
  const { id, mailbox, envelopeFrom } = await newest();
  assert.deepEqual([mailbox, envelopeFrom], ['bob@contoso.test', 'bob@contoso.test']);
  const { stdout } = await site.cli(['outbox', 'show', id, '--body']);
  assert.match(stdout.toString(), /^From: "root \(Cron Daemon\)" <bob@contoso\.test>\r$/m);
});

test('P21: where *@ is all there is, nobody is guessed, and the pattern itself never sends', async () => {
  configure({ localDomain: 'contoso.test' });
  const guessed = await site.cli(CRON_FLAGS, { input: CRON, accept: [64] });
  assert.match(guessed.stderr, /every address of a domain could send it[^]*localMailbox: ADDRESS/);
  const named = await site.cli([...CRON_FLAGS, '--mailbox', EVERYBODY], { input: CRON, accept: [64] });
  assert.match(named.stderr, /stands for every address of its domain[^]*--mailbox SOMEBODY@contoso\.test/);
  configure({ localMailbox: EVERYBODY });
  const configured = await site.cli(CRON_FLAGS, {
    input: CRON,
    accept: Array.from({ length: 128 }, (_, code) => code),
  });
  assert.match(configured.stderr, /outbox\.localMailbox[^]*the address of a mailbox/);
});

test('P21: one address that the provider refuses does not pause what the others send', async () => {
  configure({ localDomain: 'contoso.test' });
  const send = (from: string) =>
    site.cli(['sendmail', '-i', '-f', from, 'bob@contoso.test'], { input: 'Subject: x\n\nx\n' });
  await send('root@contoso.test');
  const refused = (await newest()).id;
  const showed = async (id: string): Promise<string> => (await site.cli(['outbox', 'show', id])).stdout.toString();
  let story = '';
  for (
    const end = performance.now() + 20_000;
    !/535|refuse|rest/.test(story) && performance.now() < end;
    await delay(100)
  )
    story = await showed(refused);
  await send('alice@contoso.test');
  const { id } = await newest();
  let state = '';
  for (const end = performance.now() + 20_000; state !== 'sent' && performance.now() < end; await delay(100))
    state = (await newest()).state.type;
  assert.equal(state, 'sent', `${await showed(id)}\n${story}`);
});

test('P22: the pattern is never given as user name, and a program that signs in with it is told', async () => {
  const made = await site.cli(['password', 'add', '--mailbox', EVERYBODY, '--label', 'other']);
  assert.match(made.stderr, /user name: the address of each mailbox, such as SOMEBODY@contoso\.test/);
  const printed = await site.cli(['client-config', EVERYBODY, '--for', 'printer'], { accept: [64] });
  assert.match(
    printed.stderr,
    /stands for every address of its domain[^]*client-config SOMEBODY@contoso\.test --for printer/,
  );
  const wire = await Wire.open(site.facts.gateway.imap);
  wire.send(`a LOGIN "${EVERYBODY}" ${password}\r\n`);
  assert.match(
    await wire.until(/^a (?:OK|NO|BAD).*$/m),
    /^a NO \[AUTHENTICATIONFAILED\] \*@contoso\.test stands for every address of its domain and is no user name .*the address of one mailbox/m,
  );
  const guess = await Wire.open(site.facts.gateway.imap);
  guess.send(`a LOGIN "${EVERYBODY}" wrong\r\n`);
  assert.doesNotMatch(await guess.until(/^a (?:OK|NO|BAD).*$/m), /stands for/);
});

test('P22: commands that are printed for an address of *@ name what they can change', async () => {
  const wire = await Wire.open(site.facts.gateway.smtp);
  await wire.until(/^220 .*$/m);
  const credentials = Buffer.from(`\0bob@contoso.test\0${password}`).toString('base64');
  wire.send(`EHLO x\r\nAUTH PLAIN ${credentials}\r\n`);
  assert.match(await wire.until(/^(?:235|[45]\d\d) .*$/m), /^235/m);
  wire.send('MAIL FROM:<boss@contoso.test>\r\n');
  assert.match(await wire.until(/^550 .*$/m), /postern mailbox set '\*@contoso\.test' --send-as/);
  const tested = await site.cli(['mailbox', 'test', 'alice@contoso.test']);
  assert.match(tested.stdout.toString(), /postern mailbox reconsent '\*@contoso\.test' --protocols/);
});
