import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { privateFolder } from './process.ts';
import { search, searchFolder } from './secret-sweep.ts';

const VALUE = 'kR7/+x~Qz=9 ü&token';
const secrets = new Map([['token', VALUE]]);

test('finds a secret in every form, wherever it stands', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }), (before, after) => {
      const around = (middle: Buffer): Buffer => Buffer.concat([before, middle, after]);
      const whole = around(Buffer.from(VALUE));
      const haystacks = [
        whole,
        Buffer.from(whole.toString('base64')),
        Buffer.from(whole.toString('base64url')),
        Buffer.from(whole.toString('hex')),
        around(Buffer.from(encodeURIComponent(VALUE))),
      ];
      for (const haystack of haystacks) assert.ok(search(haystack, secrets, 'x').length > 0);
    }),
  );
});

test('finds nothing where nothing is', () => {
  assert.deepEqual(search(Buffer.from('kR7/+x~Qz=9 ü&toke'), secrets, 'x'), []);
});

test('reads every file of a folder, hidden ones too', () => {
  const folder = privateFolder();
  try {
    mkdirSync(join(folder.path, '.deep', 'er'), { recursive: true });
    writeFileSync(join(folder.path, '.deep', 'er', '.hidden'), VALUE);
    writeFileSync(join(folder.path, 'plain.db-wal'), `junk${VALUE}`);
    const found = searchFolder(folder.path, secrets).map((leak) => leak.where.slice(folder.path.length));
    assert.deepEqual([...new Set(found)].toSorted(), ['/.deep/er/.hidden', '/plain.db-wal']);
  } finally {
    folder.remove();
  }
});
