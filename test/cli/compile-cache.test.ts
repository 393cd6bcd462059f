/** Compiled code is kept between starts, in a folder that is nobody else's. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { test, type TestContext } from 'node:test';

const main = resolve(import.meta.dirname, '../../src/cli/main.ts');

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-compiled-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function run(env: Record<string, string>): void {
  const { NODE_COMPILE_CACHE: _, ...rest } = process.env;
  const done = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, '--version'], {
    env: { ...rest, ...env },
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(done.status, 0, done.stderr);
  assert.equal(done.stderr, '');
}

test('in the cache folder of the person, or of the service', (t) => {
  const folder = scratch(t);
  run({ XDG_CACHE_HOME: join(folder, 'person') });
  assert.ok(readdirSync(join(folder, 'person/postern/compiled')).length > 0);
  mkdirSync(join(folder, 'service'), { mode: 0o700 });
  run({ CACHE_DIRECTORY: join(folder, 'service'), XDG_CACHE_HOME: join(folder, 'other') });
  assert.ok(readdirSync(join(folder, 'service/compiled')).length > 0);
  assert.ok(!existsSync(join(folder, 'other')));
});

test('not where others can write, and nobody minds a folder that cannot be', (t) => {
  const folder = scratch(t);
  mkdirSync(join(folder, 'postern'));
  chmodSync(join(folder, 'postern'), 0o777);
  run({ XDG_CACHE_HOME: folder });
  assert.deepEqual(readdirSync(join(folder, 'postern')), []);
  run({ XDG_CACHE_HOME: '/proc/nowhere' });
  const nowhere = join(folder, 'nonexistent');
  run({ XDG_CACHE_HOME: '', HOME: nowhere });
  assert.ok(!existsSync(nowhere));
});
