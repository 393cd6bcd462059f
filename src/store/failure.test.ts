/** What each engine does when something is wrong around it: files, disks, URLs, a server that goes away. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { sql } from 'kysely';
import { without } from '../../test/bed/need.ts';
import { startPostgres } from '../../test/bed/postgres.ts';
import { asError, isError } from '../base/error.ts';
import { systemClock } from '../base/clock.ts';
import { nullLog } from '../base/log.ts';
import { fileKey } from '../vault/key-source.ts';
import { storeFailure } from './failure.ts';
import { openStore } from './open.ts';
import { isAway } from './outlast.ts';
import { openPostgres } from './postgres.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-store-'));
const noPostgres = without('postgresql');

after(() => rmSync(folder, { recursive: true }));

test('SQLite keeps database, log and shared memory to the owner, even when the file was readable before', async () => {
  const path = join(folder, 'private.db');
  writeFileSync(path, '', { mode: 0o644 });
  const store = await openStore(`sqlite:${path}`);
  await store.settings.set('a', 'b');
  for (const suffix of ['', '-wal', '-shm']) assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix || 'db');
  await store.close();
});

test('SQLite says what is wrong with the file', async () => {
  const noise = join(folder, 'noise.db');
  writeFileSync(noise, 'this is no database '.repeat(100));
  await assert.rejects(openStore(`sqlite:${noise}`), (error) => isError(error, 'store.damaged'));
  await assert.rejects(openStore(`sqlite:${folder}`), (error) => isError(error, 'store.misconfigured'));
});

test('a full disk is told apart from other trouble, and passes', () => {
  // Mapping only: filling a disk needs one of our own, which needs root and a mount.
  const full = Object.assign(new Error('database or disk is full'), { errcode: 13, code: 'ERR_SQLITE_ERROR' });
  const failure = storeFailure(full);
  assert.deepEqual([failure.code, failure.kind], ['store.full', 'later']);
  assert.match(failure.hint, /df -h/);
});

test('no error shows the password of the URL', async () => {
  const secret = 'hunter2-is-long-enough';
  const urls = [
    `postgres://postern:${secret}@127.0.0.1:1/none`,
    `postgres://postern:${secret}@[bad/none`,
    `postgress://postern:${secret}@host/none`,
  ];
  for (const url of urls) {
    const error: unknown = await openStore(url).then(
      () => assert.fail('it opened'),
      (thrown: unknown) => thrown,
    );
    assert.ok(isError(error) && error.code.startsWith('store.'), inspect(error));
    assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes(secret), url);
  }
});

test(
  'PostgreSQL killed and back: unavailable meanwhile, watchers and queries recover by themselves',
  { skip: noPostgres, timeout: 30_000 },
  async () => {
    const own = await startPostgres();
    try {
      const store = await openStore(own.url);
      const other = await openStore(own.url);
      const changes = new EventTarget();
      const watch = store.watch('applications', () => changes.dispatchEvent(new Event('change')));
      await own.kill();
      await assert.rejects(store.ping(), (error) => isError(error, 'store.unavailable'));
      await own.start();
      const heard = new Promise((resolve) => changes.addEventListener('change', resolve, { once: true }));
      const row = {
        id: 'app_1',
        name: 'a',
        provider: 'x',
        clientId: 'c',
        tenant: undefined,
        settings: {},
        credential: undefined,
        createdAt: 1,
      };
      await other.applications.insert(row);
      await heard;
      assert.equal((await store.applications.find('app_1'))?.name, 'a');
      watch.stop();
      await store.close();
      await other.close();
    } finally {
      await own.stop();
    }
  },
);

test(
  'PostgreSQL killed within a transaction: the transaction fails, the process goes on',
  { skip: noPostgres, timeout: 30_000 },
  async () => {
    const own = await startPostgres();
    try {
      const { engine, close } = await openPostgres(own.url, systemClock, nullLog);
      const failed = engine.db.transaction().execute(async (trx) => {
        await sql`SELECT 1`.execute(trx);
        await own.kill();
        await sql`SELECT 1`.execute(trx);
      });
      await assert.rejects(failed, (error) => storeFailure(error).kind === 'later');
      await own.start();
      await sql`SELECT 1`.execute(engine.db);
      await close();
    } finally {
      await own.stop();
    }
  },
);

test('K37: what pg says without a code when a server stands still or its connection breaks is an outage, and no defect', () => {
  for (const text of [
    'timeout expired',
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'Query read timeout',
    'Client has encountered a connection error and is not queryable',
    'Client was closed and is not queryable',
    'Received unexpected commandComplete message from backend.',
    'There was an error establishing an SSL connection',
  ])
    assert.equal(storeFailure(new Error(text)).code, 'store.unavailable', text);
  assert.equal(storeFailure(new TypeError('x is not a function')).code, 'base.bug');
});

test('K41: a database that is closed for maintenance, renamed or refuses the user is away, and what is known waits for it', () => {
  const code = (sqlstate: string): string => storeFailure(Object.assign(new Error('x'), { code: sqlstate })).code;
  assert.deepEqual(
    ['55000', '58030', '58P01', '57P03'].map(code),
    Array.from({ length: 4 }, () => 'store.unavailable'),
  );
  for (const sqlstate of ['55000', '58030', '3D000', '28P01', '28000', '42501', '53100'])
    assert.ok(isAway(storeFailure(Object.assign(new Error('x'), { code: sqlstate }))), sqlstate);
  assert.ok(!isAway(storeFailure(Object.assign(new Error('x'), { code: '23505' }))));
});

/** prlimit(1), of util-linux. */
const LIMITED = 'prlimit';

/** Runs this with a limit of the process, and gives what it prints. */
function limited(limit: string, code: string): { code: string; message: string; hint: string } {
  const text = `import { openStore } from ${JSON.stringify(new URL('open.ts', import.meta.url).href)};
    import { openSync } from 'node:fs';
    try { ${code} } catch ({ code, message, hint }) { console.log(JSON.stringify({ code, message, hint })); process.exit(0); }`;
  const args = [limit, process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', text];
  return JSON.parse(execFileSync(LIMITED, args, { encoding: 'utf8' }));
}

test('K66: descriptors that have run out are told as that, and not as a wrong owner of the database', () => {
  const path = join(folder, 'emfile.db');
  const said = limited(
    '--nofile=80:80',
    `const store = await openStore('sqlite:${path}'); await store.close();
     try { for (;;) openSync('/', 'r'); } catch {}
     await openStore('sqlite:${path}');`,
  );
  assert.equal(said.code, 'base.too-many-files');
  assert.match(said.message, /too many files open/);
  assert.match(said.hint, /LimitNOFILE=/);
});

test('K66: a limit of the size of files is told as that, and not as a failing disk', () => {
  const path = join(folder, 'fsize.db');
  const said = limited(
    '--fsize=1500000',
    `const store = await openStore('sqlite:${path}');
     for (let n = 0; n < 200; n++) await store.settings.set('k' + n, 'x'.repeat(50_000));`,
  );
  assert.equal(said.code, 'store.full');
  assert.match(said.message, /may not grow: files of this process have a limit/);
  assert.match(said.hint, /LimitFSIZE=/);
  const own = asError(Object.assign(new Error('EFBIG'), { code: 'EFBIG', path: '/x' }));
  assert.match(own.message, /^\/x cannot be written: it has reached the size/);
});

test('K66: a folder in the place of a file is called one', async () => {
  await assert.rejects(
    openStore(`sqlite:${folder}`),
    (error) => isError(error) && error.message.endsWith('is a folder'),
  );
  const key = join(folder, 'key');
  mkdirSync(key, { mode: 0o755 });
  await assert.rejects(
    fileKey(key).key(undefined),
    (error) => isError(error, 'vault.locked') && error.message.endsWith('is a folder'),
  );
});
