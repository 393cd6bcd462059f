import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../base/secret.ts';
import type { TokenAnswer } from './engine.ts';
import { oauthError } from './errors.ts';
import { grantHealth } from './health.ts';
import { afterConsent, afterFailure, afterRenewal } from './renewal-record.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const start = Date.UTC(2026, 10, 21);

const answer = (now: number, refreshExpiresAt?: number, rotated = true): TokenAnswer => ({
  accessToken: new Secret('access'),
  refreshToken: rotated ? new Secret('refresh') : undefined,
  idToken: undefined,
  expiresAt: now + HOUR,
  scopes: [],
  ...(refreshExpiresAt === undefined ? {} : { refreshExpiresAt }),
});

/** A grant through its renewals, each hour; `end` says what the provider announces at a moment. */
function live(end: (now: number) => number | undefined, hours: number, rotated = true) {
  let grant = {
    id: 'grant_1',
    createdAt: start,
    ...afterConsent('grant_1', answer(start, end(start)), 90 * DAY, start),
  };
  for (let hour = 1; hour <= hours; hour++) {
    const now = start + hour * HOUR;
    grant = { ...grant, ...afterRenewal(grant, answer(now, end(now), rotated), 90 * DAY, now) };
  }
  return grant;
}

function causeAt(grant: ReturnType<typeof live>, now: number): string {
  const health = grantHealth(
    {
      grant: {
        ...grant,
        applicationId: 'app_1',
        flow: 'authorization-code',
        identity: 'alice@contoso.test',
        subject: undefined,
        scopes: [],
        state: { type: 'active', since: now, accessExpiresAt: now + HOUR },
        generation: 1,
      },
      application: undefined,
      inactivityMs: 90 * DAY,
      mailbox: undefined,
    },
    now,
  );
  return health.type === 'at-risk' ? health.cause : health.type;
}

test('a grant that ends in seven days whatever we do (Google’s “Testing”) is announced three days before', () => {
  const end = start + 7 * DAY;
  assert.equal(
    causeAt(
      live(() => end, 24),
      start + DAY,
    ),
    'healthy',
  );
  const late = live(() => end, 4 * 24 + 2);
  assert.equal(late.renewal?.grantEndIsFixed, true);
  assert.equal(causeAt(late, start + 4 * DAY + 2 * HOUR), 'consent-ending');
});

test('an end that moves with every renewal is a reason to renew, not to worry', () => {
  // Half an hour, sliding, as Keycloak's sessions: the grant would not outlive its own access token.
  const grant = live((now) => now + HOUR / 2, 3);
  assert.equal(grant.renewal?.grantEndIsFixed, undefined);
  assert.equal(grant.renewAt, start + 3 * HOUR + HOUR / 4);
  assert.equal(causeAt(grant, start + 3 * HOUR), 'healthy');
});

test('silence about a token that was replaced ends what was known, silence about one that stays does not', () => {
  const end = start + 7 * DAY;
  const spoken = (now: number): number | undefined => (now === start ? end : undefined);
  assert.equal(live(spoken, 2).renewal?.grantEndsAt, undefined);
  assert.deepEqual(
    [live(spoken, 2, false).renewal?.grantEndsAt, live(spoken, 2, false).renewal?.grantEndIsFixed],
    [end, true],
  );
});

test('failures are counted from the first, and forgotten with the next token', () => {
  let grant = live(() => undefined, 1);
  const down = oauthError('oauth.provider-unreachable', 'connection refused');
  for (let n = 0; n < 3; n++) grant = { ...grant, ...afterFailure(grant, down, 'temporarily_unavailable', start + n) };
  assert.deepEqual(grant.renewal?.failing, {
    since: start,
    attempts: 3,
    code: 'oauth.provider-unreachable',
    kind: 'later',
    reason: 'connection refused',
    hint: down.hint,
    providerCode: 'temporarily_unavailable',
  });
  assert.equal(grant.renewal?.renewedAt, start + HOUR);
  const again = afterRenewal(grant, answer(start + 2 * HOUR), 90 * DAY, start + 2 * HOUR);
  assert.equal(again.renewal?.failing, undefined);
  assert.equal(again.renewal?.consentedAt, start);
});
