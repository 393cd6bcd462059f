import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../base/clock.ts';
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
