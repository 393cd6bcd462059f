import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CredentialFacts, Grant, GrantState, RenewalFailure } from '../store/types.ts';
import { countdown, credentialOutlook } from './credential-ends.ts';
import { grantHealth, HEALTH_NAMES, type HealthFacts } from './health.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const now = Date.UTC(2026, 10, 21);

const active: GrantState = { type: 'active', since: now - HOUR, accessExpiresAt: now + HOUR / 2 };
const busy: RenewalFailure = {
  since: now,
  attempts: 1,
  code: 'oauth.provider-busy',
  kind: 'later',
  reason: 'r',
  hint: 'h',
};

function facts(change: Partial<Omit<Grant, 'tokens'>> = {}, more: Partial<HealthFacts> = {}): HealthFacts {
  return {
    grant: {
      id: 'grant_1',
      applicationId: 'app_1',
      flow: 'authorization-code',
      identity: 'alice@contoso.test',
      subject: undefined,
      scopes: [],
      state: active,
      generation: 1,
      createdAt: now - 100 * DAY,
      renewal: { consentedAt: now - 100 * DAY, renewedAt: now - HOUR },
      ...change,
    },
    application: { name: 'work', credentials: [] },
    inactivityMs: 90 * DAY,
    mailbox: 'alice@contoso.test',
    ...more,
  };
}

const renewal = (change: object) => ({ consentedAt: 0, renewedAt: now - HOUR, ...change });
const credential = (days: number | undefined, index = 0): CredentialFacts => ({
  id: `cred_${days}`,
  type: 'secret',
  addedAt: index,
  ...(days === undefined ? {} : { expiresAt: now + days * DAY }),
});
const withCredentials = (...days: (number | undefined)[]): HealthFacts =>
  facts({}, { application: { name: 'work', credentials: days.map((each, index) => credential(each, index)) } });

const rows: readonly (readonly [name: string, facts: HealthFacts, expected: string])[] = [
  ['all well', facts(), 'healthy'],
  ['never renewed by a duty yet', facts({ renewal: undefined, createdAt: now - HOUR }), 'healthy'],
  ['one try that passes', facts({ renewal: renewal({ failing: busy }) }), 'healthy'],
  ['tries that do not pass', facts({ renewal: renewal({ failing: { ...busy, attempts: 3 } }) }), 'renewal-failing'],
  [
    'one try that passes, with nothing left',
    facts({ state: { ...active, accessExpiresAt: now } as GrantState, renewal: renewal({ failing: busy }) }),
    'renewal-failing',
  ],
  ['a refused application', facts({ renewal: renewal({ failing: { ...busy, kind: 'misuse' } }) }), 'renewal-failing'],
  ['a secret with 31 days', withCredentials(31), 'healthy'],
  ['a secret with 29 days', withCredentials(29), 'credential-expiring'],
  ['a secret that is over', withCredentials(-1), 'credential-expired'],
  ['an old secret and a new one', withCredentials(-1, 300), 'healthy'],
  ['an old secret and a later one whose end nobody gave', withCredentials(2, undefined), 'healthy'],
  ['P51: a secret and an older one whose end nobody gave', withCredentials(undefined, 2), 'credential-expiring'],
  ['a secret that is over and an older one whose end nobody gave', withCredentials(undefined, -1), 'healthy'],
  [
    'a consent that ends tomorrow',
    facts({ renewal: renewal({ grantEndsAt: now + DAY, grantEndIsFixed: true }) }),
    'consent-ending',
  ],
  ['an end that moves with each renewal', facts({ renewal: renewal({ grantEndsAt: now + HOUR }) }), 'healthy'],
  [
    'no server for a day',
    facts({
      state: { ...active, accessExpiresAt: now - DAY } as GrantState,
      renewal: renewal({ renewedAt: now - DAY }),
    }),
    'not-renewed',
  ],
  [
    'no server for two months',
    facts({
      state: { ...active, accessExpiresAt: now - 61 * DAY } as GrantState,
      renewal: renewal({ renewedAt: now - 61 * DAY }),
    }),
    'inactive',
  ],
  [
    'no server for two months, but nothing to forget',
    facts(
      {
        flow: 'client-secret',
        state: { ...active, accessExpiresAt: now - 61 * DAY } as GrantState,
        renewal: renewal({ renewedAt: now - 61 * DAY }),
      },
      { inactivityMs: undefined },
    ),
    'not-renewed',
  ],
  [
    'revoked at the provider',
    facts({ state: { type: 'needs-consent', since: 1, code: 'c', reason: 'r' } }),
    'needs-consent',
  ],
  ['never finished', facts({ state: { type: 'pending', since: 1 } }), 'needs-consent'],
  ['suspended', facts({ state: { type: 'suspended', since: 1, reason: 'left' } }), 'suspended'],
];

for (const [name, given, expected] of rows) {
  test(`${name}: ${expected}`, () => {
    const health = grantHealth(given, now);
    assert.equal(health.type === 'at-risk' ? health.cause : health.type, expected);
    if (health.type !== 'healthy') assert.match(health.remedy, /\w/);
  });
}

test('of several risks the one that stops mail first is told', () => {
  const both = withCredentials(20);
  const failing = { ...busy, kind: 'misuse', reason: 'the application is disabled' };
  const health = grantHealth({ ...both, grant: { ...both.grant, renewal: renewal({ failing }) } }, now);
  assert.ok(health.type === 'at-risk' && health.cause === 'renewal-failing' && health.at === now + HOUR / 2);
});

test('a consent that is needed names the mailbox in its remedy', () => {
  const health = grantHealth(facts({ state: { type: 'needs-consent', since: 1, code: 'c', reason: 'r' } }), now);
  assert.ok(health.type === 'needs-consent' && /reconsent alice@contoso\.test/.test(health.remedy));
});

test('whatever is stored, there is an answer', () => {
  const time = fc.integer({ min: 0, max: 2 * now });
  const end = fc.option(time, { nil: undefined });
  fc.assert(
    fc.property(
      time,
      time,
      end,
      fc.boolean(),
      fc.array(end, { maxLength: 3 }),
      time,
      (access, renewed, ends, fixed, list, at) => {
        const credentials = list.map((expiresAt, n) => ({
          ...credential(undefined),
          id: `${n}`,
          ...(expiresAt === undefined ? {} : { expiresAt }),
        }));
        const given = facts(
          {
            state: { type: 'active', since: 0, accessExpiresAt: access },
            renewal: {
              consentedAt: 0,
              renewedAt: renewed,
              grantEndIsFixed: fixed,
              ...(ends === undefined ? {} : { grantEndsAt: ends }),
            },
          },
          { application: { name: 'work', credentials } },
        );
        const health = grantHealth(given, at);
        assert.ok(HEALTH_NAMES.includes(health.type));
        if (health.type === 'at-risk') assert.ok(health.reason.length > 10);
        const outlook = credentialOutlook(credentials);
        if (outlook.type === 'known' && outlook.undated === 'none' && outlook.last.expiresAt < at)
          assert.notEqual(health.type, 'healthy');
      },
    ),
  );
});

test('P51: a known end is told although the end of another secret is unknown', () => {
  const now = Date.UTC(2026, 10, 30, 22);
  const secret = (id: string, expiresAt?: number) => ({
    id,
    type: 'secret' as const,
    addedAt: 0,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  });
  const end = Date.UTC(2026, 11, 2, 21);
  const credentials = [secret('a', end), secret('b')];
  assert.deepEqual(credentialOutlook(credentials), { type: 'known', last: credentials[0], undated: 'other' });
  const given = facts({}, { application: { name: 'web', credentials } });
  const health = grantHealth(given, now);
  assert.ok(health.type === 'at-risk' && health.cause === 'credential-expiring', JSON.stringify(health));
  assert.match(health.reason, /web ends on 2026-12-02, in 2 days; when its others end only the provider knows/);
  assert.deepEqual(credentialOutlook([secret('b')]), { type: 'unknown' });
  assert.deepEqual(credentialOutlook([secret('a', end), { id: 'm', type: 'managed-identity', addedAt: 0 }]), {
    type: 'endless',
  });
  // By the calendar, since a date stands beside it.
  assert.deepEqual(
    [-DAY, 3_600_000, DAY, 2 * DAY].map((ms) => countdown(now + ms, now)),
    ['over', 'today', 'in 1 day', 'in 2 days'],
  );
});
