/** docs/errors-on-the-wire.md, row by row, on every protocol. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { type Certificates, certificates, type FakeProvider, fakeProvider } from '../../test/bed/fake-provider.ts';
import { type Bench, startBench } from '../../test/bed/gateway.ts';
import type { Client } from '../../test/bed/line-client.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { errorTable } from '../base/error.ts';
import { Budget } from '../protocol/wire/budget.ts';
import type { Protocol } from '../store/protocols.ts';

const page = readFileSync(new URL('../../docs/errors-on-the-wire.md', import.meta.url), 'utf8');
const PROTOCOLS: readonly Protocol[] = ['imap', 'pop3', 'smtp'];
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| what'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
const signInRows = rows.filter((row) => row.length === 5);
const endRows = rows.filter((row) => row.length === 4);

// Other rooms' errors, by shape only.
const foreign = errorTable({
  denied: { 'oauth.needs-consent': '', 'oauth.suspended': '' },
  misuse: { 'oauth.misconfigured': '' },
  later: {
    'oauth.provider-unreachable': '',
    'oauth.provider-busy': '',
    'gateway.maildrop-in-use': '',
    'gateway.login-delay': '',
    'store.unavailable': '',
    'access.empty': '',
  },
  refused: { 'tls.untrusted': '' },
});

/** Ways to each code. A way prepares the fakes for one sign-in. */
const causes: Readonly<Record<string, readonly ((bench: Bench, provider: FakeProvider) => void)[]>> = {
  'gateway.wrong-password': (
    [
      'unknown-password',
      'wrong-mailbox',
      'wrong-protocol',
      'wrong-network',
      'expired',
      'revoked',
      'no-such-mailbox',
    ] as const
  ).map((reason) => (bench: Bench) => void bench.signIn.next.push({ type: 'refused', reason })),
  'gateway.user-name': [(bench) => void bench.signIn.next.push({ type: 'refused', reason: 'catch-all' })],
  'gateway.slowed': [(bench) => void bench.signIn.next.push({ type: 'slow-down', retryAt: Date.now(), waitMs: 1 })],
  'gateway.consent-needed': [
    (bench) => (bench.tokens.failure = foreign('oauth.needs-consent', 'AADSTS70008')),
    (bench) => (bench.tokens.failure = foreign('oauth.suspended', 'by the administrator')),
  ],
  'gateway.provider-refused': [(_bench, provider) => provider.good.clear()],
  'gateway.misconfigured': [
    (bench) => (bench.tokens.failure = foreign('oauth.misconfigured', 'no host')),
    (bench) => (bench.tokens.failure = foreign('tls.untrusted', 'self-signed')),
  ],
  'gateway.provider-unreachable': [
    (bench) => (bench.tokens.failure = foreign('oauth.provider-unreachable', 'ECONNREFUSED')),
    (bench) => (bench.tokens.failure = foreign('oauth.provider-busy', '429')),
    (bench, provider) => (bench.tokens.endpoints[provider.endpoint.protocol] = { ...provider.endpoint, port: 1 }),
    (_bench, provider) => (provider.silent = true),
  ],
  // The provider's own words, which the fake has by code.
  'gateway.maildrop-in-use': [
    (_bench, provider) => {
      provider.refusal = foreign('gateway.maildrop-in-use', 'locked');
      provider.good.clear();
    },
  ],
  'gateway.login-delay': [
    (_bench, provider) => {
      provider.refusal = foreign('gateway.login-delay', 'too soon');
      provider.good.clear();
    },
  ],
  'store.unavailable': [
    (bench) => (bench.tokens.failure = foreign('store.unavailable', 'disk full')),
    (bench) => void bench.signIn.next.push(foreign('store.unavailable', 'disk full')),
  ],
  'access.empty': [(bench) => void bench.signIn.next.push(foreign('access.empty', 'nothing is set up'))],
  'base.bug': [
    (bench) => (bench.tokens.failure = new TypeError('x is not a function')),
    (bench) => void bench.signIn.next.push(new TypeError('x')),
  ],
};

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** @param mail goes on to MAIL where AUTH succeeds */
async function reply(client: Client, protocol: Protocol, mail = false): Promise<string> {
  await client.line();
  if (protocol === 'smtp') await client.ask('EHLO printer', /^250 /);
  const line =
    protocol === 'imap' ? `a LOGIN ${ADDRESS} ${PASSWORD}` : `AUTH PLAIN ${base64(`\0${ADDRESS}\0${PASSWORD}`)}`;
  const answer = await client.ask(line, /^(?:a |[-+]|\d{3} |<end>|\* BYE)/);
  return mail && answer.startsWith('235') ? client.ask('MAIL FROM:<>', /^\d{3} |<end>/) : answer;
}

for (const [what, code, ...expected] of signInRows) {
  for (const [column, protocol] of PROTOCOLS.entries()) {
    if (expected[column] === '–') continue; // it cannot happen there
    // RFC 9051 §7.1, RFC 5530 §3, RFC 2449 §8, RFC 5321 §4.2, RFC 4954 §6
    test(`${protocol}: ${what}`, async (t) => {
      const ways = causes[code!];
      assert.ok(ways, `a way to ${code}`);
      for (const cause of ways) {
        const provider = await fakeProvider(protocol, authority);
        const bench = await startBench(authority, [{ protocol }], [provider], { limits: { upstreamMs: 300 } });
        t.after(() => Promise.all([bench.close(), provider.close()]));
        cause(bench, provider);
        const got = await reply(await bench.client(), protocol, true);
        const wanted = expected[column]!.split(', ').map((each) => (protocol === 'imap' ? `a ${each}` : each));
        assert.ok(
          wanted.some((each) => got.startsWith(`${each} `)),
          `${got} starts with ${wanted.join(' or ')}`,
        );
        assert.ok(!/AADSTS|TypeError|not a function/.test(got), `no inner words in: ${got}`);
        assert.equal(bench.audit.of('session.ended').length, 0);
      }
    });
  }
}

/** Each brings the connection to its end; the client has read the greeting, or has signed in where `signedIn`. */
const endings: Readonly<Record<string, (protocol: Protocol) => Promise<string>>> = {
  'too many connections, in place of a greeting': (protocol) =>
    ended(protocol, { limits: { maxConnections: 0 } }, async (_bench, client) => client.line()),
  'more connections than one address may have before sign-in: the oldest makes room': (protocol) =>
    ended(protocol, { limits: { maxWaitingPerAddress: 1 } }, async (bench, client) => {
      await client.line();
      await (await bench.client()).line();
      return client.line();
    }),
  'unfinished commands before sign-in take more memory than is allowed for them': (protocol) =>
    ended(protocol, { deps: { budget: new Budget({ octets: 10_000 }) } }, async (_bench, client) => {
      await client.line();
      await client.conn.write('x'.repeat(15_000));
      return client.line();
    }),
  'no sign-in within the time allowed': (protocol) => {
    const clock = new ManualClock();
    return ended(protocol, { clock, limits: { signInMs: 1000 } }, async (_bench, client) => {
      await client.line();
      await clock.advance(1000);
      return client.line();
    });
  },
  'the app password was revoked during the session': (protocol) =>
    ended(protocol, {}, async (bench, client) => {
      await reply(client, protocol);
      bench.signIn.revoke();
      return client.line();
    }),
  'the mailbox was suspended or removed during the session': (protocol) =>
    ended(protocol, {}, async (bench, client) => {
      await reply(client, protocol);
      bench.signIn.closeMailbox();
      return client.line();
    }),
  'silence for longer than the limit': (protocol) => {
    const clock = new ManualClock();
    return ended(protocol, { clock }, async (_bench, client) => {
      await reply(client, protocol);
      await client.ask('hello', /./);
      for (let minutes = 0; minutes < 80; minutes += 5) await clock.advance(5 * 60_000);
      return client.line();
    });
  },
  'shutting down': (protocol) =>
    ended(protocol, { limits: { drainMs: 1 } }, async (bench, client) => {
      await reply(client, protocol);
      void bench.gateway.drain();
      return client.line();
    }),
};

async function ended(
  protocol: Protocol,
  options: Parameters<typeof startBench>[3],
  run: (bench: Bench, client: Client) => Promise<string>,
): Promise<string> {
  const provider = await fakeProvider(protocol, authority);
  const bench = await startBench(authority, [{ protocol }], [provider], options);
  try {
    const client = await bench.client();
    const line = await run(bench, client);
    if (line !== '<end>') assert.equal(await client.line(), '<end>');
    return line;
  } finally {
    await bench.close();
    await provider.close();
  }
}

for (const [what, ...expected] of endRows) {
  for (const [column, protocol] of PROTOCOLS.entries()) {
    test(`${protocol}: ${what}`, async () => {
      const run = endings[what!];
      assert.ok(run, `a way to “${what}”`);
      const got = await run(protocol);
      if (expected[column] === 'closed') assert.equal(got, '<end>');
      else assert.ok(got.startsWith(`${expected[column]} `), `${got} starts with ${expected[column]}`);
    });
  }
}

test('the page and this test know the same failures', () => {
  assert.deepEqual(Object.keys(causes).toSorted(), signInRows.map((row) => row[1]!).toSorted());
  assert.deepEqual(Object.keys(endings).toSorted(), endRows.map((row) => row[0]!).toSorted());
});
