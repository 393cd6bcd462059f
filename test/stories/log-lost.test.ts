/** A log or a standard output that takes nothing: mail goes on, and monitoring hears of it. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { freePorts, runProgram } from '../bed/process.ts';
import { type RunningServe, until } from '../bed/running-serve.ts';
import { PLAIN, ServeBed } from '../bed/serve-bed.ts';

let bed: ServeBed;
before(async () => {
  bed = await ServeBed.open();
});
after(async () => {
  await bed?.close();
});

async function servesOn(one: RunningServe, why: RegExp): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const { answer, wire } = await bed.alice(one.imap);
    assert.equal(answer, 'OK', JSON.stringify(one.over));
    wire?.destroy();
  }
  // A worker's is known with its next sign of life.
  await until(
    '/readyz warns',
    async () => {
      const { status, text } = await one.page('/readyz');
      return status === 200 && why.test((JSON.parse(text) as { warnings: string[] }).warnings.join());
    },
    10_000,
  );
  await until('it is counted', async () => (await one.metric('postern_log_lines_lost_total')) > 0, 5000);
  assert.equal(one.over, undefined);
}

for (const workers of [1, 2]) {
  test(`K22: standard error that takes nothing ends neither the gateway nor a worker: ${workers} of them`, async () => {
    const full = ['sh', '-c', 'exec "$@" 2>/dev/full', 'sh'];
    const one = await bed.start({ ...PLAIN, workers }, {}, full).ready();
    await servesOn(one, /the log cannot be written \(ENOSPC\)/);
    assert.deepEqual(await one.stop(), { code: 0, signal: null });
  });

  test(`K22: whoever read the log is gone, for ${workers} process(es)`, async () => {
    const one = await bed.start({ ...PLAIN, workers }).ready();
    one.child.stderr!.destroy();
    one.child.stdout!.destroy();
    await servesOn(one, /whoever read it is gone/);
    assert.deepEqual(await one.stop(), { code: 0, signal: null });
  });
}

test('K22: a reader that stops reading its pipe holds up no session', async () => {
  const pipe = join(bed.scratch.path, 'log');
  await runProgram('mkfifo', [pipe]);
  const wrapper = ['sh', '-c', `exec "$@" 2>${pipe}`, 'sh'];
  const starting = bed.start({ ...PLAIN, log: { level: 'debug' } }, {}, wrapper);
  const reader = openSync(pipe, 'r');
  try {
    const one = await starting.ready();
    // The pipe holds 64 KiB; each session writes some lines of the debug level.
    for (let round = 0; round < 150; round++) {
      const { answer, wire } = await bed.alice(one.imap);
      assert.equal(answer, 'OK');
      wire?.destroy();
    }
    assert.equal(await one.isReady(), true);
    assert.ok(readSync(reader, Buffer.alloc(1 << 20)) > 60_000, 'it was full');
    await one.stop();
  } finally {
    closeSync(reader);
  }
});

test('K22: a standard output that takes nothing does not end a gateway that was started with --json', async () => {
  const [imap, port] = await freePorts(2);
  const settings = { ...PLAIN, listeners: [{ ...PLAIN.listeners[0], port: imap }], console: { port } };
  const one = bed.start(settings, {}, ['sh', '-c', 'exec "$@" >/dev/full', 'sh']);
  one.imap = imap!;
  one.console = port!;
  await until(
    'it says so',
    () => one.log.includes('standard output cannot be written'),
    20_000,
    () => one.log,
  );
  assert.equal((await bed.alice(one.imap)).answer, 'OK');
  assert.equal(await one.isReady(), true);
  assert.deepEqual(await one.stop(), { code: 0, signal: null });
});
