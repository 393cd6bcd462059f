/** Whose installation it is: another user, a lost key, a database with nothing in it. What is said, and that nothing is made. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openDesk } from '../bed/command-desk.ts';
import { COMMAND, startPostern } from '../bed/postern.ts';
import { privateFolder, runProgram, type Finished, type RunOptions } from '../bed/process.ts';

const folder = privateFolder();
const desk = openDesk();
const ROOT = process.getuid?.() === 0;
/** A user of Debian that owns nothing here. */
const NOBODY = 65534;

const postern = (home: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  desk.postern(home, args, options);

before(() => chmodSync(folder.path, 0o755));
after(() => {
  desk.close();
  folder.remove();
});

/** As another user, who may not use sudo here: the commands say what to type instead. */
function asNobody(home: string, args: readonly string[]): Promise<Finished> {
  return runProgram(
    'setpriv',
    ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, ...COMMAND, ...args],
    { env: { HOME: '/nonexistent', POSTERN_HOME: home }, accept: [64] },
  );
}

function nothingOfDefect(stderr: string): void {
  assert.doesNotMatch(stderr, /defect|at .*\.ts:\d+|unexpected/);
  assert.match(stderr, /^postern: next: .+$/m);
}

const COMMANDS = [['mailbox', 'list'], ['check'], ['init', '--no-mailbox'], ['serve'], ['support-bundle']] as const;

for (const [shape, prepare] of [
  ['a folder that is closed to others', () => undefined],
  ['an open folder with a closed database', (home: string) => chmodSync(home, 0o755)],
  [
    'an open folder with a closed key',
    (home: string) => (chmodSync(home, 0o755), chmodSync(join(home, 'postern.db'), 0o666)),
  ],
] as const) {
  test(
    `N6: another user than the owner of ${shape} is told whose it is and what to type`,
    { skip: !ROOT },
    async () => {
      const home = join(folder.path, `whose-${shape.length}`);
      await postern(home, ['init', '--no-mailbox']);
      prepare(home);
      for (const args of COMMANDS) {
        const { stderr } = await asNobody(home, args);
        assert.match(stderr, /belongs to root, and this command runs as nobody/, args.join(' '));
        assert.ok(
          stderr.includes(`next: run it as root: sudo -H -u root env POSTERN_HOME=${home} postern ${args.join(' ')}`),
          stderr,
        );
        nothingOfDefect(stderr);
      }
    },
  );
}

test('N6: a folder that cannot be made, and one’s own that is closed: what to type', { skip: !ROOT }, async () => {
  const { stderr } = await asNobody('/var/lib/postern-of-nobody', ['init', '--no-mailbox']);
  assert.match(stderr, /cannot be made: \/var\/lib belongs to root/);
  assert.match(stderr, /sudo install -d -m 700 -o nobody \/var\/lib\/postern-of-nobody/);
  nothingOfDefect(stderr);
  const own = join(folder.path, 'closed');
  mkdirSync(own, { mode: 0o500 });
  chownSync(own, NOBODY, NOBODY);
  const closed = await asNobody(own, ['init', '--no-mailbox']);
  assert.match(closed.stderr, /is yours, but its mode 500 does not let you use/);
  assert.match(closed.stderr, /next: chmod u\+rwX /);
});

test('N6: a configuration that may not be read is not taken for one that is not there', { skip: !ROOT }, async () => {
  const home = join(folder.path, 'config');
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(home, 'postern.yaml'), 'workers: 1\n', { mode: 0o600 });
  chownSync(home, NOBODY, NOBODY);
  const { stderr } = await asNobody(home, ['init', '--no-mailbox']);
  assert.match(stderr, /postern\.yaml belongs to root/);
  assert.equal(existsSync(join(home, 'key')), false);
});

test('N7: a lost key beside a database: restore it, and init makes no other', async () => {
  const home = join(folder.path, 'lost');
  await postern(home, ['init', '--no-mailbox']);
  const key = readFileSync(join(home, 'key'));
  rmSync(join(home, 'key'));
  for (const args of [['init', '--no-mailbox'], ['mailbox', 'list'], ['serve'], ['check', '--installation']]) {
    const { stderr, stdout } = await postern(home, args, { accept: [64] });
    assert.match(stderr + stdout.toString(), /was set up with a master key, but there is no key file/, args.join(' '));
    assert.match(stderr + stdout.toString(), /restore the key file from your backup/, args.join(' '));
    assert.doesNotMatch(stderr + stdout.toString(), /next: .*postern init/, args.join(' '));
    assert.equal(existsSync(join(home, 'key')), false, `${args.join(' ')} made a key`);
  }
  writeFileSync(join(home, 'key'), key, { mode: 0o600 });
  await postern(home, ['mailbox', 'list']);
});

test('N7: key.path with a slip in it: the key that is there is named', async () => {
  const home = join(folder.path, 'slip');
  await postern(home, ['init', '--no-mailbox']);
  writeFileSync(join(home, 'postern.yaml'), 'key: { source: file, path: keey }\n');
  for (const args of [
    ['init', '--no-mailbox'],
    ['mailbox', 'list'],
  ]) {
    const { stderr } = await postern(home, args, { accept: [64] });
    assert.match(stderr, /no key file .*keey/);
    assert.match(stderr, /there is a key file .*\/key: correct key\.path in postern\.yaml/);
  }
  assert.equal(existsSync(join(home, 'keey')), false);
  renameSync(join(home, 'key'), join(home, 'keey'));
  await postern(home, ['mailbox', 'list']);
});

test('N7: hints about the key name keys of the configuration that exist', async () => {
  const { vaultError } = await import('../../src/vault/errors.ts');
  const home = join(folder.path, 'passphrase');
  await postern(home, ['init', '--no-mailbox']);
  const { stderr } = await postern(home, ['mailbox', 'list'], {
    env: { POSTERN_PASSPHRASE: 'wrong kind' },
    accept: [64],
  });
  assert.match(stderr, /set key\.source in postern\.yaml to file/);
  assert.match(vaultError.table['vault.locked'].hint, /`key` in postern\.yaml/);
});

test('N1: an empty database with a key from elsewhere is not ready, and no program is told its password is wrong', async () => {
  const home = join(folder.path, 'empty');
  mkdirSync(home, { mode: 0o700 });
  const listener = (protocol: string): object => ({ protocol, tls: 'none', host: '127.0.0.1', port: 0 });
  writeFileSync(
    join(home, 'postern.yaml'),
    JSON.stringify({ listeners: ['imap', 'pop3', 'smtp'].map(listener), console: { port: 0 }, log: { level: 'warn' } }),
  );
  const key = Buffer.alloc(32, 7).toString('base64');
  for (const workers of ['1', '2']) {
    const daemon = startPostern(home, ['serve', '--json', '--workers', workers], { POSTERN_MASTER_KEY: key });
    try {
      const facts = await announced(daemon.child.stdout!);
      const port = (protocol: string): number => facts.listeners.find((one) => one.protocol === protocol)!.port;
      const ready = await fetch(`http://127.0.0.1:${facts.console.port}/readyz`);
      assert.equal(ready.status, 503);
      assert.match(await ready.text(), /postern\.db holds no mailbox and no app password/);
      const curl = (url: string, ...more: string[]): Promise<Finished> =>
        runProgram('curl', ['-sv', '--max-time', '10', '--user', 'alice@example.com:password', ...more, url], {
          accept: [67, 67, 8, 56, 55],
        });
      assert.match((await curl(`imap://127.0.0.1:${port('imap')}/`)).stderr, /NO \[UNAVAILABLE\]/);
      assert.match((await curl(`pop3://127.0.0.1:${port('pop3')}/`)).stderr, /-ERR \[SYS\/TEMP\]/);
      const mail = ['--mail-from', 'a@example.com', '--mail-rcpt', 'b@example.com', '-T', '/dev/null'];
      assert.match((await curl(`smtp://127.0.0.1:${port('smtp')}/`, ...mail)).stderr, /454 4\.7\.0/);
    } finally {
      await daemon.stop();
    }
  }
});

async function announced(
  stdout: NodeJS.ReadableStream,
): Promise<{ listeners: { protocol: string; port: number }[]; console: { port: number } }> {
  let text = '';
  for await (const piece of stdout) {
    text += String(piece);
    if (text.includes('\n')) return JSON.parse(text.slice(0, text.indexOf('\n'))) as never;
  }
  throw new Error(`it ended without a word: ${text}`);
}
