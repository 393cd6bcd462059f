/** Postern from a checkout: the launcher, the form in which commands are printed, and a checkout that is somebody else's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { asStarted } from '../../src/cli/command-name.ts';
import { eventually } from '../bed/eventually.ts';
import { privateFolder } from '../bed/process.ts';

const root = resolve(import.meta.dirname, '../..');
const launcher = join(root, 'bin/postern');
const scratch = privateFolder();
after(() => scratch.remove());

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = scratch.path,
): Ran {
  const PATH = `${resolve(process.execPath, '..')}:/usr/bin:/bin`;
  return spawnSync(program, args, { cwd, encoding: 'utf8', env: { PATH, HOME: scratch.path, ...env } });
}

test('D34: bin/postern works from any folder, and what it prints can be pasted there', () => {
  const home = join(scratch.path, 'none');
  const direct = run(launcher, ['--home', home, 'mailbox', 'list']);
  assert.equal(direct.status, 64, direct.stderr);
  assert.ok(direct.stderr.includes(`: ${launcher} --home ${home} init`), direct.stderr);
  const bin = join(scratch.path, 'bin');
  mkdirSync(bin);
  symlinkSync(launcher, join(bin, 'postern'));
  const PATH = `${bin}:${resolve(process.execPath, '..')}:/usr/bin:/bin`;
  const linked = run('postern', ['--home', home, 'mailbox', 'list'], { PATH });
  assert.ok(linked.stderr.includes(`: postern --home ${home} init`), linked.stderr);
  symlinkSync(join(bin, 'postern'), join(bin, 'sendmail'));
  assert.match(run('sendmail', ['--help'], { PATH }).stdout, /^Usage: postern sendmail/);
});

test('D34: files are named from where the person is, also through npm', () => {
  const init = run(launcher, ['--home', 'here', 'init', '--no-mailbox']);
  assert.equal(init.status, 0, init.stderr);
  const npm = { npm_lifecycle_event: 'postern', INIT_CWD: scratch.path };
  const through = run(
    process.execPath,
    ['scripts/with-node.mjs', '--quiet', 'src/cli/main.ts', '--home', 'here', 'mailbox', 'list'],
    npm,
    root,
  );
  assert.equal(through.status, 0, through.stderr);
  assert.match(readFileSync(join(root, '.gitignore'), 'utf8'), /^\/sandbox\/$/m);
});

test('K71: what is started in the background outlives its shell; what npm started ends with it', async () => {
  const lives = join(scratch.path, 'lives.mjs');
  // Its end is told by a file as well: SIGTERM is what ends it with npm.
  writeFileSync(
    lives,
    `import { writeFileSync } from 'node:fs';
    const said = process.argv[2];
    process.on('SIGTERM', () => { writeFileSync(said, 'ended'); process.exit(); });
    setTimeout(() => writeFileSync(said, 'lived'), 2000);`,
  );
  const outcome = async (name: string, env: Readonly<Record<string, string>>): Promise<string> => {
    const said = join(scratch.path, name);
    const command = `"${process.execPath}" scripts/with-node.mjs --quiet "${lives}" "${said}" >/dev/null 2>&1 & sleep 1`;
    assert.equal(run('/bin/sh', ['-c', command], env, root).status, 0);
    await eventually(() => existsSync(said) && readFileSync(said, 'utf8') !== '', `a word of ${name}`, 30_000);
    return readFileSync(said, 'utf8');
  };
  assert.equal(await outcome('alone', {}), 'lived');
  assert.equal(await outcome('npm', { npm_lifecycle_event: 'start' }), 'ended');
});

test('P90: an example that needs the built package, an address or the command says so, and how to run it', () => {
  const folder = join(scratch.path, 'checkout');
  mkdirSync(join(folder, 'examples'), { recursive: true });
  for (const file of ['package.json', 'examples/imap.ts']) copyFileSync(join(root, file), join(folder, file));
  const example = (...args: readonly string[]) => run(process.execPath, ['examples/imap.ts', ...args], {}, folder);
  const unbuilt = example('alice@example.com');
  assert.match(unbuilt.stderr, /^the package postern is not here: .*npm run build\n$/);
  assert.equal(unbuilt.status, 64);
  assert.match(example().stderr, /^say which mailbox: .*\n$/);
  mkdirSync(join(folder, 'dist/protocol/sasl'), { recursive: true });
  writeFileSync(join(folder, 'dist/protocol/sasl/index.js'), '');
  assert.match(example('alice@example.com').stderr, /^there is no postern on the PATH; .*PATH="\$PWD\/bin:/);
});

test('D34: command lines inside a text, and nothing else, are put into the form that works', () => {
  const form = '/src/postern/bin/postern';
  for (const [text, printed] of [
    ['run `postern init` first', `run \`${form} init\` first`],
    [
      'run it as postern: sudo -H -u postern env POSTERN_HOME=/x postern mailbox list',
      `run it as postern: sudo -H -u postern env POSTERN_HOME=/x ${form} mailbox list`,
    ],
    ['start postern serve, then postern --home /x check', `start ${form} serve, then ${form} --home /x check`],
    ['see /etc/postern and docs, postern knows it', 'see /etc/postern and docs, postern knows it'],
  ] as const)
    assert.equal(asStarted(text, { command: form }), printed);
  assert.equal(asStarted('postern init', { command: 'postern' }), 'postern init');
});

test('D33: a fresh checkout of another user: one sentence and a next step, no stack trace', (t) => {
  const folder = privateFolder();
  const checkout = join(folder.path, 'checkout');
  mkdirSync(join(checkout, 'scripts'), { recursive: true });
  copyFileSync(join(root, 'scripts/with-node.mjs'), join(checkout, 'scripts/with-node.mjs'));
  copyFileSync(join(root, 'package-lock.json'), join(checkout, 'package-lock.json'));
  for (const path of [folder.path, checkout, join(checkout, 'scripts')]) chmodSync(path, 0o555);
  t.after(() => {
    for (const path of [folder.path, checkout, join(checkout, 'scripts')]) chmodSync(path, 0o755);
    folder.remove();
  });
  const asNobody = (): Ran => {
    const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    return spawnSync('node', [join(checkout, 'scripts/with-node.mjs'), 'src/cli/main.ts'], {
      cwd: '/',
      encoding: 'utf8',
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/' },
      ...user,
    });
  };
  const first = asNobody();
  if (first.status === null) return t.skip('no node that another user may run');
  const words = /^postern: \S+ belongs to another user .*\npostern: next: .*git clone \S+ ~\/postern\n$/;
  assert.deepEqual([first.status, words.test(first.stderr)], [77, true], first.stderr);
  // The owner was stopped in the middle of it.
  chmodSync(checkout, 0o755);
  mkdirSync(join(checkout, '.cache'));
  writeFileSync(join(checkout, '.cache/setup.lock'), '999999999');
  for (const path of [join(checkout, '.cache'), checkout]) chmodSync(path, 0o555);
  const second = asNobody();
  chmodSync(join(checkout, '.cache'), 0o755);
  assert.deepEqual([second.status, words.test(second.stderr)], [77, true], second.stderr);
});
