import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError, type PosternError } from '../base/error.ts';
import { type CircuitEvent, openCircuits } from './circuit.ts';
import { oauthError } from './errors.ts';

const down = (): PosternError => oauthError('oauth.provider-unreachable', 'connection refused');
const HOST = 'login.contoso.test';

function bench() {
  const clock = new ManualClock();
  const events: CircuitEvent[] = [];
  const circuits = openCircuits(clock, (event) => events.push(event));
  const fail = (times: number): void => {
    for (let n = 0; n < times; n++) circuits.enter(HOST).failed(down());
  };
  return { clock, events, circuits, fail };
}

test('opens at the fifth failure in a row, and then nobody waits', () => {
  const { circuits, fail, events, clock } = bench();
  fail(4);
  circuits.enter(HOST).answered();
  fail(4);
  assert.equal(circuits.state(HOST).type, 'closed');
  fail(1);
  assert.deepEqual(events, [
    { type: 'provider.unreachable', authority: HOST, since: clock.now(), reason: 'connection refused' },
  ]);
  assert.throws(
    () => circuits.enter(HOST),
    (error) => isError(error, 'oauth.provider-unreachable') && error.retryAt!.getTime() > clock.now(),
  );
  circuits.enter('other.test').answered();
});

test('a refusal is an answer: it opens nothing and closes what was open', async () => {
  const { circuits, fail, events, clock } = bench();
  for (let n = 0; n < 20; n++) circuits.enter(HOST).failed(oauthError('oauth.needs-consent', 'revoked'));
  assert.equal(circuits.state(HOST).type, 'closed');
  fail(5);
  await clock.advance(60_000);
  circuits.enter(HOST).failed(oauthError('oauth.provider-busy', 'slow down'));
  assert.equal(circuits.state(HOST).type, 'closed');
  assert.deepEqual(events.at(-1), { type: 'provider.recovered', authority: HOST, downMs: 60_000 });
});

test('lets one probe through at a time, ever more rarely up to once a minute, and is told of an outage once', async () => {
  const { circuits, fail, events, clock } = bench();
  fail(5);
  for (let n = 0; n < 20; n++) {
    const state = circuits.state(HOST);
    assert.ok(state.type === 'open');
    const wait = state.retryAt - clock.now();
    assert.ok(wait > 0 && wait <= 60_000);
    await clock.advance(wait - 1);
    assert.throws(() => circuits.enter(HOST));
    await clock.advance(1);
    const probe = circuits.enter(HOST);
    assert.throws(() => circuits.enter(HOST), 'a second request while the probe is under way');
    if (n % 3 === 0) {
      probe.unused();
      circuits.enter(HOST).failed(down());
    } else probe.failed(down());
  }
  assert.equal(events.length, 1);
});

test('answers to requests from before it opened close it; their failures say nothing new', () => {
  const { circuits, fail } = bench();
  const early = [circuits.enter(HOST), circuits.enter(HOST)];
  fail(5);
  const { retryAt } = circuits.state(HOST) as { retryAt: number };
  early[0]!.failed(down());
  assert.equal((circuits.state(HOST) as { retryAt: number }).retryAt, retryAt);
  early[1]!.answered();
  assert.equal(circuits.state(HOST).type, 'closed');
});

test('honours the server’s own Retry-After within reason, and probes at once when the clock jumped', () => {
  const { circuits, fail, clock } = bench();
  fail(4);
  const retryAt = new Date(clock.now() + 5 * 3_600_000);
  circuits.enter(HOST).failed(oauthError('oauth.provider-unreachable', '503', { retryAt }));
  assert.equal((circuits.state(HOST) as { retryAt: number }).retryAt, clock.now() + 600_000);
  clock.jump(-86_400_000);
  assert.throws(() => circuits.enter(HOST));
  circuits.wake();
  circuits.enter(HOST).answered();
});
