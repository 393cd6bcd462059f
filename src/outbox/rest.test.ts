/** What rests, whose mail it keeps, and how it is said. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concerns, listRests, type Rest, restName, restText } from './rest.ts';

const START = Date.UTC(2026, 10, 21, 9, 30);
const MINUTE = 60_000;
const rest = (change: Partial<Rest>): Rest => ({
  scope: 'mailbox',
  about: 'alice@contoso.test',
  mailbox: 'alice@contoso.test',
  route: 'smtp',
  code: 'outbox.deferred',
  row: 'row',
  cause: 'the quota is used up',
  remedy: 'wait',
  reply: '451 later',
  since: START,
  lastAt: START,
  until: START + 5 * MINUTE,
  tries: 1,
  closed: false,
  againMs: MINUTE,
  ...change,
});

test('all that rests is listed by when it began', async () => {
  const [late, early] = [rest({ since: START + 1 }), rest({ about: 'bob@contoso.test' })];
  const asked: string[] = [];
  const entries = async (prefix: string) => {
    asked.push(prefix);
    return [late, early].map((one) => ({ name: restName(one), entry: JSON.stringify(one) }));
  };
  assert.deepEqual(await listRests({ entries }), [early, late]);
  assert.deepEqual(asked, ['rest/']);
  assert.equal(restName(late), 'rest/mailbox/alice@contoso.test');
});

test('a rest keeps mail of its mailbox, of its way out there, of its organisation, or of who met the server', () => {
  const alice = 'alice@contoso.test';
  const bob = 'bob@contoso.test';
  const cases: readonly (readonly [Partial<Rest>, boolean, boolean, boolean])[] = [
    [{}, true, false, false],
    [{ scope: 'route', about: `smtp ${alice}` }, true, false, false],
    [{ scope: 'tenant', about: 'app_1' }, true, true, false],
    [{ scope: 'endpoint', about: 'smtp mail.test:587' }, true, false, false],
  ];
  for (const [change, ofAlice, ofBob, ofStranger] of cases) {
    const one = rest(change);
    const found = [concerns(one, alice, 'app_1'), concerns(one, bob, 'app_1'), concerns(one, bob, 'app_2')];
    assert.deepEqual(found, [ofAlice, ofBob, ofStranger], one.scope);
  }
});

test('one line says what waits, since when, why, and what ends it', () => {
  assert.equal(
    restText(rest({ passesMs: 90 * MINUTE })),
    'mail of alice@contoso.test waits since 2026-11-21 09:30 UTC: the quota is used up; it passes by 2026-11-21 11:00 UTC; next try 2026-11-21 09:35 UTC',
  );
  assert.match(
    restText(rest({ scope: 'endpoint', about: 'smtp mail.test:587' })),
    /^mail for smtp at mail\.test:587 waits/,
  );
  assert.match(restText(rest({ passesWhen: 'it recovers' })), /; it passes when it recovers;/);
  assert.match(restText(rest({})), /; it does not pass by itself;/);
});
