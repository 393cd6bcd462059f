import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Secret } from '../base/secret.ts';
import { isError, type PosternError } from '../base/error.ts';
import { type Config, readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { databaseFile } from './installation-mark.ts';
import { runs, takeHomeLock, watchHomeLock } from './home-lock.ts';

function configIn(t: TestContext): Config {
  const folder = mkdtempSync(join(tmpdir(), 'postern-lock-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return readConfig(homeOf({ HOME: folder }, folder), {});
}

const lockFileOf = (config: Config): string => `${databaseFile(config)}.serve`;

/** The program of a process that takes the lock, notes this test as its worker and says so. */
const taking = (home: string): string => `
    import { takeHomeLock } from ${JSON.stringify(join(import.meta.dirname, 'home-lock.ts'))};
    import { readConfig } from ${JSON.stringify(join(import.meta.dirname, 'config.ts'))};
    import { homeOf } from ${JSON.stringify(join(import.meta.dirname, 'home.ts'))};
    const lock = takeHomeLock(readConfig(homeOf({}, ${JSON.stringify(home)}), {}));
    lock.note([${process.pid}]);
    process.stdout.write('taken');
    setInterval(() => lock.leftBehind, 1000);`;

/** Another process that has the lock. */
async function holder(t: TestContext, home: string) {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', taking(home)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

test('W9: one process on one SQLite database; the lock goes with its process, however that ends', async (t) => {
  const config = configIn(t);
  const other = await holder(t, config.home.state);
  assert.throws(
    () => takeHomeLock(config),
    (error: unknown) =>
      isError(error, 'server.already-running') &&
      error.message.includes(String(other.pid)) &&
      /workers|PostgreSQL/.test(error.hint),
  );
  other.kill('SIGKILL');
  await once(other, 'exit');
  const lock = takeHomeLock(config)!;
  assert.deepEqual(lock.leftBehind, [process.pid], 'its workers are known');
  await lock[Symbol.asyncDispose]();
  const again = takeHomeLock(config)!;
  assert.deepEqual(again.leftBehind, [], 'an orderly end leaves nobody');
  await again[Symbol.asyncDispose]();
});

test('R1: a lock whose file was removed is taken again at the next look, and nobody else gets it', async (t) => {
  const config = configIn(t);
  const clock = new ManualClock();
  const lock = takeHomeLock(config)!;
  const watch = watchHomeLock(lock, clock, (error) => assert.fail(error));
  rmSync(lockFileOf(config));
  await clock.advance(2000);
  // By another process: locks of this one do not stand in its own way (fcntl(2)).
  const other = spawnSync(process.execPath, ['--input-type=module', '--eval', taking(config.home.state)]);
  assert.match(String(other.stderr), /server\.already-running/);
  await watch[Symbol.asyncDispose]();
  await lock[Symbol.asyncDispose]();
});

test('R1: whose lock file was removed and taken by another process ends', async (t) => {
  const config = configIn(t);
  const clock = new ManualClock();
  const lock = takeHomeLock(config)!;
  const lost: PosternError[] = [];
  const watch = watchHomeLock(lock, clock, (error) => void lost.push(error));
  rmSync(lockFileOf(config));
  const other = await holder(t, config.home.state);
  await clock.advance(2000);
  assert.deepEqual(
    lost.map(({ code }) => code),
    ['server.already-running'],
  );
  assert.match(lost[0]!.message, new RegExp(`process ${other.pid}\\)`));
  await clock.advance(10_000);
  assert.equal(lost.length, 1, 'said once');
  await watch[Symbol.asyncDispose]();
  await lock[Symbol.asyncDispose]();
});

test('W9: a process whose number is another’s by now is not taken for it', () => {
  assert.equal(existsSync('/proc/self/stat'), true);
  assert.equal(runs({ pid: process.pid, started: '1' }), false);
});

test('W9: on PostgreSQL several processes are meant, on ports of their own', async (t) => {
  const base = { ...configIn(t), database: new Secret('postgres://postern@db/postern') };
  const on = (port: number): Config => ({
    ...base,
    listeners: [{ protocol: 'imap', tls: 'none', host: '127.0.0.1', port }],
    console: { ...base.console, port: 0 },
  });
  const [first, second] = [takeHomeLock(on(1143))!, takeHomeLock(on(2143))!];
  assert.throws(
    () => takeHomeLock(on(1143)),
    (error: unknown) => isError(error, 'server.already-running'),
  );
  assert.equal(takeHomeLock(on(0)), undefined, 'free ports are in nobody’s way');
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
});

test('K23: the lock is of the file: by a symbolic link, through a linked folder, and refused under a second hard link', async (t) => {
  const config = configIn(t);
  const file = `${config.home.state}/postern.db`;
  writeFileSync(file, '');
  const other = await holder(t, config.home.state);
  const elsewhere = configIn(t);
  symlinkSync(file, `${elsewhere.home.state}/postern.db`);
  assert.throws(
    () => takeHomeLock(elsewhere),
    (error: unknown) => isError(error, 'server.already-running') && error.message.includes(String(other.pid)),
  );
  const third = configIn(t);
  symlinkSync(config.home.state, `${third.home.state}/same`);
  const through = { ...third, database: new Secret(`sqlite:${third.home.state}/same/postern.db`) };
  assert.throws(
    () => takeHomeLock(through),
    (error: unknown) => isError(error, 'server.already-running'),
  );
  const fourth = configIn(t);
  linkSync(file, `${fourth.home.state}/postern.db`);
  for (const one of [fourth, config])
    assert.throws(
      () => takeHomeLock(one),
      (error: unknown) => isError(error, 'server.database-names') && /2 names/.test(error.message),
    );
});

test('K23: a database file that is mounted without its folder is refused', { skip: process.getuid?.() !== 0 }, (t) => {
  const [config, other] = [configIn(t), configIn(t)];
  const [file, name] = [`${config.home.state}/postern.db`, `${other.home.state}/postern.db`];
  writeFileSync(file, '');
  writeFileSync(name, '');
  // In a namespace of its own where the machine lets us: nothing stays mounted.
  const program = `
    import { takeHomeLock } from ${JSON.stringify(join(import.meta.dirname, 'home-lock.ts'))};
    import { readConfig } from ${JSON.stringify(join(import.meta.dirname, 'config.ts'))};
    import { homeOf } from ${JSON.stringify(join(import.meta.dirname, 'home.ts'))};
    try { takeHomeLock(readConfig(homeOf({}, ${JSON.stringify(other.home.state)}), {})); } catch (error) { console.log(error.code, error.message); }`;
  const script = `mount --bind "$1" "$2" && exec "$3" --input-type=module --eval "$4"`;
  const args = ['--mount', 'sh', '-c', script, 'sh', file, name, process.execPath, program];
  const { status, stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
  if (status !== 0 && /not permitted/.test(stderr)) return t.skip('this machine lets nobody mount');
  assert.match(stdout, /server\.database-names .* is mounted by itself/, stderr);
});
