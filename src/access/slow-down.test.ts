/** How long failures make others wait, and how often they are written down. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { openStore } from '../store/open.ts';
import { SlowDown } from './slow-down.ts';

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
};

async function bench(t: TestContext) {
  const clock = new ManualClock();
  const store = await openStore('sqlite::memory:', { clock });
  const slow = new SlowDown(clock, store.outbox, 'tests');
  const { swapEntry } = store.outbox;
  const writes: number[] = [];
  t.mock.method(store.outbox, 'swapEntry', (...args: Parameters<typeof swapEntry>) => {
    writes.push(clock.now());
    return swapEntry(...args);
  });
  t.after(async () => {
    slow.close();
    await store.close();
  });
  const waits = async (count: number, client: (n: number) => string, mailbox: (n: number) => string) => {
    const all: number[] = [];
    for (let n = 0; n < count; n++) all.push((await slow.failed(client(n), mailbox(n)))?.waitMs ?? 0);
    return all;
  };
  return { clock, slow, store, writes, waits };
}

test('five failures of an address are free, then each wait is twice the last, up to half a minute', async (t) => {
  const { waits } = await bench(t);
  assert.deepEqual(
    await waits(
      13,
      () => '192.0.2.1',
      (n) => `u${n}@x.test`,
    ),
    [0, 0, 0, 0, 0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000],
  );
});

test('twenty failures at a mailbox are free, then up to five seconds', async (t) => {
  const { waits } = await bench(t);
  const found = await waits(
    26,
    (n) => `192.0.2.${n}`,
    () => 'alice@x.test',
  );
  assert.deepEqual(found.slice(0, 20), Array(20).fill(0));
  assert.deepEqual(found.slice(20), [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
});

test('failures are forgotten one a minute, and all of an address that knows a right password', async (t) => {
  const { clock, slow, waits } = await bench(t);
  const one = (): string => '192.0.2.1';
  const each = (n: number): string => `u${clock.now()}.${n}@x.test`;
  await waits(7, one, each);
  await clock.advance(60_000);
  assert.deepEqual(await waits(1, one, each), [1_000], 'seven, less one, and this one');
  slow.succeeded('192.0.2.1');
  await turns();
  assert.deepEqual(await waits(5, one, each), [0, 0, 0, 0, 0]);
});

test('twenty writes a second: what is more is written in the next, again and again', async (t) => {
  const { clock, slow, writes } = await bench(t);
  const flood = async (round: number): Promise<void> => {
    for (let n = 0; n < 50; n++) await slow.failed(`10.0.${round}.${n}`, `u${round}.${n}@x.test`);
  };
  for (let round = 0; round < 3; round++) {
    const before = writes.length;
    const began = clock.now();
    await flood(round);
    const now = writes.slice(before);
    assert.ok(now.length <= 20, `${now.length} writes in second ${round}`);
    await clock.advance(1_000);
    await turns();
    assert.ok(writes.at(-1)! > began, `the rest of second ${round} is written without another failure`);
    await clock.advance(1_000);
  }
});
