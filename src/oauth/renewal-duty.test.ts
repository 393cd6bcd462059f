import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type FakeProvider, fakeProvider } from '../../test/oauth/fake-provider.ts';
import { plainVault } from '../../test/oauth/fixture.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { nullLog } from '../base/log.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { openCircuits } from './circuit.ts';
import { oauthError } from './errors.ts';
import type { OAuthEvent } from './events.ts';
import { type RenewalDuty, startRenewalDuty } from './renewal-duty.ts';
import type { LaneLimits } from './lane.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const HOST = 'login.microsoftonline.com';

describe('the duty of renewal', () => {
  let clock: ManualClock;
  let store: Store;
  let provider: FakeProvider;
  let duties: RenewalDuty[];
  let events: OAuthEvent[];
  const vault = plainVault();

  beforeEach(async () => {
    clock = new ManualClock();
    // The store's own clock stands still: only leases and its look for other processes' commits go by it.
    store = await openStore('sqlite::memory:', { clock: new ManualClock() });
    provider = await fakeProvider(store, vault, clock);
    duties = [];
    events = [];
  });
  afterEach(async () => {
    await Promise.all(duties.map((duty) => duty.stop()));
    await store.close();
  });

  function start(limits: Partial<LaneLimits> = {}) {
    const circuits = openCircuits(clock, (event) => events.push(event));
    const owner = `process ${duties.length}`;
    const { client } = provider;
    const emit = (event: OAuthEvent): void => void events.push(event);
    const duty = startRenewalDuty({ store, vault, clock, log: nullLog, emit, owner, client, circuits }, limits);
    duties.push(duty);
    return { duty, circuits };
  }

  /** Lets everything happen that needs no more time. */
  async function settle(): Promise<void> {
    for (let quiet = 0, before = ''; quiet < 4;) {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      const now = duties.map((duty) => `${duty.rounds}/${duty.inFlight}`).join();
      quiet = now === before ? quiet + 1 : 0;
      before = now;
    }
  }

  /** `ms` of time, in steps, with everything done at each. */
  async function pass(ms: number, step = 5000): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      await clock.advance(Math.min(step, left));
      await settle();
    }
  }

  const counts = (): number[] => [...provider.refreshes.values()].map((times) => times.length);

  test('renews each grant once per period, two processes sharing the work', async () => {
    for (let n = 0; n < 60; n++) await provider.addGrant({ expiresAt: clock.now() + HOUR });
    start();
    start();
    await settle();
    assert.equal(provider.refreshes.size, 0, 'nothing is due yet, though the rows said so');
    await pass(50 * MINUTE, 15_000);
    assert.deepEqual(new Set(counts()), new Set([1]));
    assert.equal(provider.refreshes.size, 60);
    await pass(2 * 50 * MINUTE, 15_000);
    for (const times of provider.refreshes.values()) {
      assert.ok(times.length === 3 || times.length === 4, String(times.length));
      for (const [n, at] of times.entries()) {
        if (n > 0) assert.ok(at - times[n - 1]! >= 42 * MINUTE && at - times[n - 1]! <= 51 * MINUTE);
      }
    }
  });

  test('a thousand grants that ended together are a bounded stream', async () => {
    for (let n = 0; n < 1000; n++)
      await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR });
    provider.before = () => clock.sleep(200);
    start({ concurrency: 8, rate: 20 });
    await pass(10_000, 100);
    const sent = provider.refreshes.size;
    assert.ok(sent > 190 && sent <= 210, `${sent} after ten seconds`);
    assert.ok(provider.most.inFlight <= 8, String(provider.most.inFlight));
    await pass(45_000, 250);
    assert.equal(provider.refreshes.size, 1000);
    assert.deepEqual(new Set(counts()), new Set([1]));
  });

  test('a process that dies leaves its share to the other', async () => {
    for (let n = 0; n < 20; n++)
      await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR });
    const { id } = (await store.applications.list())[0]!;
    const dead = { applicationIds: [id], now: clock.now(), until: clock.now() + MINUTE, limit: 12 };
    assert.equal((await store.grants.claimDue(dead)).length, 12);
    start();
    await settle();
    await pass(5000, 500);
    assert.equal(provider.refreshes.size, 8);
    await pass(MINUTE + 20_000);
    assert.equal(provider.refreshes.size, 20);
    assert.deepEqual(new Set(counts()), new Set([1]));
  });

  test('an outage: probes only, told once, and everything renewed in a stream when it is over', async () => {
    for (let n = 0; n < 100; n++) await provider.addGrant({ expiresAt: clock.now() + HOUR });
    const { circuits } = start({ concurrency: 4, rate: 10 });
    provider.failure = oauthError('oauth.provider-unreachable', 'connection refused');
    await pass(2 * HOUR, 20_000);
    const tries = counts().reduce((sum, count) => sum + count, 0);
    assert.ok(tries > 50 && tries < 150, `${tries} requests in about an hour of outage`);
    assert.deepEqual(
      events.flatMap((event) => (event.type.startsWith('provider.') ? [event.type] : [])),
      ['provider.unreachable'],
    );
    assert.equal(circuits.state(HOST).type, 'open');
    provider.failure = undefined;
    provider.refreshes.clear();
    await pass(3 * MINUTE, 1000);
    assert.equal(provider.refreshes.size, 100);
    assert.equal(circuits.state(HOST).type, 'closed');
    assert.ok(
      (await store.grants.overview()).every(({ renewal, state }) => !renewal?.failing && state.type === 'active'),
    );
  });

  test('Retry-After holds the whole server’s stream back', async () => {
    for (let n = 0; n < 10; n++)
      await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR });
    const retryAt = new Date(clock.now() + 30 * MINUTE);
    provider.failure = oauthError('oauth.provider-busy', 'slow down', { retryAt });
    start({ concurrency: 1, rate: 1 });
    await pass(29 * MINUTE, 30_000);
    assert.equal(provider.refreshes.size, 1);
    provider.failure = undefined;
    await pass(2 * MINUTE);
    assert.equal(provider.refreshes.size, 10);
  });

  test('a server that is busy and names no time is left alone for five seconds', async () => {
    for (let n = 0; n < 10; n++)
      await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR });
    provider.failure = oauthError('oauth.provider-busy', 'slow down');
    start({ concurrency: 1, rate: 100 });
    await pass(4_000, 500);
    assert.equal(provider.refreshes.size, 1);
    await pass(2_000, 500);
    assert.equal(provider.refreshes.size, 2);
  });

  test('P24: a rule of the organisation that may be lifted is asked about again, at most hourly, and works then without its owner', async () => {
    const asked = await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR });
    const detail = { error: 'interaction_required', error_codes: [50_076], mayBeLifted: true };
    provider.failure = oauthError('oauth.needs-consent', 'multi-factor authentication is required', { detail });
    start();
    await pass(MINUTE, 20_000);
    const first = (await store.grants.find(asked.id))!;
    assert.ok(first.state.type === 'needs-consent');
    assert.deepEqual([first.renewAt, first.state.askAgainAt! > clock.now()], [first.state.askAgainAt, true]);
    await pass(6 * HOUR, 60_000);
    const tries = provider.refreshes.get(asked.id)!.length;
    assert.ok(tries >= 6 && tries <= 12, String(tries));
    const still = (await store.grants.find(asked.id))!;
    assert.ok(still.state.type === 'needs-consent' && still.state.since === first.state.since);
    provider.failure = undefined;
    await pass(75 * MINUTE, 60_000);
    assert.equal((await store.grants.find(asked.id))?.state.type, 'active');
  });

  test('what a person must correct is not tried again, what an operator must correct is tried when something was corrected', async () => {
    const [revoked, broken] = [
      await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR }),
      await provider.addGrant({ expiresAt: clock.now() + HOUR }),
    ];
    provider.failure = oauthError('oauth.needs-consent', 'revoked', { detail: { error: 'invalid_grant' } });
    start();
    await pass(10 * MINUTE, 20_000);
    assert.equal(provider.refreshes.get(revoked.id)?.length, 1);
    const row = await store.grants.find(revoked.id);
    assert.deepEqual([row?.state.type, row?.renewAt], ['needs-consent', undefined]);

    provider.failure = oauthError('oauth.misconfigured', 'the client secret has expired');
    await pass(3 * HOUR, 30_000);
    const before = provider.refreshes.get(broken.id)!.length;
    assert.ok(before >= 3 && before <= 8, String(before));
    const { failing } = (await store.grants.find(broken.id))!.renewal!;
    assert.deepEqual([failing?.code, failing?.attempts], ['oauth.misconfigured', before]);
    provider.failure = undefined;
    await store.applications.update(broken.applicationId, { clientId: 'other' });
    await settle();
    await pass(1000, 500);
    assert.equal((await store.grants.find(broken.id))?.renewal?.failing, undefined);
    assert.equal(provider.refreshes.get(revoked.id)?.length, 1);
  });

  test('a laptop that slept: a moment for the network, then all in a stream, and nobody’s failure is counted', async () => {
    for (let n = 0; n < 50; n++) await provider.addGrant({ expiresAt: clock.now() + HOUR });
    start({ concurrency: 4, rate: 10 });
    await pass(MINUTE);
    clock.jump(14 * HOUR);
    provider.failure = oauthError('oauth.provider-unreachable', 'network is down');
    await pass(20_000, 1000);
    const during = counts().length;
    provider.failure = undefined;
    await pass(30_000, 500);
    assert.ok(during <= 50);
    assert.ok(events.some((event) => event.type === 'clock.jumped' && Math.abs(event.byMs - 14 * HOUR) < 1000));
    assert.equal(provider.refreshes.size, 50);
    assert.ok((await store.grants.overview()).every(({ renewal }) => (renewal?.renewedAt ?? 0) > clock.now() - MINUTE));
  });

  test('a clock that ran a day ahead is set right: its tokens are renewed at once, in a stream', async () => {
    const right = clock.now();
    clock.jump(24 * HOUR);
    for (let n = 0; n < 30; n++) await provider.addGrant({ expiresAt: clock.now() + HOUR });
    start({ concurrency: 2, rate: 10 });
    await pass(MINUTE);
    assert.equal(provider.refreshes.size, 0);
    clock.jump(right - clock.now());
    await pass(40_000, 1000);
    assert.equal(provider.refreshes.size, 30);
    assert.deepEqual(new Set(counts()), new Set([1]));
    assert.ok(provider.most.inFlight <= 2);
    await pass(30 * MINUTE, 30_000);
    assert.deepEqual(new Set(counts()), new Set([1]));
  });

  test('while the store is away nothing is asked, and work goes on when it is back', async () => {
    await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR });
    const claimDue = store.grants.claimDue;
    let tries = 0;
    store.grants.claimDue = () => {
      tries += 1;
      return Promise.reject(oauthError('oauth.provider-busy', 'stands for store.unavailable'));
    };
    start();
    await pass(10 * MINUTE, 5000);
    assert.ok(tries > 10 && tries < 60, String(tries));
    assert.equal(provider.refreshes.size, 0);
    store.grants.claimDue = claimDue;
    await pass(MINUTE);
    assert.equal(provider.refreshes.size, 1);
  });

  test('stopping waits for the answer that is under way', async () => {
    const grant = await provider.addGrant({ expiresAt: clock.now() - 1, obtainedAt: clock.now() - HOUR });
    const answer = Promise.withResolvers<void>();
    provider.before = () => answer.promise;
    const { duty } = start();
    while (provider.refreshes.size === 0) await new Promise((resolve) => setImmediate(resolve));
    let stopped = false;
    const stopping = duty.stop().then(() => (stopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(stopped, false);
    answer.resolve();
    await stopping;
    assert.equal((await store.grants.find(grant.id))?.state.type, 'active');
    assert.ok((await store.grants.find(grant.id))!.renewAt! > clock.now());
  });
});
