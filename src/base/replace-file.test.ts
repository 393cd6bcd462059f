import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { nameBeside, replaceFile, writeBeside } from './replace-file.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'postern-replace-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('Q1: names for temporary files are of one use and cannot be guessed', (t) => {
  const path = join(folder(t), 'ca.pem');
  const names = Array.from({ length: 100 }, () => nameBeside(path, 'new'));
  assert.equal(new Set(names).size, 100);
  for (const name of names) assert.match(name.slice(path.length), /^\.new-\d+-[0-9a-f]{18}$/);
});

test('Q1: two that write the same file in one process at the same time take nothing from each other', (t) => {
  const path = join(folder(t), 'server.key');
  const first = writeBeside(path, 'first', 0o600);
  replaceFile(path, 'second');
  assert.equal(readFileSync(path, 'utf8'), 'second');
  assert.equal(readFileSync(first, 'utf8'), 'first');
});

test('Q1: a link or file that somebody put under the earlier, predictable name is not written to', (t) => {
  const at = folder(t);
  const path = join(at, 'server.key');
  const victim = join(at, 'victim');
  writeFileSync(victim, 'as it was');
  symlinkSync(victim, `${path}.new-${process.pid}`);
  replaceFile(path, 'secret');
  assert.equal(readFileSync(victim, 'utf8'), 'as it was');
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('Q1: the mode is the one asked for, whatever the file before had; a failure leaves nothing behind', (t) => {
  const at = folder(t);
  const path = join(at, 'mark');
  writeFileSync(path, 'x', { mode: 0o666 });
  replaceFile(path, 'y');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  mkdirSync(join(at, 'place'));
  assert.throws(() => replaceFile(join(at, 'place'), 'z'), { code: 'EISDIR' });
  assert.deepEqual(readdirSync(at).toSorted(), ['mark', 'place']);
});
