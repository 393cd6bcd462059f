import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { Silence } from './silence.ts';

test('K27: a silent server is taken for gone while two minutes still leave a new sign-in its 45 seconds', async () => {
  for (const later of [1000, 7000, 14_999]) {
    const clock = new ManualClock();
    let silentAt = 0;
    let octets = 0;
    const silence = new Silence(clock, {
      waiting: () => silentAt === 0,
      slow: () => false,
      octets: () => octets,
      silent: () => void (silentAt = clock.now()),
    });
    silence.begin();
    // The last octet may come at any moment between two looks.
    await clock.advance(later);
    octets += 1;
    const last = clock.now();
    for (let second = 0; second < 120; second++) await clock.advance(1000);
    assert.ok(silentAt - last >= 55_000 && silentAt - last <= 75_000, `${silentAt - last} ms`);
    silence.close();
  }
});

test('a server that says anything now and then is not gone, and a slow command has five minutes', async () => {
  const clock = new ManualClock();
  const asked = { waiting: true, slow: false, octets: 0 };
  const silent: number[] = [];
  const silence = new Silence(clock, {
    waiting: () => asked.waiting,
    slow: () => asked.slow,
    octets: () => asked.octets,
    silent: () => void silent.push(clock.now()),
  });
  silence.begin();
  for (let round = 0; round < 10; round++) {
    await clock.advance(50_000);
    asked.octets += 1;
  }
  assert.deepEqual(silent, []);
  // Answered: the next command is given all its time again.
  asked.waiting = false;
  await clock.advance(15_000);
  asked.waiting = true;
  silence.begin();
  const began = clock.now();
  await clock.advance(200_000);
  assert.deepEqual(silent, [began + 75_000]);
  asked.slow = true;
  silence.begin();
  const slow = clock.now();
  await clock.advance(400_000);
  assert.deepEqual(silent.slice(1), [slow + 300_000]);
  silence.begin();
  silence.close();
  await clock.advance(400_000);
  assert.equal(silent.length, 2);
});
