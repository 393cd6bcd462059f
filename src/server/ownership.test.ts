import assert from 'node:assert/strict';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { accessRefused } from './ownership.ts';

test(
  'F6: a CA that the service may not read is to be made readable, and the command not run as somebody else',
  {
    skip: process.getuid?.() !== 0 && 'only root gives files away',
  },
  (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-owner-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'ca.pem');
    writeFileSync(path, '');
    chownSync(path, 1, 1);
    const cause = Object.assign(new Error('EACCES'), { code: 'EACCES', path });
    const { hint } = accessRefused(path, cause, ['init', 'alice@x.test', '--ca', path]);
    assert.ok(hint.includes(`sudo chmod o+r ${path}`), hint);
    assert.doesNotMatch(hint, /run it as/);
    assert.match(accessRefused(path, cause, ['check']).hint, /^run it as /);
  },
);
