/** A start on a full disk, with the log that a kill -9 left: it ends for its supervisor with plain words, and starts once there is room. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startSandbox } from '../../src/sandbox/index.ts';
import { ALICE } from '../bed/mail-site.ts';
import { RunningServe, signIn } from '../bed/running-serve.ts';
import { sandboxHome } from '../bed/sandbox-home.ts';
import { diskFor } from '../bed/small-disk.ts';

const MIB = 1 << 20;

test('L10, L22: start on a full disk: exit 75 with what to do; not ready with no room; ready again after room is made', async (t) => {
  const disk = diskFor(t, import.meta.filename, 24 * MIB, MIB);
  if (disk === undefined) return;
  const sandbox = await startSandbox();
  const made = await sandboxHome(sandbox);
  const path = join(disk.path, 'home');
  const config = join(made.path, 'small.yaml');
  writeFileSync(
    config,
    JSON.stringify({ listeners: [{ protocol: 'imap', tls: 'none', port: 0 }], console: { port: 0 }, workers: 2 }),
  );
  const fill = (): void => {
    const { bavail, bsize } = statfsSync(disk.path);
    try {
      writeFileSync(join(disk.path, 'rest'), Buffer.alloc(bavail * bsize));
    } catch (error) {
      // The server took some of it meanwhile: full all the same.
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
  };
  const running: RunningServe[] = [];
  const start = (): RunningServe => {
    const one = new RunningServe(path, config);
    running.push(one);
    return one;
  };
  try {
    cpSync(made.path, path, { recursive: true });
    const first = await start().ready();
    assert.equal((await signIn(first.imap, ALICE, made.password)).answer, 'OK');
    fill();
    const { status, text } = await first.page('/readyz');
    assert.equal(status, 503);
    assert.match(text, /disk of the database is full/);
    await first.kill();
    assert.ok(existsSync(join(path, 'postern.db-wal')), 'a log was left');

    const second = start();
    const ended = await second.within(120_000);
    assert.deepEqual(ended, { code: 75, signal: null }, second.log);
    assert.match(second.log, /full/);
    assert.match(second.log, /make room on the disk/);
    assert.doesNotMatch(second.log, /goes on by itself|defect/);

    disk.makeRoom();
    const third = await start().ready();
    assert.equal((await signIn(third.imap, ALICE, made.password)).answer, 'OK');
    assert.equal((await third.stop()).code, 0);
  } finally {
    for (const one of running) if (one.over === undefined) await one.kill();
    made.remove();
    await sandbox.close();
    disk.remove();
  }
});
