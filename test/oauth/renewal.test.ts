import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { isError } from '../../src/base/error.ts';
import { openCircuits } from '../../src/oauth/circuit.ts';
import { grantHealth } from '../../src/oauth/health.ts';
import { openTokens, sealTokens } from '../../src/oauth/grant-tokens.ts';
import type { Grant, Mailbox } from '../../src/store/types.ts';
import { type Bed, openBed, secretOf } from './fixture.ts';

describe('renewal', () => {
  let bed: Bed;
  let grant: Grant;
  let mailbox: Mailbox;
  let refreshesBefore: number;
  const refreshes = (): number =>
    bed.server.requests.filter((r) => r.grantType === 'refresh_token').length - refreshesBefore;

  before(async () => {
    bed = await openBed();
  });
  after(() => bed.close());
  beforeEach(async () => {
    bed.server.failNext.length = 0;
    ({ grant, mailbox } = await bed.connect({ application: await bed.application() }));
    refreshesBefore = 0;
    refreshesBefore = refreshes();
  });

  const expire = (leftMs = -1000, id = grant.id): Promise<void> => bed.expire(id, leftMs);

  test('twenty callers in two processes’ sources share one request', async () => {
    await expire();
    const sources = [bed.source(), bed.source()];
    const tokens = await Promise.all(
      Array.from({ length: 20 }, (_, i) => sources[i % 2]!.accessToken(mailbox, 'imap')),
    );
    assert.equal(refreshes(), 1);
    assert.equal(new Set(tokens.map((token) => token.value.reveal())).size, 1);
  });

  test('the rotated token is the one used next, again and again', async () => {
    for (let round = 1; round <= 3; round += 1) {
      await expire();
      await bed.source().accessToken(mailbox, 'imap');
      assert.equal(refreshes(), round);
    }
    assert.equal((await bed.store.grants.find(grant.id))?.state.type, 'active');
  });

  for (const [name, failure, code] of [
    ['503', { status: 503, body: 'busy' }, 'oauth.provider-unreachable'],
    ['a page instead of JSON', { status: 502, body: '<html>' }, 'oauth.provider-unreachable'],
    ['429 with Retry-After', { status: 429, headers: { 'retry-after': '7' } }, 'oauth.provider-busy'],
    ['a cut connection', { status: 0, cut: true }, 'oauth.provider-unreachable'],
    [
      'temporarily_unavailable',
      { status: 400, body: { error: 'temporarily_unavailable' } },
      'oauth.provider-unreachable',
    ],
    ['AADSTS90055', { status: 400, body: { error: 'invalid_grant', error_codes: [90055] } }, 'oauth.provider-busy'],
  ] as const) {
    test(`${name} is “later”, leaves the grant alone and is not asked again at once`, async () => {
      await expire();
      const stored = await bed.store.grants.find(grant.id);
      bed.server.failNext.push(failure);
      const source = bed.source();
      await assert.rejects(source.accessToken(mailbox, 'imap'), { code, kind: 'later' });
      await assert.rejects(source.accessToken(mailbox, 'imap'), { code });
      assert.equal(refreshes(), 1);
      const now = await bed.store.grants.find(grant.id);
      assert.equal(now?.state.type, 'active');
      assert.deepEqual(now?.tokens, stored?.tokens);
    });
  }

  test('Retry-After reaches the caller', async () => {
    await expire();
    bed.server.failNext.push({ status: 429, headers: { 'retry-after': '7' } });
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), (error) => {
      assert.ok(isError(error));
      const waitMs = (error.retryAt?.getTime() ?? 0) - Date.now();
      assert.ok(waitMs > 5000 && waitMs <= 7000, String(waitMs));
      return true;
    });
  });

  test('while the old token is good, an outage goes unnoticed, also by a process that has just started', async () => {
    const stored = (await bed.source().accessToken(mailbox, 'imap')).value.reveal();
    await expire(120_000);
    bed.server.failNext.push({ status: 503 }, { status: 503 });
    const source = bed.source();
    assert.equal((await source.accessToken(mailbox, 'imap')).value.reveal(), stored);
    assert.equal((await source.accessToken(mailbox, 'imap')).value.reveal(), stored);
    assert.equal(refreshes(), 1, 'it is not asked again at once');
    await expire(30_000);
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { kind: 'later' });
    assert.equal((await bed.store.grants.find(grant.id))?.renewal?.failing?.attempts, 2);
    await bed.source().accessToken(mailbox, 'imap');
    assert.equal((await bed.store.grants.find(grant.id))?.renewal?.failing, undefined);
  });

  test('a token from a clock that ran ahead is not trusted', async () => {
    const source = bed.source();
    const token = await source.accessToken(mailbox, 'imap');
    const row = await bed.store.grants.find(grant.id);
    const tokens = await openTokens(bed.vault, row!);
    const ahead = { ...tokens!, obtainedAt: Date.now() + 86_400_000, expiresAt: Date.now() + 90_000_000 };
    await bed.store.grants.update(grant.id, row!.generation, { tokens: await sealTokens(bed.vault, grant.id, ahead) });
    assert.notEqual((await source.accessToken(mailbox, 'imap')).value.reveal(), token.value.reveal());
    assert.equal(refreshes(), 1);
  });

  test('a server that is down is asked by nobody but the probe, and everybody is told at once', async () => {
    const circuits = openCircuits(systemClock);
    const boxes = await Promise.all(
      Array.from({ length: 7 }, async (_, n) => {
        const address = `box${n}@contoso.test`;
        const box = await bed.connect({
          application: await bed.application(),
          address,
          sharedWith: 'alice@contoso.test',
        });
        await expire(-1000, box.grant.id);
        return box.mailbox;
      }),
    );
    const before = refreshes();
    bed.server.failNext.push(...Array.from({ length: 7 }, () => ({ status: 503 })));
    const source = bed.source({ circuits });
    for (const box of boxes.slice(0, 5)) await assert.rejects(source.accessToken(box, 'imap'), { kind: 'later' });
    assert.equal(refreshes(), before + 5);
    const [authority] = circuits.all().keys();
    await assert.rejects(source.accessToken(boxes[5]!, 'imap'), (error) => {
      assert.ok(isError(error, 'oauth.provider-unreachable'));
      assert.match(error.message, /has given no token since .+ UTC: the provider answered 503/);
      assert.ok(error.retryAt);
      return true;
    });
    assert.equal(refreshes(), before + 5, 'nothing was asked');
    bed.server.failNext.length = 0;
    circuits.wake();
    await source.accessToken(boxes[6]!, 'imap');
    assert.equal(circuits.state(authority!).type, 'closed');
  });

  test('invalid_grant makes the grant ask for consent, and says so', async () => {
    await expire();
    const body = {
      error: 'invalid_grant',
      error_description: 'AADSTS50173: revoked.',
      error_codes: [50173],
      trace_id: 't',
    };
    bed.server.failNext.push({ status: 400, body });
    const source = bed.source();
    await assert.rejects(source.accessToken(mailbox, 'imap'), (error) => {
      assert.ok(isError(error, 'oauth.needs-consent'));
      assert.equal(error.kind, 'denied');
      assert.equal(error.detail['trace_id'], 't');
      return true;
    });
    const row = await bed.store.grants.find(grant.id);
    assert.equal(row?.state.type === 'needs-consent' && row.state.code, 'invalid_grant AADSTS50173');
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });
    assert.equal(refreshes(), 1);
    assert.ok(bed.events.some((event) => event.type === 'grant.changed' && event.grantId === grant.id));
    // A new consent opens it again, in the same process.
    const application = await bed.store.applications.find(grant.applicationId);
    await bed.connect({ application: application! });
    await source.accessToken(mailbox, 'imap');
  });

  test('P24: a diagnosis that is refused does not end the grant; a renewal that is refused so is asked again at use', async () => {
    const stored = async () => (await bed.store.grants.find(grant.id))!;
    const refusal = { status: 400, body: { error: 'interaction_required', error_codes: [50076] } };
    await bed.source().accessToken(mailbox, 'imap');
    const before = await stored();
    bed.server.failNext.push(refusal);
    const source = bed.source();
    await assert.rejects(source.renewedToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });
    const { state: stateAfter, tokens } = await stored();
    assert.deepEqual([stateAfter, tokens], [before.state, before.tokens]);
    await source.accessToken(mailbox, 'imap');
    assert.equal((await stored()).renewal?.failing, undefined);

    await expire();
    bed.server.failNext.push(refusal);
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });
    const { state } = await stored();
    assert.ok(state.type === 'needs-consent' && state.askAgainAt !== undefined);
    const asked = refreshes();
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });
    assert.equal(refreshes(), asked, 'not before its time');
    // Who diagnoses asks at once, and what is found good again is.
    await bed.source().renewedToken(mailbox, 'imap');
    assert.equal((await stored()).state.type, 'active');
    assert.ok(bed.events.some((event) => event.type === 'grant.changed' && event.from === 'needs-consent'));
  });

  test('P52: what a diagnosis was refused is asked again at once by whoever renews, and the answer is everybody’s', async () => {
    const stored = async () => (await bed.store.grants.find(grant.id))!;
    const revoked = { status: 400, body: { error: 'invalid_grant', error_codes: [50173] } };
    const gateway = bed.source();
    const given = await gateway.accessToken(mailbox, 'imap');
    bed.server.failNext.push(revoked);
    await assert.rejects(bed.source().renewedToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });
    const { renewAt, renewal, state } = await stored();
    assert.equal(state.type, 'active');
    assert.ok(renewAt !== undefined && renewAt <= Date.now(), 'the duty renews it now');
    const facts = { grant: await stored(), application: undefined, inactivityMs: undefined, mailbox: undefined };
    const health = grantHealth(facts, Date.now());
    assert.ok(health.type === 'at-risk' && /AADSTS50173/.test(health.reason), JSON.stringify(health));
    assert.equal(renewal?.failing?.code, 'oauth.needs-consent');

    bed.server.failNext.push(revoked);
    const before = refreshes();
    const other = bed.source();
    const last = await other.accessToken(mailbox, 'imap');
    assert.equal(refreshes(), before + 1, 'although the token is good by its time');
    assert.equal(last.value.reveal(), given.value.reveal());
    assert.equal(last.notRenewed?.code, 'oauth.needs-consent');
    assert.equal((await stored()).state.type, 'needs-consent');
    assert.equal((await stored()).renewal?.doubted, undefined);
    // Not only the process that asked knows it.
    const again = await gateway.accessToken(mailbox, 'imap');
    const later = await gateway.accessToken(mailbox, 'imap');
    assert.ok([again, later].some(({ notRenewed }) => notRenewed?.code === 'oauth.needs-consent'));
    assert.equal(refreshes(), before + 1);
  });

  test('the last token is used up after the consent has ended, and what an administrator lifts works by itself', async () => {
    await expire(240_000);
    const last = (await openTokens(bed.vault, (await bed.store.grants.find(grant.id))!))!.accessToken.reveal();
    bed.server.failNext.push({ status: 400, body: { error: 'invalid_grant', error_codes: [50173] } });
    const source = bed.source();
    assert.equal((await source.accessToken(mailbox, 'imap')).value.reveal(), last);
    assert.equal((await bed.store.grants.find(grant.id))?.state.type, 'needs-consent');
    // Also by a process that comes later, and until the mail server refuses it.
    const other = bed.source();
    const given = await other.accessToken(mailbox, 'imap');
    assert.equal(given.value.reveal(), last);
    assert.equal(refreshes(), 1);
    other.reject(given);
    await assert.rejects(other.accessToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });

    const application = await bed.store.applications.find(grant.applicationId);
    ({ grant, mailbox } = await bed.connect({ application: application! }));
    await expire();
    bed.server.failNext.push({ status: 400, body: { error: 'interaction_required', error_codes: [53003] } });
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.admin-consent' });
    const row = await bed.store.grants.find(grant.id);
    assert.deepEqual([row?.state.type, row?.renewal?.failing?.code], ['active', 'oauth.admin-consent']);
    assert.ok(row?.renewAt !== undefined && row.renewAt < Date.now() + 3_600_000);
    assert.match((await bed.source().accessToken(mailbox, 'imap')).value.reveal(), /^ey/);
  });

  test('invalid_client is the operator’s matter and leaves the grant alone', async () => {
    await expire();
    bed.server.failNext.push({ status: 401, body: { error: 'invalid_client', error_codes: [7000222] } });
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.misconfigured', kind: 'misuse' });
    assert.equal((await bed.store.grants.find(grant.id))?.state.type, 'active');
  });

  test('a caller that hangs up neither stops the request nor loses its answer', async () => {
    await expire();
    let release = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      bed.server.beforeAnswer = () => {
        resolve();
        return new Promise((go) => (release = go));
      };
    });
    const source = bed.source();
    const gone = new AbortController();
    const call = source.accessToken(mailbox, 'imap', gone.signal);
    await asked;
    gone.abort(new Error('the client hung up'));
    await assert.rejects(call, /hung up/);
    bed.server.beforeAnswer = undefined;
    release();
    await source.accessToken(mailbox, 'imap');
    assert.equal(refreshes(), 1);
  });

  test('L21: a token the mail server refuses is replaced once, however new it is, and its successor only a minute later', async () => {
    const source = bed.source();
    const first = await source.accessToken(mailbox, 'imap');
    source.reject(first);
    const second = await source.accessToken(mailbox, 'imap');
    assert.notEqual(second.value.reveal(), first.value.reveal());
    assert.equal(refreshes(), 1);
    source.reject(second);
    assert.equal((await source.accessToken(mailbox, 'imap')).value.reveal(), second.value.reveal());
    assert.equal(refreshes(), 1);
  });

  test('L21: a token for another service never replaces one that works, and the next renewal brings a good one', async () => {
    await expire(3_600_000);
    const good = await bed.source().accessToken(mailbox, 'imap');
    bed.server.audience = 'https://graph.microsoft.com';
    const source = bed.source();
    try {
      await assert.rejects(source.renewedToken(mailbox, 'imap'), { code: 'oauth.wrong-audience' });
    } finally {
      bed.server.audience = undefined;
    }
    // The good one is still what everybody gets, and the failure shows.
    assert.equal((await bed.source().accessToken(mailbox, 'imap')).value.reveal(), good.value.reveal());
    const row = await bed.store.grants.find(grant.id);
    assert.deepEqual([row?.state.type, row?.renewal?.failing?.code], ['active', 'oauth.wrong-audience']);
    const last = bed.events.findLast((event) => event.type === 'token.requested');
    assert.deepEqual([last?.outcome, last?.code], ['failed', 'oauth.wrong-audience']);
    // The refresh token of the refused answer was kept: a strictly rotating server takes no other.
    assert.notEqual((await source.renewedToken(mailbox, 'imap')).value.reveal(), good.value.reveal());
    assert.equal((await bed.store.grants.find(grant.id))?.renewal?.failing, undefined);
  });

  test('D3: a new token is asked for whenever one is wanted, also within a minute of the last', async () => {
    const source = bed.source();
    const kept = await source.accessToken(mailbox, 'imap');
    const first = await source.renewedToken(mailbox, 'imap');
    const second = await source.renewedToken(mailbox, 'imap');
    assert.equal(new Set([kept, first, second].map(({ value }) => value.reveal())).size, 3);
    assert.equal(refreshes(), 2);
  });

  test('a token for Microsoft Graph is never handed out', async () => {
    await expire();
    bed.server.audience = 'https://graph.microsoft.com';
    try {
      await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.wrong-audience' });
    } finally {
      bed.server.audience = undefined;
    }
    assert.match((await bed.source().accessToken(mailbox, 'imap')).value.reveal(), /^ey/);
  });

  test('a protocol that was not consented to is refused before anything is asked', async () => {
    await assert.rejects(bed.source().accessToken(mailbox, 'smtp'), { code: 'oauth.not-granted' });
  });

  test('app-only tokens are shared between sources through the store', async () => {
    const { id, secret } = bed.server.clients.confidential;
    const application = await bed.application({
      clientId: id,
      credential: { type: 'secret', secret: secretOf(secret) },
    });
    const box = await bed.connect({ application, address: 'scanner@contoso.test', flow: 'client-secret' });
    const before = bed.server.requests.length;
    await Promise.all([bed.source(), bed.source()].map((source) => source.accessToken(box.mailbox, 'imap')));
    assert.equal(bed.server.requests.length, before);
  });

  test('an app-only grant works again by itself after an administrator has enabled it', async () => {
    const { id, secret } = bed.server.clients.confidential;
    const application = await bed.application({
      clientId: id,
      credential: { type: 'secret', secret: secretOf(secret) },
    });
    ({ grant, mailbox } = await bed.connect({ application, address: 'meter@contoso.test', flow: 'client-secret' }));
    await expire();
    bed.server.failNext.push({ status: 400, body: { error: 'unauthorized_client', error_codes: [7000112] } });
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.admin-consent' });
    await bed.source().accessToken(mailbox, 'imap');
  });

  test('a record that cannot be written does not cost the token', async () => {
    await expire();
    const source = bed.source({ emit: () => Promise.reject(new Error('disk full')) });
    assert.match((await source.accessToken(mailbox, 'imap')).value.reveal(), /^ey/);
  });

  test('a token in memory is given without a question to the store', async (t) => {
    const source = bed.source();
    await source.accessToken(mailbox, 'imap');
    await new Promise<void>((resolve) => setImmediate(resolve));
    const { find } = bed.store.grants;
    t.after(() => Object.assign(bed.store.grants, { find }));
    let asked = 0;
    Object.assign(bed.store.grants, {
      find: (id: string) => {
        asked += 1;
        return find(id);
      },
    });
    for (let at = 0; at < 100; at += 1) await source.accessToken(mailbox, 'imap');
    assert.equal(asked, 0);
  });
});
