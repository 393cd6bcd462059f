import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GrantHealth } from '../../oauth/health.ts';
import type { Application, Grant, Mailbox } from '../../store/types.ts';
import type { Survey, SurveyedGrant } from '../../oauth/survey.ts';
import { isSuperseded, noticesOf } from './causes.ts';

const now = Date.UTC(2026, 10, 21);
const work: Application = {
  id: 'app_1',
  name: 'work',
  provider: 'microsoft',
  clientId: 'c',
  tenant: undefined,
  settings: {},
  credential: undefined,
  createdAt: 0,
};
const consent: GrantHealth = {
  type: 'needs-consent',
  since: 1,
  code: 'AADSTS50173',
  reason: 'revoked',
  remedy: 'sign in',
};
const policy: GrantHealth = {
  type: 'at-risk',
  cause: 'renewal-failing',
  code: 'oauth.admin-consent',
  reason: 'blocked by a policy',
  at: now,
  remedy: 'exclude it',
  passing: false,
};

function one(n: number, health: GrantHealth, mailboxes = 1): SurveyedGrant {
  const grant: Omit<Grant, 'tokens'> = {
    id: `grant_${n}`,
    applicationId: work.id,
    flow: 'authorization-code',
    identity: `${n}@contoso.test`,
    subject: undefined,
    scopes: [],
    state: { type: 'active', since: 0, accessExpiresAt: now },
    generation: 1,
    createdAt: 0,
  };
  const boxes = Array.from({ length: mailboxes }, (_, m): Mailbox => ({
    address: `${n}-${m}@contoso.test`,
    grantId: grant.id,
    access: 'own',
    protocols: ['imap'],
    settings: {},
    createdAt: 0,
  }));
  return { grant, application: work, authority: 'login.test', mailboxes: boxes, health };
}
const survey = (...grants: SurveyedGrant[]): Survey => ({
  applications: [work],
  grants: new Map(grants.map((each) => [each.grant.id, each])),
  mailboxes: grants.flatMap(({ mailboxes }) => mailboxes),
});
const many = (count: number, health: GrantHealth): SurveyedGrant[] =>
  Array.from({ length: count }, (_, n) => one(n, health));
const none = new Set<string>();

test('each mailbox that needs its owner is told of by itself, one that nobody has not at all', () => {
  const told = noticesOf(survey(one(1, consent), one(2, { type: 'healthy' }), one(3, consent, 0)), now, none);
  assert.deepEqual([...told.keys()], ['consent/grant_1']);
});

test('a revocation of everybody is one notice, and stays one until nobody is left', () => {
  const all = noticesOf(survey(...many(500, consent)), now, none);
  assert.deepEqual([...all.keys()], ['consent-many/app_1']);
  const body = all.get('consent-many/app_1')!;
  assert.deepEqual([body.mailboxCount, body.mailboxes.length], [500, 50]);
  assert.match(body.summary, /^500 mailboxes have to be signed in to again/);
  const open = new Set(all.keys());
  assert.deepEqual([...noticesOf(survey(...many(3, consent)), now, open).keys()], ['consent-many/app_1']);
  assert.deepEqual([...noticesOf(survey(one(1, { type: 'healthy' })), now, open).keys()], []);
});

test('notices about each give way quietly to the one about all, and do not come back', () => {
  const few = noticesOf(survey(...many(20, consent)), now, none);
  assert.equal(few.size, 20);
  const all = noticesOf(survey(...many(21, consent)), now, new Set(few.keys()));
  assert.equal(all.size, 1);
  for (const [cause, body] of few) assert.ok(isSuperseded(cause, body, all));
  assert.ok(![...few].some(([cause, body]) => isSuperseded(cause, body, new Map())));
});

test('what only an administrator can lift is told of the mailbox, not of the application', () => {
  const told = noticesOf(survey(one(1, policy)), now, none);
  assert.deepEqual([...told.keys()], ['blocked/grant_1']);
  assert.match(told.get('blocked/grant_1')!.summary, /an administrator has to let 1-0@contoso\.test in again/);
});
