/** What is removed at the next start, and what is left. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nameBeside } from '../base/replace-file.ts';
import { leftoversIn, leftoversOf, sweep } from './leftovers.ts';

test('A102: a file with a name that only resembles ours is left, and told; ours and those of earlier versions go', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-left-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const kept =
    'key.new-2026 key.new-20261201 key.new-202612011530 key.new-2026-12 key.new-cafe key.empty-2026-12'.split(' ');
  const ours = [
    'key.new-999999-0a1b2c7ee11a567032',
    'key.new-999999-7ee11a567032',
    'key.new-7ee11a567032',
    'key.once-999999',
    'key.once-999999.new-999999',
    'key.empty-999999',
  ];
  for (const name of [...kept, ...ours]) {
    writeFileSync(join(folder, name), 'x');
    utimesSync(join(folder, name), 0, 0);
  }
  assert.equal(leftoversOf(join(folder, 'key')).length, kept.length + ours.length);
  assert.equal(sweep(leftoversIn(folder), Date.now()).length, ours.length);
  assert.deepEqual(readdirSync(folder).toSorted(), kept.toSorted());
  for (const why of ['new', 'empty'] as const) {
    const fresh = nameBeside(join(folder, 'key'), why);
    writeFileSync(fresh, 'x');
    utimesSync(fresh, 0, 0);
    assert.deepEqual(sweep(leftoversIn(folder), Date.now()), [fresh]);
  }
});
