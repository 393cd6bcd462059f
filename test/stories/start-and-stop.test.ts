/** How the real `serve` starts, fails to start and ends: judged by exit codes, ports, pages and what programs get. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { freePorts } from '../bed/process.ts';
import { accepts, until } from '../bed/running-serve.ts';
import { PLAIN, ServeBed } from '../bed/serve-bed.ts';

let bed: ServeBed;
before(async () => {
  bed = await ServeBed.open();
});
after(async () => {
  await bed?.close();
});

test('L18: a taken console port ends the start with the same code for one worker and two, and nothing is left listening', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const { port } = blocker.address() as { port: number };
  const [imap] = await freePorts(1);
  for (const workers of [1, 2]) {
    const one = bed.start({ ...PLAIN, listeners: [{ ...PLAIN.listeners[0], port: imap }], console: { port }, workers });
    assert.deepEqual(await one.within(20_000), { code: 64, signal: null }, one.log);
    assert.match(one.log, /console port \d+ is taken/);
    assert.equal(await accepts(imap!), false);
  }
  blocker.close();
});

test('W9: the second of two that start at the same moment is refused, says why, and the first serves', async () => {
  const [imap, port] = await freePorts(2);
  const same = { ...PLAIN, listeners: [{ ...PLAIN.listeners[0], port: imap }], console: { port }, workers: 2 };
  const both = [bed.start(same), bed.start(same)];
  const loser = await Promise.race(both.map(async (one) => (await one.ended, one)));
  const winner = both.find((one) => one !== loser)!;
  assert.equal(loser.over!.code, 64);
  assert.match(loser.log, /another `postern serve`.* runs on .*postern\.db/);
  await winner.ready();
  const elsewhere = bed.start(PLAIN);
  assert.deepEqual(await elsewhere.within(20_000), { code: 64, signal: null });
  assert.match(elsewhere.log, /server\.already-running/);
  assert.equal(await winner.isReady(), true);
  await winner.kill();
  const next = await bed.start(PLAIN).ready();
  assert.deepEqual(await next.stop(), { code: 0, signal: null });
});

test('W10: on SIGTERM idle programs hear it at once, and the process is gone long before drainMs', async () => {
  for (const workers of [1, 2]) {
    const one = await bed.start({ ...PLAIN, workers }).ready();
    const sessions = await Promise.all(Array.from({ length: 4 }, () => bed.alice(one.imap)));
    const began = performance.now();
    one.signal('SIGTERM');
    for (const { wire } of sessions) assert.match(await wire!.until(/^\* BYE .*\r\n/m, 5000), /\[UNAVAILABLE\]/);
    assert.deepEqual(await one.within(10_000), { code: 0, signal: null });
    assert.ok(performance.now() - began < 10_000);
  }
});

test('W11: with few file descriptors connections are refused in words, and /readyz still answers', async () => {
  const one = await bed.start(PLAIN, {}, ['prlimit', '--nofile=120:120']).ready();
  // Its log comes through a pipe of its own, so it may arrive after the answer of /readyz.
  await until('the log says so', () => /the limit of open files/.test(one.log), 5000);
  assert.match(one.log, /the limit of open files is 120, so this process takes \d+ connections/);
  const sessions = await Promise.all(Array.from({ length: 60 }, () => bed.alice(one.imap)));
  const refused = sessions.filter(({ answer }) => answer !== 'OK');
  assert.ok(refused.length > 0);
  assert.match(one.log, /too many connections/);
  assert.equal((await one.page('/healthz')).status, 200);
  assert.ok([200, 503].includes((await one.page('/readyz')).status));
  for (const { wire } of sessions) wire?.destroy();
  await until('ready', () => one.isReady(), 10_000);
  await one.stop();
});

test('K60: idle connections to the console and as many sessions as fit leave descriptors for mail, the API and /readyz', async () => {
  const one = await bed.start(PLAIN, {}, ['prlimit', '--nofile=256:256']).ready();
  const idle = await Promise.all(
    Array.from({ length: 240 }, async () => {
      const socket = connect(one.console, '127.0.0.1').on('error', () => undefined);
      await once(socket, 'connect');
      return socket;
    }),
  );
  const sessions = await Promise.all(Array.from({ length: 80 }, () => bed.alice(one.imap)));
  assert.ok(sessions.some(({ answer }) => answer === 'OK'));
  assert.ok(sessions.some(({ answer }) => answer !== 'OK'));
  for (const { answer } of sessions) assert.doesNotMatch(answer, /ECONN/, 'refused in words, not reset');
  assert.equal((await one.page('/healthz')).status, 200);
  assert.equal((await one.page('/readyz')).status, 200, one.log);
  assert.doesNotMatch(one.log, /hardly any file descriptors/);
  for (const socket of idle) socket.destroy();
  for (const { wire } of sessions) wire?.destroy();
  await one.stop();
});

test('W10: SIGTERM while it starts: what has started ends in order, exit 0, and nothing holds up the next start', async () => {
  const key = join(bed.scratch.path, 'empty.pem');
  const cert = join(bed.scratch.path, 'cert.pem');
  writeFileSync(key, '');
  writeFileSync(cert, bed.sandbox.serverCertificate.cert);
  const waits = bed.start({ ...PLAIN, tls: { certificate: cert, key } });
  await until(
    'it waits for the certificate',
    () => /the key file is empty.*waiting/.test(waits.log),
    20_000,
    () => waits.log,
  );
  waits.signal('SIGHUP');
  waits.signal('SIGTERM');
  assert.deepEqual(await waits.within(5000), { code: 0, signal: null }, waits.log);
  assert.match(waits.log, /stopped before it served/);

  const [imap, port] = await freePorts(2);
  const settings = { ...PLAIN, listeners: [{ ...PLAIN.listeners[0], port: imap }], console: { port }, workers: 2 };
  const forks = bed.start(settings);
  await until('workers start', () => forks.workers().length > 0, 20_000);
  const workers = forks.workers();
  forks.signal('SIGTERM');
  assert.deepEqual(await forks.within(10_000), { code: 0, signal: null }, forks.log);
  for (const pid of workers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  const next = await bed.start(settings).ready();
  assert.deepEqual(await next.stop(), { code: 0, signal: null });
});

/** Sends this process signals at the moment its own code begins to be loaded, whatever the machine has to do besides. */
const signalled = (...signals: readonly string[]): string =>
  `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  import cluster from 'node:cluster';
  registerHooks({ resolve(name, context, next) {
    if (name === './run.ts' && cluster.isPrimary) for (const one of ${JSON.stringify(signals)}) process.kill(process.pid, one);
    return next(name, context);
  } });`)}`;

test('D22: SIGTERM, SIGINT or SIGHUP while the code is being loaded: exit 0, or it serves and has read everything again', async () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const one = bed.start(PLAIN, { NODE_OPTIONS: `--import=${signalled('SIGHUP', signal)}` });
    assert.deepEqual(await one.within(20_000), { code: 0, signal: null }, one.log);
    assert.match(one.log, /stopped before it served/);
  }
  const other = await bed.start({ ...PLAIN, workers: 2 }, { NODE_OPTIONS: `--import=${signalled('SIGHUP')}` }).ready();
  await until('it says what it read', () => /reloaded: the certificate is the same/.test(other.log), 5000);
  assert.deepEqual(await other.stop(), { code: 0, signal: null });
});
