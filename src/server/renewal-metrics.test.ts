import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { openCircuits } from '../oauth/circuit.ts';
import { oauthError } from '../oauth/errors.ts';
import type { Application } from '../store/types.ts';
import { openRenewalMeter } from './renewal-metrics.ts';
import type { SurveyedGrant } from '../oauth/survey.ts';

const DAY = 86_400_000;

test('grants by health, what is late, days left of credentials, circuits; nothing from a process that does not watch', async () => {
  const clock = new ManualClock();
  const circuits = openCircuits(clock);
  const registry = new Registry();
  const duty = { inFlight: 3 };
  const meter = openRenewalMeter(registry, { circuits, clock }, duty);
  const application: Application = {
    id: 'app_1',
    name: 'work',
    provider: 'microsoft',
    clientId: 'c',
    tenant: undefined,
    settings: {},
    credential: undefined,
    credentials: [
      { id: 'cred_1', type: 'secret', addedAt: 0, expiresAt: clock.now() + 12.5 * DAY },
      { id: 'cred_2', type: 'secret', addedAt: 0 },
    ],
    createdAt: 0,
  };
  const one = (id: string, health: SurveyedGrant['health'], lateMs: number): [string, SurveyedGrant] => [
    id,
    {
      grant: {
        id,
        applicationId: 'app_1',
        flow: 'authorization-code',
        identity: id,
        subject: undefined,
        scopes: [],
        state: { type: 'active', since: 0, accessExpiresAt: 0 },
        generation: 1,
        createdAt: 0,
        renewAt: clock.now() - lateMs,
      },
      application,
      authority: 'login.test',
      mailboxes: [],
      health,
    },
  ];
  const suspended = { type: 'suspended', since: 0, reason: 'r', remedy: 'm' } as const;
  const grants = new Map([
    one('a', { type: 'healthy' }, 5000),
    one('b', { type: 'healthy' }, -60_000),
    one('c', suspended, 0),
  ]);
  meter.surveyed({ applications: [application], grants, mailboxes: [] }, clock.now());
  for (let n = 0; n < 5; n++) circuits.enter('login.test').failed(oauthError('oauth.provider-unreachable', 'refused'));
  circuits.enter('other.test').answered();
  const text = await registry.metrics();
  for (const line of [
    'postern_grants{health="healthy"} 2',
    'postern_grants{health="suspended"} 1',
    'postern_grants{health="needs-consent"} 0',
    'postern_renewal_lag_seconds 5',
    'postern_credential_days_left{application="work",credential="cred_1",type="secret"} 12',
    'postern_renewals_in_flight 3',
    'postern_circuit_open{authority="login.test"} 1',
    'postern_circuit_open{authority="other.test"} 0',
  ]) {
    assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
  }
  assert.ok(!text.includes('cred_2'));
  meter.surveyed(undefined, clock.now());
  assert.doesNotMatch(await registry.metrics(), /postern_grants\{|credential_days_left\{/);
});
