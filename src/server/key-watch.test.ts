import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../test/bed/eventually.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { ensureKey, openInstance } from './instance.ts';
import { watchKey } from './key-watch.ts';

test('K72: a master key that is removed or replaced beneath a running server is told, and so is its return', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-key-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = readConfig(homeOf({ HOME: folder }, folder), {});
  await ensureKey(config);
  assert.equal(config.key.source, 'file');
  const path = config.key.source === 'file' ? config.key.path : '';
  const clock = new ManualClock();
  const instance = await openInstance({ config, clock });
  const watch = watchKey(instance);
  t.after(async () => {
    await watch[Symbol.asyncDispose]();
    await instance.close();
  });
  const told = (): string => watch.warnings().join();
  const looksUntil = (isSo: () => boolean): Promise<void> =>
    eventually(async () => {
      await clock.advance(30_000);
      return isSo();
    });
  await clock.advance(300_000);
  assert.equal(told(), '');

  renameSync(path, `${path}.away`);
  await looksUntil(() => /master key can no longer be read .*the next start will not/.test(told()));

  const kept = readFileSync(`${path}.away`);
  writeFileSync(path, `${Buffer.alloc(32, 7).toString('base64url')}\n`, { mode: 0o600 });
  await clock.advance(300_000);
  assert.match(told(), /can no longer be read/, 'another key is none');
  writeFileSync(path, kept);
  await looksUntil(() => told() === '');
});
