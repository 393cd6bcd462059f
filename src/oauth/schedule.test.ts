import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { newId } from '../store/id.ts';
import { isFromTheFuture, renewByDutyAt, renewOnUseAt, retryByDutyAt } from './schedule.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const now = Date.UTC(2026, 10, 21);

test('an hour’s token is renewed in its 42nd to 50th minute, ten thousand of them evenly spread', () => {
  const minutes = Array.from({ length: 10_000 }, () => {
    const at = renewByDutyAt(newId('grant'), { obtainedAt: now, expiresAt: now + HOUR });
    return (at - now) / MINUTE;
  });
  assert.ok(Math.min(...minutes) >= 42 && Math.max(...minutes) <= 49.2);
  const perMinute = Map.groupBy(minutes, Math.floor);
  for (let minute = 42; minute < 49; minute++) {
    const share = perMinute.get(minute)!.length / 10_000;
    assert.ok(share > 0.12 && share < 0.16, `minute ${minute}: ${share}`);
  }
});

test('the duty always comes before the one who asks, and both while the token is good', () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.integer({ min: 4000, max: 90 * DAY }),
      fc.integer({ min: 0, max: now }),
      (id, life, at) => {
        const lifetime = { obtainedAt: at, expiresAt: at + life };
        const duty = renewByDutyAt(id, lifetime);
        const use = renewOnUseAt(id, lifetime);
        assert.ok(duty > at && duty < at + life && use >= at + life / 2 - 1 && use < at + life);
        // Below twenty minutes of life the margins of both meet; an hour’s token leaves four minutes between them.
        if (life >= 40 * MINUTE) assert.ok(duty < use);
        assert.equal(renewByDutyAt(id, lifetime), duty);
      },
    ),
  );
});

test('a grant is kept alive however long its access tokens live', () => {
  const lifetime = { obtainedAt: now, expiresAt: now + 365 * DAY };
  assert.equal(renewByDutyAt('g', lifetime, { inactivityMs: 90 * DAY }), now + 30 * DAY);
  assert.equal(renewByDutyAt('g', lifetime, { endsAt: now + 10 * DAY }), now + 5 * DAY);
});

test('what passes is tried again within minutes, what is to be corrected within the hour, consent never', () => {
  for (const attempts of [0, 1, 5, 50]) {
    const passing = retryByDutyAt({ code: 'c', kind: 'later', retryAt: undefined }, attempts, now)! - now;
    const correcting = retryByDutyAt({ code: 'c', kind: 'misuse', retryAt: undefined }, attempts, now)! - now;
    assert.ok(passing >= 15_000 && passing <= 10 * MINUTE, String(passing));
    assert.ok(correcting >= 2.5 * MINUTE && correcting <= HOUR, String(correcting));
  }
  const retryAt = new Date(now + 45 * MINUTE);
  assert.equal(retryByDutyAt({ code: 'c', kind: 'later', retryAt }, 0, now), retryAt.getTime());
  const blocked = { code: 'oauth.admin-consent', kind: 'denied', retryAt: undefined } as const;
  assert.ok(retryByDutyAt(blocked, 9, now)! > now, 'an administrator may lift it');
  assert.equal(retryByDutyAt({ code: 'oauth.needs-consent', kind: 'denied', retryAt: undefined }, 0, now), undefined);
});

test('the clocks of several machines may differ by minutes', () => {
  assert.equal(isFromTheFuture({ obtainedAt: now + 4 * MINUTE }, now), false);
  assert.equal(isFromTheFuture({ obtainedAt: now + 6 * MINUTE }, now), true);
});
