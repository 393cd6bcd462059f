/** Outcomes that are slow to become durable, or do not: how much may be unknown after a crash. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOf, sent } from '../../../test/bed/delivery-bench.ts';
import { eventually } from '../../../test/bed/eventually.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import { Settler, type SettlerDeps, Unsettled } from './settle.ts';
import type { SentProbe } from './types.ts';

const settlement = (id: string) => ({ id, fence: 1, change: {}, events: [] });
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test('nothing more is sent once an outcome cannot be written down, and all of it is found out later', async (t) => {
  const probe: SentProbe = { look: () => Promise.resolve('found') };
  const { accept, bed, clock, tried, start } = await benchOf(t, sent, ['smtp'], undefined, probe);
  const changing = t.mock.method(bed.store.outbox, 'changeAll', () => Promise.reject(new Error('the disk is full')));
  const ids = await accept(260);
  const delivery = start();
  await delivery.idle();
  // Three connections, and a batch of fifty on each.
  assert.ok(tried.length <= 150, `${tried.length} of 260`);
  changing.mock.restore();
  for (let step = 0; step < 120; step++) {
    await turns();
    await clock.advance(1_000);
  }
  await delivery.idle();
  const states = await Promise.all(ids.map(async (id) => (await bed.outbox.find(id))!.state.type));
  assert.deepEqual(new Set(states), new Set(['sent']));
  assert.equal(tried.length, 260, 'none of them twice');
});

test('fifty attempts and no more are without a written outcome; the next waits for one of them', async () => {
  const unsettled = new Unsettled();
  const open: (() => void)[] = [];
  let begun = 0;
  const adding = (async () => {
    for (; begun < 60; begun++)
      await unsettled.add(Promise.resolve({ settled: new Promise<void>((resolve) => open.push(resolve)) }));
  })();
  await turns();
  assert.deepEqual([open.length, begun], [50, 49]);
  open[7]!();
  await turns();
  assert.deepEqual([open.length, begun], [51, 50]);
  await eventually(async () => {
    for (const resolve of open.splice(0)) resolve();
    await turns();
    return begun === 60;
  });
  for (const resolve of open) resolve();
  await adding;
  await unsettled.end();
  assert.equal(unsettled.failed, false);
});

test('the first failure to write down is told, and at once', async () => {
  const unsettled = new Unsettled();
  await unsettled.add(Promise.resolve({ settled: Promise.reject(new Error('first')) }));
  await turns();
  assert.equal(unsettled.failed, true);
  await unsettled.add(Promise.resolve({ settled: Promise.reject(new Error('second')) }));
  await assert.rejects(unsettled.end(), /first/);
  await assert.rejects(unsettled.add(Promise.reject(new Error('the attempt itself'))), /the attempt itself/);
});

test('what waits while a commit runs goes together in the next, each with its own result', async () => {
  const groups: string[][] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const table: SettlerDeps['table'] = {
    find: () => Promise.resolve(undefined),
    async changeAll(changes) {
      groups.push(changes.map(({ id }) => id));
      if (groups.length === 1) await promise;
      if (changes.some(({ id }) => id === 'bad')) throw new Error('the disk is full');
      return changes.map(({ id }) => (id === 'gone' ? undefined : ({ id } as never)));
    },
  };
  const giveUp = new AbortController().signal;
  const settler = new Settler({ table, owner: 'me', clock: new ManualClock(), log: nullLog, giveUp });
  const first = settler.settle(settlement('a'));
  await eventually(() => groups.length === 1);
  const more = ['b', 'gone', 'c'].map((id) => settler.settle(settlement(id)));
  resolve();
  assert.deepEqual(await Promise.all([first, ...more]), [{ id: 'a' }, { id: 'b' }, undefined, { id: 'c' }]);
  assert.deepEqual(groups, [['a'], ['b', 'gone', 'c']]);
  await assert.rejects(settler.settle(settlement('bad')), /disk is full/);
  assert.deepEqual(await settler.settle(settlement('d')), { id: 'd' }, 'a failed group ends nothing');
});
