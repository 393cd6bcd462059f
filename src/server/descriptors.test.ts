import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullLog } from '../base/log.ts';
import { descriptorProblem, type Descriptors, type Listeners, shareDescriptors } from './descriptors.ts';
import { HTTP_LIMITS } from './http-places.ts';

function scene() {
  const said: string[] = [];
  const log = { ...nullLog, warn: (_: object, text: string) => void said.push(text) };
  const share = (facts: Descriptors, more: Partial<Listeners> = {}) =>
    shareDescriptors({ gateway: true, console: true, devices: false, ...more }, log, facts);
  return { said, share };
}

test('W11: connections fit into the limit of open files, with a reserve, and it is said when that is few', () => {
  const { said, share } = scene();
  assert.equal(share({ limit: 65_536, open: 40 }).connections, 10_000);
  assert.deepEqual(share({ limit: undefined, open: undefined }).console, HTTP_LIMITS);
  assert.equal(share({ limit: 4096, open: 40 }).connections, 1078);
  assert.deepEqual(said, [], 'the default is a bound, no wish');
  assert.equal(share({ limit: 120, open: 40 }).connections, 14);
  assert.equal(share({ limit: 4096, open: 40 }, { maxConnections: 5000 }).connections, 1078);
  assert.deepEqual(said, [
    'the limit of open files is 120, so this process takes 14 connections instead of 10000',
    'the limit of open files is 4096, so this process takes 1078 connections instead of 5000',
  ]);
  assert.equal(share({ limit: 4096, open: 40 }, { maxConnections: 100 }).connections, 100);
});

test('K60: console, devices and mail sessions share one budget of descriptors, and together never take all of it', () => {
  const { share } = scene();
  for (const limit of [120, 256, 1024, 4096, 65_536])
    for (const devices of [false, true]) {
      const shares = share({ limit, open: 40 }, { devices });
      // A session has two sockets, half of one waits for reuse, and a quarter is being refused.
      const most = shares.connections * 2.75 + shares.console.connections + shares.console.reserve + shares.devices;
      assert.ok(most + 40 + 10 <= limit, `${limit}: ${most}`);
      assert.ok(shares.connections > 0 && shares.console.waitingPerAddress > 0 && shares.console.reserve > 0);
      assert.equal(shares.devices > 0, devices);
    }
  const primary = share({ limit: 256, open: 40 }, { gateway: false });
  assert.equal(primary.console.connections + primary.console.reserve, 36);
});

test('K60: hardly any descriptors left is said in words, also when none is left to count them with', () => {
  assert.equal(descriptorProblem(1024, 100), undefined);
  assert.match(descriptorProblem(1024, 1020)!, /1020 of 1024 are in use/);
});
