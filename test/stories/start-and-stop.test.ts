/** How the real `serve` starts, fails to start, is disturbed and ends: judged by exit codes, ports, pages and what programs get. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { Home } from '../bed/installation.ts';
import { ALICE } from '../bed/mail-site.ts';
import { postern } from '../bed/postern.ts';
import { freePorts, privateFolder } from '../bed/process.ts';
import { accepts, RunningServe, signIn, until } from '../bed/running-serve.ts';
import { sandboxHome } from '../bed/sandbox-home.ts';

let sandbox: Sandbox;
let home: Home;
const scratch = privateFolder();
const running = new Set<RunningServe>();

before(async () => {
  sandbox = await startSandbox();
  home = await sandboxHome(sandbox);
});
after(async () => {
  for (const one of running) if (one.over === undefined) await one.kill();
  home?.remove();
  await sandbox.close();
  scratch.remove();
});

let files = 0;
function config(settings: object): string {
  const path = join(scratch.path, `${(files += 1)}.yaml`);
  writeFileSync(path, JSON.stringify(settings));
  return path;
}

const plain = {
  listeners: [{ protocol: 'imap', tls: 'none', port: 0 }],
  console: { port: 0 },
  limits: { drainMs: 20_000 },
};

function start(
  settings: object | string = plain,
  env: Readonly<Record<string, string>> = {},
  wrapper: readonly string[] = [],
) {
  const path = typeof settings === 'string' ? settings : config(settings);
  const one = new RunningServe(home.path, path, [], env, wrapper);
  running.add(one);
  return one;
}

const alice = (port: number) => signIn(port, ALICE, home.password);

test('L18: a taken console port ends the start with the same code for one worker and two, and nothing is left listening', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const { port } = blocker.address() as { port: number };
  const [imap] = await freePorts(1);
  for (const workers of [1, 2]) {
    const one = start({ ...plain, listeners: [{ ...plain.listeners[0], port: imap }], console: { port }, workers });
    assert.deepEqual(await one.within(20_000), { code: 64, signal: null }, one.log);
    assert.match(one.log, /console port \d+ is taken/);
    assert.equal(await accepts(imap!), false);
  }
  blocker.close();
});

test('W9: the second of two that start at the same moment is refused, says why, and the first serves', async () => {
  const [imap, port] = await freePorts(2);
  const same = { ...plain, listeners: [{ ...plain.listeners[0], port: imap }], console: { port }, workers: 2 };
  const both = [start(same), start(same)];
  const loser = await Promise.race(both.map(async (one) => (await one.ended, one)));
  const winner = both.find((one) => one !== loser)!;
  assert.equal(loser.over!.code, 64);
  assert.match(loser.log, /another `postern serve`.* runs on .*postern\.db/);
  await winner.ready();
  const elsewhere = start(plain);
  assert.deepEqual(await elsewhere.within(20_000), { code: 64, signal: null });
  assert.match(elsewhere.log, /server\.already-running/);
  assert.equal(await winner.isReady(), true);
  await winner.kill();
  const next = await start(plain).ready();
  assert.deepEqual(await next.stop(), { code: 0, signal: null });
});

test('W4, W7: a frozen worker is told of, replaced, and loses no count; SIGTERM beside another frozen one ends in time', async () => {
  const one = await start({ ...plain, workers: 2 }).ready();
  const signedIn = await Promise.all(Array.from({ length: 8 }, () => alice(one.imap)));
  assert.ok(signedIn.every(({ answer }) => answer === 'OK'));
  assert.equal(await one.metric('postern_sign_ins_total'), 8);
  const [frozen] = one.workers();
  process.kill(frozen!, 'SIGSTOP');
  await until(
    'not ready',
    async () => !(await one.isReady()),
    12_000,
    () => one.log,
  );
  assert.equal(await one.metric('postern_sign_ins_total'), 8, 'while it does not answer');
  await until(
    'replaced',
    () => !one.workers().includes(frozen!) && one.workers().length === 2,
    15_000,
    () => one.log,
  );
  assert.match(one.log, /a worker does not answer; it is ended and replaced/);
  await until(
    'ready again',
    () => one.isReady(),
    20_000,
    () => one.log,
  );
  assert.equal(await one.metric('postern_sign_ins_total'), 8, 'after it died');
  for (const { wire } of signedIn) wire?.destroy();
  process.kill(one.workers()[0]!, 'SIGSTOP');
  const left = one.workers();
  assert.deepEqual(await one.stop(20_000), { code: 0, signal: null }, one.log);
  for (const pid of left) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('W4: a frozen worker whose primary was killed does not keep the ports from the next start', async () => {
  const [imap, port] = await freePorts(2);
  const settings = { ...plain, listeners: [{ ...plain.listeners[0], port: imap }], console: { port }, workers: 2 };
  const one = await start(settings).ready();
  const [frozen] = one.workers();
  process.kill(frozen!, 'SIGSTOP');
  await one.kill();
  const next = await start(settings).ready();
  assert.throws(() => process.kill(frozen!, 0), { code: 'ESRCH' });
  assert.equal((await alice(next.imap)).answer, 'OK');
  await next.stop();
});

test('W3: SIGTERM within a moment of a worker’s death ends in time', async () => {
  for (const wait of [0, 700]) {
    const one = await start({ ...plain, workers: 2 }).ready();
    process.kill(one.workers()[0]!, 'SIGKILL');
    if (wait > 0) await until('a new worker', () => one.workers().length === 2, 10_000);
    assert.deepEqual(await one.stop(15_000), { code: 0, signal: null }, one.log);
  }
});

test('W5, W11: a worker started later has the settings of the start, whatever the file holds; the log and SIGHUP say so', async () => {
  const path = config({ ...plain, workers: 2 });
  const one = await start(path).ready();
  const replaceOne = async (): Promise<void> => {
    const [victim] = one.workers();
    process.kill(victim!, 'SIGKILL');
    await until(
      'replaced',
      async () => !one.workers().includes(victim!) && (await one.isReady()),
      20_000,
      () => one.log,
    );
  };
  writeFileSync(path, 'listeners: [{ protocol: imap, tls');
  await replaceOne();
  assert.match(one.log, /the configuration has an error; the settings from the start stay in use: .*line 1/);
  writeFileSync(path, JSON.stringify({ ...plain, workers: 2, database: `sqlite:${join(scratch.path, 'empty.db')}` }));
  await replaceOne();
  assert.match(one.log, /have changed since the start and need a restart: database/);
  for (let tried = 0; tried < 6; tried++) assert.equal((await alice(one.imap)).answer, 'OK');
  one.signal('SIGHUP');
  await until(
    'SIGHUP answers',
    () => /reloaded: the certificate is the same/.test(one.log),
    5000,
    () => one.log,
  );
  assert.match(one.log, /"worker":\d+[^\n]*"msg":"signed in"/);
  await one.stop();
});

test('W10: on SIGTERM idle programs hear it at once, and the process is gone long before drainMs', async () => {
  for (const workers of [1, 2]) {
    const one = await start({ ...plain, workers }).ready();
    const sessions = await Promise.all(Array.from({ length: 4 }, () => alice(one.imap)));
    const began = performance.now();
    one.signal('SIGTERM');
    for (const { wire } of sessions) assert.match(await wire!.until(/^\* BYE .*\r\n/m, 5000), /\[UNAVAILABLE\]/);
    assert.deepEqual(await one.within(10_000), { code: 0, signal: null });
    assert.ok(performance.now() - began < 10_000);
  }
});

test('L22: the database deleted under a running server: it ends for its supervisor, and no command makes an empty one', async () => {
  const database = join(home.path, 'postern.db');
  for (const workers of [1, 2]) {
    const one = await start({ ...plain, workers }).ready();
    for (const end of ['', '-wal', '-shm']) renameSync(`${database}${end}`, `${database}${end}.kept`);
    await until('not ready', async () => one.over !== undefined || !(await one.isReady().catch(() => false)), 10_000);
    assert.deepEqual(await one.within(20_000), { code: 75, signal: null }, one.log);
    assert.match(one.log, /database file .* was deleted/);
    const listed = await postern(home.path, ['mailbox', 'list'], { accept: [64] });
    assert.match(listed.stderr, /the database .* is missing/);
    const again = start(plain);
    assert.equal((await again.within(20_000)).code, 64);
    for (const end of ['', '-wal', '-shm']) renameSync(`${database}${end}.kept`, `${database}${end}`);
  }
  const healed = await start(plain).ready();
  assert.equal((await alice(healed.imap)).answer, 'OK');
  await healed.stop();
});

test('W1, W2, W6: another name, half-written and emptied certificate files: programs always get a whole handshake', async () => {
  const cert = join(scratch.path, 'cert.pem');
  const key = join(scratch.path, 'key.pem');
  writeFileSync(cert, sandbox.serverCertificate.cert);
  writeFileSync(key, '');
  const settings = {
    ...plain,
    hostname: 'mail.example.com',
    console: { port: 0, tls: true },
    tls: { certificate: cert, key },
    workers: 2,
    listeners: [{ protocol: 'imap', tls: 'implicit', port: 0 }],
  };
  const one = start(settings);
  await until(
    'it waits',
    () => /the key file is empty.*waiting/.test(one.log),
    20_000,
    () => one.log,
  );
  writeFileSync(key, sandbox.serverCertificate.key);
  await one.ready();
  const { Wire } = await import('../bed/wire.ts');
  const greeted = async (): Promise<void> => {
    for (const port of [one.imap, one.console]) {
      const wire = await Wire.open({ host: 'localhost', port }, sandbox.caPem);
      if (port === one.imap) await wire.until(/^\* OK/);
      wire.destroy();
    }
  };
  await greeted();
  for (const broken of ['', sandbox.serverCertificate.cert.slice(0, 300)]) {
    writeFileSync(cert, broken);
    const said = one.log.length;
    one.signal('SIGHUP');
    await until(
      'it is refused',
      () => /certificate files cannot be used/.test(one.log.slice(said)),
      5000,
      () => one.log,
    );
    const [victim] = one.workers();
    process.kill(victim!, 'SIGKILL');
    await until('replaced', () => !one.workers().includes(victim!) && one.workers().length === 2, 15_000);
    await until(
      'greeted',
      () =>
        greeted().then(
          () => true,
          () => false,
        ),
      15_000,
    );
  }
  assert.deepEqual(await one.stop(), { code: 0, signal: null });
  const hopeless = start(settings);
  assert.equal((await hopeless.within(30_000)).code, 75, hopeless.log);

  // The local CA's own, after the machine got another name.
  for (const hostname of ['one.example.com', 'two.example.com']) {
    const named = await start(plain, { POSTERN_HOSTNAME: hostname }).ready();
    assert.equal((await named.stop()).code, 0);
  }
  rmSync(cert);
});

test('W11: with few file descriptors connections are refused in words, and /readyz still answers', async () => {
  const one = await start(plain, {}, ['prlimit', '--nofile=120:120']).ready();
  assert.match(one.log, /the limit of open files is 120, so this process takes \d+ connections/);
  const sessions = await Promise.all(Array.from({ length: 60 }, () => alice(one.imap)));
  const refused = sessions.filter(({ answer }) => answer !== 'OK');
  assert.ok(refused.length > 0);
  assert.match(one.log, /too many connections/);
  assert.equal((await one.page('/healthz')).status, 200);
  assert.ok([200, 503].includes((await one.page('/readyz')).status));
  for (const { wire } of sessions) wire?.destroy();
  await until('ready', () => one.isReady(), 10_000);
  await one.stop();
});
