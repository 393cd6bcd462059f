/** Waiting at the provider's limit of sessions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../test/bed/kept-session.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Crowd } from './crowd.ts';

const ADDRESS = 'alice@contoso.test';
const FULL = new Error('full');

function scene() {
  const clock = new ManualClock();
  const crowd = new Crowd(clock);
  const stop = new AbortController();
  let free = 0;
  let tries = 0;
  const wait = (): Promise<string> =>
    crowd.retry(
      ADDRESS,
      FULL,
      (error) => error === FULL,
      () => {
        tries += 1;
        if (free === 0) return Promise.reject(FULL);
        free -= 1;
        return Promise.resolve('in');
      },
      stop.signal,
    );
  return {
    clock,
    crowd,
    stop,
    wait,
    leave: (counted = true) => {
      if (counted) free += 1;
      crowd.ended(ADDRESS);
    },
    get tries() {
      return tries;
    },
  };
}

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    await settle(3);
    await clock.advance(500);
  }
  await settle(3);
}

test('B13: whoever waits gets in when a session of the mailbox ends, in the order they came', async () => {
  const site = scene();
  const order: string[] = [];
  const first = site.wait().then((said) => void order.push(`first ${said}`));
  await settle(3);
  const second = site.wait().then((said) => void order.push(`second ${said}`));
  await pass(site.clock, 3_000);
  site.crowd.ended('bob@contoso.test');
  assert.equal(site.tries, 0);
  site.leave();
  await pass(site.clock, 1_000);
  assert.deepEqual(order, ['first in']);
  site.leave();
  await pass(site.clock, 1_000);
  await Promise.all([first, second]);
  assert.deepEqual(order, ['first in', 'second in']);
});

test('B13: after ten seconds, or when the place went to somebody else, the refusal is told', async () => {
  const site = scene();
  const refused = assert.rejects(site.wait(), FULL);
  await pass(site.clock, 4_000);
  site.leave(false);
  await pass(site.clock, 5_500);
  assert.equal(site.tries, 1);
  await pass(site.clock, 1_000);
  await refused;
});

test('B13: a program that hangs up waits no longer', async () => {
  const site = scene();
  const refused = assert.rejects(site.wait(), /gone/);
  await settle(3);
  site.stop.abort(new Error('gone'));
  await refused;
  site.leave();
  assert.equal(site.tries, 0);
});
