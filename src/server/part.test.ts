import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { type Log, nullLog } from '../base/log.ts';
import { endedBy, type Part, startParts } from './part.ts';

type Role = 'one' | 'other';

/** Parts that write down what happens to them. */
function scene() {
  const story: string[] = [];
  const part = (name: string, more: Partial<Part<undefined, Role>> = {}): Part<undefined, Role> => ({
    name,
    in: ['one', 'other'],
    start() {
      story.push(`+${name}`);
      return endedBy(() => void story.push(`-${name}`));
    },
    ...more,
  });
  return { story, part };
}

test('parts of a role start in order and end in reverse', async () => {
  const { story, part } = scene();
  const parts = [part('a'), part('b', { in: ['other'] }), part('c'), part('d', { start: () => undefined })];
  const running = await startParts(parts, 'one', undefined, { log: nullLog });
  assert.deepEqual(story, ['+a', '+c']);
  await Promise.all([running.stop(), running.stop()]);
  assert.deepEqual(story, ['+a', '+c', '-c', '-a']);
});

test('L18: when one part cannot start, those before it are ended in reverse, and its failure is told', async () => {
  const { story, part } = scene();
  const parts = [
    part('a'),
    part('b'),
    part('c', { start: () => Promise.reject(new Error('the port is taken')) }),
    part('d'),
  ];
  await assert.rejects(startParts(parts, 'one', undefined, { log: nullLog }), /the port is taken/);
  assert.deepEqual(story, ['+a', '+b', '-b', '-a']);
});

test('W10: told to stop while it starts, what has started is ended in reverse, also when that was the last part', async () => {
  for (const last of [false, true]) {
    const { story, part } = scene();
    const asked = new AbortController();
    const parts = [
      part('a'),
      part('b', {
        start() {
          story.push('+b');
          asked.abort(new Error('not wanted any more'));
          return endedBy(() => void story.push('-b'));
        },
      }),
      ...(last ? [] : [part('c')]),
    ];
    const { signal } = asked;
    await assert.rejects(startParts(parts, 'one', undefined, { log: nullLog, signal }), /not wanted any more/);
    assert.deepEqual(story, ['+a', '+b', '-b', '-a']);
  }
});

test('W3: a part that does not end holds nobody up for longer than its time, and what fails is logged', async () => {
  const { story, part } = scene();
  const said: string[] = [];
  const log: Log = { ...nullLog, error: (_, text) => void said.push(text) };
  const clock = new ManualClock();
  const never = endedBy(() => new Promise<void>(() => undefined));
  const broken = endedBy(() => Promise.reject(new Error('broken')));
  const parts = [
    part('a'),
    part('stuck', { start: () => never, stopMs: () => 5000 }),
    part('bad', { start: () => broken }),
  ];
  const running = await startParts(parts, 'one', undefined, { log, clock });
  const stopped = running.stop();
  for (let turn = 0; turn < 10; turn++) await clock.advance(0);
  assert.deepEqual(said, ['bad did not end in order']);
  await clock.advance(5000);
  await stopped;
  assert.deepEqual(story, ['+a', '-a']);
  assert.deepEqual(said, ['bad did not end in order', 'stuck did not end in order']);
});
