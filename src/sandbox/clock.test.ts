import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { SandboxClock } from './clock.ts';

const DAY = 86_400_000;

test('what falls due while time passes happens in order, each at its own moment', async () => {
  const below = new ManualClock(0);
  const clock = new SandboxClock(below);
  const log: string[] = [];
  clock.after(3000, () => log.push(`third at ${clock.now()}`));
  clock.after(1000, () => {
    log.push(`first at ${clock.now()}`);
    clock.after(1000, () => log.push(`second at ${clock.now()}`));
  });
  clock.after(9000, () => log.push('never')).cancel();
  clock.after(10_001, () => log.push('later'));
  await clock.advance(10_000);
  assert.deepEqual(log, ['first at 1000', 'second at 2000', 'third at 3000']);
  assert.equal(clock.now(), 10_000);
  assert.equal(clock.ahead, 10_000);
  await below.advance(1);
  assert.deepEqual(log.slice(3), ['later']);
});

test('it runs like the clock below, also beyond what timers of the runtime can hold', async () => {
  const below = new ManualClock(0);
  const clock = new SandboxClock(below);
  let fired = 0;
  clock.after(60 * DAY, () => fired++);
  await below.advance(59 * DAY);
  assert.equal(fired, 0);
  await below.advance(DAY);
  assert.equal(fired, 1);
  const stop = new AbortController();
  const sleeping = clock.sleep(DAY, stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(sleeping, /enough/);
  const slept = clock.sleep(DAY);
  await clock.advance(DAY);
  await slept;
});

test('jumping skips the way: what is due happens at the end, a repeating duty once', async () => {
  const clock = new SandboxClock(new ManualClock(0));
  const log: string[] = [];
  const tick = (): void => {
    log.push(`tick at ${clock.now()}`);
    clock.after(1000, tick);
  };
  clock.after(1000, tick);
  clock.after(5000, () => log.push(`once at ${clock.now()}`));
  await clock.advance(7500, { jump: true });
  assert.deepEqual(log, ['tick at 7500', 'once at 7500']);
  await clock.advance(2000);
  assert.deepEqual(log.slice(2), ['tick at 8500', 'tick at 9500']);
});

test('a callback that throws is heard of by whoever moved the time, and by nobody after', async () => {
  const clock = new SandboxClock(new ManualClock(0));
  clock.after(10, () => {
    throw new Error('broken');
  });
  await assert.rejects(clock.advance(20), /broken/);
  await clock.advance(20);
  assert.ok(clock.now() >= 30);
});

test('two that move it at once move it twice; it does not go back', async () => {
  const clock = new SandboxClock(new ManualClock(0));
  await Promise.all([clock.advance(5), clock.advance(7)]);
  assert.equal(clock.now(), 12);
  assert.throws(() => clock.advance(-1), { code: 'sandbox.time' });
  assert.throws(() => clock.advance(Number.NaN), { code: 'sandbox.time' });
});
