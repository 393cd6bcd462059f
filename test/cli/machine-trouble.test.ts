/** Trouble of the machine, wherever it strikes: said in words, with the exit code that a service manager needs, and never as a defect. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs, { chmodSync, chownSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test, type TestContext } from 'node:test';
import { asError, isError, type PosternError } from '../../src/base/error.ts';
import { nullLog } from '../../src/base/log.ts';
import { exitCodeOf } from '../../src/cli/exit-code.ts';
import { type Config, readConfig } from '../../src/server/config.ts';
import { takeHomeLock } from '../../src/server/home-lock.ts';
import { homeOf } from '../../src/server/home.ts';
import { ensureKey, openInstance } from '../../src/server/instance.ts';
import { storeFailure } from '../../src/store/failure.ts';
import { openStore } from '../../src/store/open.ts';
import { openDesk } from '../bed/command-desk.ts';
import { privateFolder } from '../bed/process.ts';
import { smallDisk } from '../bed/small-disk.ts';

const folder = privateFolder();
const desk = openDesk();
const ROOT = process.getuid?.() === 0;

before(() => chmodSync(folder.path, 0o755));
after(() => {
  desk.close();
  folder.remove();
});

let homes = 0;
async function home(): Promise<Config> {
  const path = join(folder.path, `home-${++homes}`);
  const config = readConfig(homeOf({ HOME: path }, path), {});
  await ensureKey(config);
  await (await openInstance({ config })).close();
  return config;
}

const failureOf = async (work: () => unknown): Promise<PosternError> => {
  try {
    await work();
  } catch (error) {
    return asError(error);
  }
  return assert.fail('nothing failed');
};

/** Replaces functions of node:fs, for everybody who has imported them, until the test ends. */
function failing(t: TestContext, code: string, about: (path: string) => boolean): void {
  const thrown = (path: unknown): NodeJS.ErrnoException =>
    Object.assign(new Error(`${code}: open '${String(path)}'`), { code, path: String(path) });
  const before = { openSync: fs.openSync, readFileSync: fs.readFileSync, open: fs.promises.open };
  const guarded =
    <A extends readonly unknown[], R>(own: (...args: A) => R) =>
    (...args: A): R => {
      if (about(String(args[0]))) throw thrown(args[0]);
      return own(...args);
    };
  fs.openSync = guarded(before.openSync);
  fs.readFileSync = guarded(before.readFileSync) as typeof fs.readFileSync;
  fs.promises.open = guarded(async (...args: Parameters<typeof before.open>) => before.open(...args));
  syncBuiltinESMExports();
  t.after(() => {
    fs.openSync = before.openSync;
    fs.readFileSync = before.readFileSync;
    fs.promises.open = before.open;
    syncBuiltinESMExports();
  });
}

const PLACES: readonly (readonly [string, string, (config: Config) => unknown])[] = [
  ['lock', '.serve', (config) => takeHomeLock(config)],
  ['store', '.db', (config) => openStore(config.database.reveal())],
  ['key', '/key', (config) => ensureKey(config)],
  ['mark', 'installation.json', (config) => openInstance({ config, log: nullLog })],
];

for (const code of ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE', 'ENFILE'])
  for (const [place, end, work] of PLACES)
    test(`P2: ${code} at the ${place} is trouble that passes, in words`, async (t) => {
      const config =
        place === 'key'
          ? readConfig(homeOf({ HOME: folder.path }, join(folder.path, `new-${code}`)), {})
          : await home();
      // What is written is whole under another name first.
      failing(t, code, (path) => path.replace(/\.new-[\w.-]+$/, '').endsWith(end));
      const error = await failureOf(() => work(config));
      assert.equal(exitCodeOf(error), 75, `${error.code}: ${error.message}`);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /unexpected|defect|chown/);
      assert.ok(error.hint.length > 20);
    });

const RESULTS = { FULL: 13, IOERR: 10, CORRUPT: 11, NOTADB: 26, READONLY: 8, CANTOPEN: 14, BUSY: 5 };
for (const [name, errcode] of Object.entries(RESULTS))
  for (const place of ['lock', 'store'] as const)
    test(`P2: SQLITE_${name} at the ${place} is no defect`, async (t) => {
      const config = await home();
      t.mock.method(DatabaseSync.prototype, 'exec', () => {
        throw Object.assign(new Error('of SQLite'), { errcode: errcode | (1 << 8), code: 'ERR_SQLITE_ERROR' });
      });
      if (name === 'BUSY' && place === 'store') return; // waits for a second first; store/failure.test.ts has it
      const work = place === 'lock' ? () => takeHomeLock(config) : () => openStore(config.database.reveal());
      const error = await failureOf(work);
      assert.notEqual(error.kind, 'bug', error.code);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /unexpected|defect/);
      const lasting = ['CORRUPT', 'NOTADB', 'CANTOPEN', ...(place === 'lock' ? ['BUSY'] : [])].includes(name);
      assert.equal(exitCodeOf(error), lasting ? 64 : 75, error.code);
    });

test('P2: a damaged database ends the start for good, and says how to restore which file', async () => {
  const { home: own } = await home();
  truncateSync(own.database, 20_000);
  for (const args of [['serve'], ['mailbox', 'list']]) {
    const { stderr } = await desk.postern(own.state, args, { accept: [64] });
    assert.match(stderr, new RegExp(`database file ${own.database} is damaged`));
    assert.match(stderr, new RegExp(`mv ${own.database} .*cp -p BACKUP/postern.db ${own.database}.*docs/backup.md`));
    assert.doesNotMatch(stderr, /defect|unexpected|at .*\.ts/);
  }
  const { stdout } = await desk.postern(own.state, ['check', '--installation'], { accept: [64] });
  assert.match(String(stdout), /who +whoever runs Postern/);
});

test('P2: a file system that became read-only: 75, and not a word of chown or of a lock that did not end', async (t) => {
  const disk = smallDisk(8 << 20, 1024);
  if (disk === undefined) return t.skip('mounting is not allowed here');
  t.after(() => disk.remove());
  const config = readConfig(homeOf({ HOME: disk.path }, disk.path), {});
  await ensureKey(config);
  await (await openInstance({ config })).close();
  assert.equal(spawnSync('mount', ['-o', 'remount,ro', disk.path]).status, 0);
  for (const args of [['serve'], ['check', '--installation'], ['mailbox', 'list'], ['init', '--no-mailbox']]) {
    const { stdout, stderr } = await desk.postern(disk.path, args, { accept: [75] });
    const said = `${String(stdout)}${stderr}`;
    assert.match(said, /mounted read-only/, args.join(' '));
    assert.match(said, /findmnt -T/);
    assert.doesNotMatch(said, /chown|cannot be created|unexpected|defect/);
  }
  for (const work of [() => takeHomeLock(config), () => openStore(config.database.reveal())])
    assert.equal(exitCodeOf(await failureOf(work)), 75);
});

test('P80: a full disk is full in every command, with one diagnosis, and nothing is said of a disk that is broken', async (t) => {
  const disk = smallDisk(3 << 20, 1024);
  if (disk === undefined) return t.skip('mounting is not allowed here');
  t.after(() => disk.remove());
  const config = readConfig(homeOf({ HOME: disk.path }, disk.path), {});
  await ensureKey(config);
  await (await openInstance({ config })).close();
  const rest = join(disk.path, 'rest');
  assert.throws(() => writeFileSync(rest, Buffer.alloc(4 << 20)), { code: 'ENOSPC' });
  const commands = [['serve'], ['mailbox', 'list'], ['password', 'add', '--mailbox', 'a@example.com', '--label', 'a']];
  for (const args of [...commands, ['check', '--installation'], ['init', '--no-mailbox']]) {
    const { stdout, stderr } = await desk.postern(disk.path, args, { accept: [75] });
    const said = `${String(stdout)}${stderr}`;
    assert.match(said, /the disk (?:of the database|or the quota) is full/, args.join(' '));
    assert.match(said, /make room .*df -h/);
    assert.doesNotMatch(said, /failed to read or write|check the disk|only \d+ MiB|unexpected|defect/);
    if (args[0] !== 'serve') assert.doesNotMatch(said, /then start Postern again/);
  }
  // What SQLite says of a write without room, where it does not look into why, is judged by the disk.
  const thrown = (errcode: number): Error => Object.assign(new Error('disk I/O error'), { errcode });
  assert.equal(storeFailure(thrown(778), config.home.database).code, 'store.full');
  fs.rmSync(rest);
  assert.match(storeFailure(thrown(778), config.home.database).message, /failed to read or write/);
  await desk.postern(disk.path, ['mailbox', 'list']);
});

test('P87: init in a folder that cannot be made on a read-only file system says so', async (t) => {
  const disk = smallDisk(1 << 20, 1024);
  if (disk === undefined) return t.skip('mounting is not allowed here');
  t.after(() => disk.remove());
  assert.equal(spawnSync('mount', ['-o', 'remount,ro', disk.path]).status, 0);
  const { stderr } = await desk.postern(join(disk.path, 'a', 'b'), ['init', '--no-mailbox'], { accept: [75] });
  assert.match(stderr, /cannot be written: its file system is mounted read-only/);
  assert.match(stderr, /findmnt -T/);
  assert.doesNotMatch(stderr, /defect|unexpected|POSTERN_HOME to one/);
});

test('P1: an empty or damaged key beside a database: restore it, and no advice to make a new one', async () => {
  const { home: own } = await home();
  const whole = readFileSync(own.key);
  for (const wrong of [Buffer.from(''), whole.subarray(0, 20), Buffer.from('x'.repeat(64)), Buffer.alloc(32, 7)]) {
    writeFileSync(own.key, wrong);
    for (const args of [['mailbox', 'list'], ['serve'], ['init', '--no-mailbox']]) {
      const { stderr } = await desk.postern(own.state, args, { accept: [64] });
      assert.ok(stderr.includes(own.key) && stderr.includes(own.database), stderr);
      assert.match(stderr, /sealed with another/);
      assert.match(stderr, new RegExp(`next: restore the key file from your backup to ${own.key}`));
      assert.doesNotMatch(stderr, /openssl|make one|postern init/);
    }
  }
  writeFileSync(own.key, whole);
  await desk.postern(own.state, ['mailbox', 'list']);
});

test('P2: the lock ends in order on a file system that has become read-only', async () => {
  const lock = takeHomeLock(await home())!;
  const own = fs.rmSync;
  fs.rmSync = () => {
    throw Object.assign(new Error('EROFS: read-only file system, rm'), { code: 'EROFS' });
  };
  syncBuiltinESMExports();
  try {
    await lock[Symbol.asyncDispose]();
  } finally {
    fs.rmSync = own;
    syncBuiltinESMExports();
  }
});

test('P2: a key file that could not be written to its end is not left behind', async () => {
  const path = join(folder.path, 'half');
  const config = readConfig(homeOf({ HOME: path }, path), {});
  const { createKeyFile } = await import('../../src/vault/key-source.ts');
  mkdirSync(path);
  const before = fs.promises.open;
  let opened = 0;
  fs.promises.open = async (...args: Parameters<typeof before>) => {
    const file = await before(...args);
    if (++opened === 1)
      file.sync = () => Promise.reject(Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }));
    return file;
  };
  syncBuiltinESMExports();
  try {
    const error = await failureOf(() => createKeyFile(config.home.key));
    assert.deepEqual([error.code, exitCodeOf(error)], ['base.disk-failed', 75]);
    assert.equal(fs.existsSync(config.home.key), false);
  } finally {
    fs.promises.open = before;
    syncBuiltinESMExports();
  }
});

const NOBODY = 65534;

test('P3: what root does in the installation of another user stays that user’s', { skip: !ROOT }, async () => {
  const path = join(folder.path, 'of-nobody');
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, NOBODY, NOBODY);
  await desk.postern(path, ['init', '--no-mailbox']);
  await desk.postern(path, ['mailbox', 'list']);
  const config = readConfig(homeOf({ HOME: path }, path), {});
  await takeHomeLock(config)![Symbol.asyncDispose]();
  const all = fs.readdirSync(path, { recursive: true, encoding: 'utf8' });
  assert.ok(all.includes('installation.json') && all.includes('postern.db') && all.includes('key'));
  const foreign = all.filter((name) => statSync(join(path, name)).uid !== NOBODY);
  assert.deepEqual(foreign, []);
});

test('P3: an installation.json that cannot be read or holds something else is told, and no database is made', async (t) => {
  const config = await home();
  const { state, database } = config.home;
  fs.rmSync(database);
  for (const text of ['', '{', '{}', 'null']) {
    writeFileSync(join(state, 'installation.json'), text);
    const error = await failureOf(() => openInstance({ config }));
    assert.ok(isError(error, 'server.database-mark'), error.code);
    assert.equal(fs.existsSync(database), false);
  }
  failing(t, 'EACCES', (path) => path.endsWith('installation.json'));
  const error = await failureOf(() => openInstance({ config }));
  assert.ok(isError(error, 'server.not-yours'), error.code);
  assert.equal(fs.existsSync(database), false);
});
