/** A token that the provider's mail server refuses: when a new one is asked for, and what the program is told. */
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { type Certificates, certificates, type FakeProvider, fakeProvider } from '../../test/bed/fake-provider.ts';
import { type Bench, startBench } from '../../test/bed/gateway.ts';
import { LeapClock } from '../../test/bed/leap-clock.ts';
import { systemClock } from '../base/clock.ts';
import { oauthError } from '../oauth/errors.ts';

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

async function scene(
  t: TestContext,
  options: Parameters<typeof startBench>[3] = {},
): Promise<{ readonly bench: Bench; readonly provider: FakeProvider }> {
  const provider = await fakeProvider('imap', authority);
  const bench = await startBench(authority, [{}], [provider], options);
  t.after(async () => {
    await bench.close();
    await provider.close();
  });
  return { bench, provider };
}

const LOGIN = `a LOGIN ${ADDRESS} ${PASSWORD}`;

test('a refused token is thrown away once and the next one is tried', async (t) => {
  const { bench, provider } = await scene(t);
  provider.good.clear();
  provider.good.add('token-2');
  const client = await bench.client();
  await client.line();
  assert.match(await client.ask(LOGIN, /^a /), /^a OK/);
  assert.deepEqual(bench.tokens.rejected, ['token-1']);
  assert.deepEqual(provider.tokens, ['token-1', 'token-2']);
  assert.deepEqual(bench.meter.signIns, ['imap ok ok']);
});

test('P52: a token refused after the authority refused a newer one: the program hears what the authority said', async (t) => {
  const { bench, provider } = await scene(t);
  provider.good.clear();
  bench.tokens.notRenewed = oauthError('oauth.needs-consent', 'the consent was revoked');
  const client = await bench.client();
  await client.line();
  for (let i = 0; i < 2; i++)
    assert.match(
      await client.ask(LOGIN, /^a /),
      /^a NO \[CONTACTADMIN\] the consent for alice@contoso\.test has ended/,
    );
  assert.deepEqual(bench.tokens.rejected, []);
});

test('P52: a refusal after a sign-in that succeeded costs a renewal again, though the last is minutes ago', async (t) => {
  const clock = new LeapClock(Date.now());
  const { bench, provider } = await scene(t, { clock, deps: { wall: systemClock } });
  provider.good.clear();
  const client = await bench.client();
  await client.line();
  const refused = async (): Promise<void> => assert.match(await client.ask(LOGIN, /^a /), /^a NO \[CONTACTADMIN\]/);
  await refused();
  assert.equal(bench.tokens.rejected.length, 1);
  clock.leap(61_000);
  await refused();
  clock.leap(61_000);
  await refused();
  assert.equal(bench.tokens.rejected.length, 2, 'refused for good: less and less often');
  provider.good.add('token-3');
  const good = await bench.client();
  await good.line();
  assert.match(await good.ask(LOGIN, /^a /), /^a OK/);
  provider.good.clear();
  const next = await bench.client();
  await next.line();
  assert.match(await next.ask(LOGIN, /^a /), /^a NO/);
  assert.equal(bench.tokens.rejected.length, 3);
});
