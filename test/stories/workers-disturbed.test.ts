/** Workers that freeze or die while `serve` runs or ends: judged by exit codes, counters and what programs get. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { freePorts } from '../bed/process.ts';
import { until } from '../bed/running-serve.ts';
import { PLAIN, ServeBed } from '../bed/serve-bed.ts';

let bed: ServeBed;
before(async () => {
  bed = await ServeBed.open();
});
after(async () => {
  await bed?.close();
});

test('W4, W7: a frozen worker is told of, replaced, and loses no count; SIGTERM beside another frozen one ends in time', async () => {
  const one = await bed.start({ ...PLAIN, workers: 2 }).ready();
  const signedIn = await Promise.all(Array.from({ length: 8 }, () => bed.alice(one.imap)));
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
  const settings = { ...PLAIN, listeners: [{ ...PLAIN.listeners[0], port: imap }], console: { port }, workers: 2 };
  const one = await bed.start(settings).ready();
  const [frozen] = one.workers();
  process.kill(frozen!, 'SIGSTOP');
  await one.kill();
  const next = await bed.start(settings).ready();
  assert.throws(() => process.kill(frozen!, 0), { code: 'ESRCH' });
  assert.equal((await bed.alice(next.imap)).answer, 'OK');
  await next.stop();
});

test('W3: SIGTERM within a moment of a worker’s death ends in time', async () => {
  for (const wait of [0, 700]) {
    const one = await bed.start({ ...PLAIN, workers: 2 }).ready();
    process.kill(one.workers()[0]!, 'SIGKILL');
    if (wait > 0) await until('a new worker', () => one.workers().length === 2, 10_000);
    assert.deepEqual(await one.stop(15_000), { code: 0, signal: null }, one.log);
  }
});

test('W5, W11: a worker started later has the settings of the start, whatever the file holds; the log and SIGHUP say so', async () => {
  const path = bed.config({ ...PLAIN, workers: 2 });
  const one = await bed.start(path).ready();
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
  writeFileSync(
    path,
    JSON.stringify({ ...PLAIN, workers: 2, database: `sqlite:${join(bed.scratch.path, 'empty.db')}` }),
  );
  await replaceOne();
  assert.match(one.log, /have changed since the start and need a restart: database/);
  for (let tried = 0; tried < 6; tried++) assert.equal((await bed.alice(one.imap)).answer, 'OK');
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
