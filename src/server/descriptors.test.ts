import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullLog } from '../base/log.ts';
import { connectionsFor } from './descriptors.ts';

test('W11: connections fit into the limit of open files, with a reserve, and it is said when that is few', () => {
  const said: string[] = [];
  const log = { ...nullLog, warn: (_: object, text: string) => void said.push(text) };
  assert.equal(connectionsFor(undefined, log, { limit: 65_536, open: 40 }), 10_000);
  assert.equal(connectionsFor(undefined, log, { limit: undefined, open: undefined }), 10_000);
  assert.equal(connectionsFor(undefined, log, { limit: 4096, open: 40 }), 1606);
  assert.deepEqual(said, [], 'the default is a bound, no wish');
  assert.equal(connectionsFor(undefined, log, { limit: 120, open: 40 }), 16);
  assert.equal(connectionsFor(5000, log, { limit: 4096, open: 40 }), 1606);
  assert.deepEqual(said, [
    'the limit of open files is 120, so this process takes 16 connections instead of 10000',
    'the limit of open files is 4096, so this process takes 1606 connections instead of 5000',
  ]);
});
