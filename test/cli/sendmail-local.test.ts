/** `postern sendmail` as cron, PHP and a link call it, for users of the machine who have no mailbox. */
import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { createHome, type Home } from '../bed/installation.ts';
import { type Finished, privateFolder, runProgram, type RunOptions } from '../bed/process.ts';

const ALICE = 'alice@contoso.test';
const CRON = 'From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@vm> backup\n\nout\n';
const ANY = Array.from({ length: 128 }, (_, code) => code);
const scratch = privateFolder();
let sandbox: Sandbox;
let home: Home;

before(async () => {
  sandbox = await startSandbox();
  home = await createHome({
    application: {
      provider: 'microsoft',
      clientId: sandbox.clients.public.id,
      settings: { authority: sandbox.authority, ca: sandbox.caPem },
    },
    authority: { approve: (url) => sandbox.approve(url, ALICE) },
  });
  configure({ localDomain: 'contoso.test' });
  symlinkSync(resolve(import.meta.dirname, '../../src/cli/main.ts'), join(scratch.path, 'sendmail'));
});
after(async () => {
  home?.remove();
  await sandbox?.close();
  scratch.remove();
});

function configure(outbox: object): void {
  writeFileSync(join(home.path, 'postern.yaml'), JSON.stringify({ outbox }));
}

/** Through the link, as the shell of cron would. */
function linked(args: readonly string[], input: string, options: RunOptions = {}): Promise<Finished> {
  const command = ['--disable-warning=ExperimentalWarning', join(scratch.path, 'sendmail'), ...args];
  return runProgram(process.execPath, command, { input, env: { POSTERN_HOME: home.path }, ...options });
}

interface Taken {
  readonly from: string;
  readonly to: readonly string[];
  readonly text: string;
}

async function newest(): Promise<Taken> {
  const { stdout } = await home.cli(['outbox', 'list', '--limit', '1', '--json']);
  const { messages } = JSON.parse(stdout.toString()) as {
    messages: readonly { id: string; envelopeFrom: string; recipients: readonly { address: string }[] }[];
  };
  const { id, envelopeFrom, recipients } = messages[0]!;
  const body = await home.cli(['outbox', 'show', id, '--body']);
  return { from: envelopeFrom, to: recipients.map(({ address }) => address), text: body.stdout.toString() };
}

test('F3, F4: cron calls a link named sendmail, and its mail is from the mailbox with its own name', async () => {
  await linked(['-FCronDaemon', '-i', '-B8BITMIME', '-oem', 'root'], CRON);
  const { from, to, text } = await newest();
  assert.deepEqual([from, to], [ALICE, ['root@contoso.test']]);
  assert.match(text, /^From: "root \(Cron Daemon\)" <alice@contoso\.test>\r\nTo: root@contoso\.test\r\n/);
});

test('F48: -bs speaks SMTP on standard input and output, and each message has its own sender', async () => {
  const mail = (subject: string): string =>
    `From: ${ALICE}\r\nTo: bob@x.test\r\nSubject: ${subject}\r\n\r\n..hi\r\n.\r\n`;
  const input = [
    'EHLO me\r\nMAIL FROM:<stranger@x.test>\r\n',
    `MAIL FROM:<${ALICE}>\r\nRCPT TO:<no one>\r\nRCPT TO:<bob@x.test>\r\nRCPT TO:<root>\r\nDATA\r\n${mail('by-dialogue')}`,
    'QUIT\r\n',
  ].join('');
  const { stdout } = await linked(['-bs'], input);
  const replies = stdout
    .toString()
    .split('\r\n')
    .filter((line) => line[3] === ' ');
  assert.deepEqual(
    replies.map((line) => line.slice(0, 3)),
    ['220', '250', '501', '250', '501', '250', '250', '354', '250', '221'],
    stdout.toString(),
  );
  const { from, to, text } = await newest();
  assert.deepEqual([from, to], [ALICE, ['bob@x.test', 'root@contoso.test']]);
  assert.match(text, /Subject: by-dialogue\r\n[^]*\r\n\r\n\.hi\r\n$/);
  // The input ends in the middle of a message: nothing is taken.
  await linked(['-bs'], `HELO me\r\nMAIL FROM:<${ALICE}>\r\nRCPT TO:<bob@x.test>\r\nDATA\r\nSubject: half`, {
    accept: [0, 75, 76],
  });
  assert.match((await newest()).text, /by-dialogue/);
});

test('F3: -bp lists what waits; -q and -bi have nothing to do', async () => {
  const listed = await linked(['-bp'], '');
  assert.match(listed.stdout.toString(), /^msg_\w+ .*root@contoso\.test/m);
  for (const args of [['-q'], ['-bi']]) assert.equal((await linked(args, '')).stderr, '');
});

test('F4: PHP’s mail() without From, and with From: www-data', async () => {
  const sendmail = (args: readonly string[], input: string) => home.cli(['sendmail', ...args], { input });
  await sendmail(['-t', '-i'], 'To: bob@fabrikam.test\nSubject: x\n\nx\n');
  const without = await newest();
  assert.deepEqual([without.from, without.to], [ALICE, ['bob@fabrikam.test']]);
  assert.match(without.text, /^From: alice@contoso\.test\r$/m);
  await sendmail(['-t', '-i'], 'To: bob@fabrikam.test\nFrom: www-data\nSubject: x\n\nx\n');
  assert.match((await newest()).text, /^From: www-data <alice@contoso\.test>\r$/m);
  await sendmail(['-t', '-i', '-f', 'www-data'], `To: bob@fabrikam.test\nFrom: Alice <${ALICE}>\n\nx\n`);
  assert.match((await newest()).text, /^From: Alice <alice@contoso\.test>\r$/m);
});

test('F31: a user with the machine’s name or the local domain behind it is that user, in envelope, header and recipients', async () => {
  const send = (args: readonly string[], input: string) => home.cli(['sendmail', ...args], { input, accept: ANY });
  for (const name of [`root@${hostname()}`, 'root@localhost', 'Root@contoso.test', 'root']) {
    for (const from of [`root@${hostname()}`, 'root', 'root@contoso.test']) {
      const done = await send(['-oi', '-f', name, '-t'], `From: ${from}\nTo: root@localhost\nSubject: x\n\nx\n`);
      assert.equal(done.code, 0, `${name}, ${from}: ${done.stderr}`);
      const taken = await newest();
      assert.deepEqual([taken.from, taken.to], [ALICE, ['root@contoso.test']]);
      assert.match(taken.text, /^From: "?root"? <alice@contoso\.test>\r\nTo: root@contoso\.test\r\n/);
    }
  }
  // Somebody else's address stays one, and is refused alike wherever it stands.
  for (const args of [['-t', '-f', 'root@fabrikam.test'], ['-t']])
    assert.match(
      (await send(args, 'From: root@fabrikam.test\nTo: bob@contoso.test\n\nx\n')).stderr,
      /root@fabrikam\.test/,
    );
  const other = await send(['-t', '-f', 'root'], 'From: root@fabrikam.test\nTo: bob@contoso.test\n\nx\n');
  assert.notEqual(other.code, 0);
});

test('F4: what cannot be sent is refused with the key that helps, and never with --send-as for a local name', async () => {
  configure({ localDomain: 'contoso.test', localMailbox: 'nobody@contoso.test' });
  const refused = await home.cli(['sendmail', '-i', 'root'], { input: CRON, accept: ANY });
  assert.equal(refused.code, 64);
  assert.match(refused.stderr, /there is no mailbox nobody@contoso\.test, which outbox\.localMailbox names/);
  assert.doesNotMatch(refused.stderr, /--send-as/);
  configure({ localMailbox: ALICE });
  const incomplete = await home.cli(['sendmail', '-i', 'root'], { input: CRON, accept: ANY });
  assert.match(incomplete.stderr, /root has no domain[^]*outbox: \{ localDomain: example\.com \}/);
});

test('P29: called by its link, a next step repeats the command with the word sendmail', async () => {
  const elsewhere = join(scratch.path, 'nothing-here');
  const env = { POSTERN_HOME: elsewhere };
  const seen = join(scratch.path, 'seen.mjs');
  writeFileSync(
    seen,
    "process.on('exit', () => process.stderr.write(`ARGV ${JSON.stringify(process.argv.slice(2))}`));\n",
  );
  const command = [
    '--disable-warning=ExperimentalWarning',
    '--import',
    seen,
    join(scratch.path, 'sendmail'),
    '-i',
    'root',
  ];
  const refused = await runProgram(process.execPath, command, { input: CRON, env, accept: ANY });
  // What hints of `not yours` and `not initialised` are made of.
  assert.match(refused.stderr, /ARGV \["sendmail","-i","root"\]/);
});
