/** IMAP sessions that go on with another program: when they do, when they must not, and that nothing of the first is left in them. */
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import { eventually } from '../../test/bed/eventually.ts';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { type Certificates, certificates, type FakeProvider, fakeProvider } from '../../test/bed/fake-provider.ts';
import { type Bench, startBench } from '../../test/bed/gateway.ts';
import type { Client } from '../../test/bed/line-client.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

interface Scene {
  readonly bench: Bench;
  readonly provider: FakeProvider;
  /** What the provider does not answer. */
  readonly mute: Set<string>;
  /** What it answers later. */
  readonly late: Map<string, Promise<void>>;
}

/** What it was sent; of our own tags only their beginning. */
function heard({ lines }: Pick<FakeProvider, 'lines'>): string[] {
  return lines.map((line) => line.replace(/^pstn-r[0-9a-f]{18}1 /, 'pstn-r '));
}

const OFFERED = ['IMAP4rev1', 'IDLE', 'ENABLE', 'CONDSTORE', 'UNSELECT', 'SEARCHRES', 'XFAIL'];

/** A server that takes every command but FAIL. */
async function scene(
  t: TestContext,
  options: Parameters<typeof startBench>[3] = {},
  capabilities: readonly string[] = OFFERED,
): Promise<Scene> {
  const mute = new Set<string>();
  const late = new Map<string, Promise<void>>();
  const provider = await fakeProvider('imap', authority, {
    capabilities,
    answer(line) {
      const [tag, verb = ''] = line.split(' ');
      if (mute.has(verb)) return '';
      if (verb === 'LOGOUT') return undefined;
      const wait = late.get(verb);
      if (wait !== undefined) return wait.then(() => `${tag} OK at last\r\n`);
      const untagged = /^(?:SELECT|EXAMINE)$/.test(verb)
        ? '* 1 EXISTS\r\n* OK [UIDVALIDITY 1] stays\r\n'
        : verb === 'ENABLE'
          ? '* ENABLED CONDSTORE\r\n'
          : '';
      return `${untagged}${tag} ${verb === 'FAIL' ? 'NO not today' : 'OK done'}\r\n`;
    },
  });
  const bench = await startBench(authority, [{}], [provider], options);
  t.after(async () => {
    await bench.close();
    await provider.close();
  });
  return { bench, provider, mute, late };
}

const LOGIN = `a LOGIN ${ADDRESS} ${PASSWORD}`;
const GOODBYE = ['* BYE signing off', 'z OK LOGOUT completed', '<end>'];

async function signedIn(bench: Bench): Promise<Client> {
  const client = await bench.client();
  await client.line();
  assert.match(await client.ask(LOGIN, /^a /), /^a OK/);
  return client;
}

async function leave(client: Client): Promise<string[]> {
  await client.send('z LOGOUT');
  return client.until(/^<end>/);
}

test('the next program goes on in the session that one has left, with nothing selected', async (t) => {
  const { bench, provider } = await scene(t);
  const first = await signedIn(bench);
  assert.match(await first.ask('b SELECT INBOX', /^b /), /^b OK/);
  assert.deepEqual(await leave(first), GOODBYE);
  await eventually(() => heard(provider).includes('pstn-r UNSELECT'));
  await eventually(() => bench.gateway.resting === 1);
  const second = await signedIn(bench);
  assert.match(await second.ask('c NOOP', /^c /), /^c OK/);
  assert.equal(provider.accepted, 1);
  assert.deepEqual(heard(provider), ['b SELECT INBOX', 'pstn-r UNSELECT', 'c NOOP']);
  assert.equal(bench.meter.reused, 1);
  assert.deepEqual(
    bench.audit.of('signin.upstream').map(({ data }) => data!['reused']),
    [undefined, true],
  );
  assert.deepEqual(
    bench.audit.of('session.ended').map(({ data }) => data!['reason']),
    ['client-closed'],
  );
  assert.equal(bench.gateway.sessions, 1);
});

test('LOGOUT sent together with LOGIN gives the session back as well', async (t) => {
  const { bench, provider } = await scene(t);
  for (let time = 0; time < 3; time++) {
    const client = await bench.client();
    await client.line();
    await client.send(LOGIN, 'z LOGOUT');
    const lines = await client.until(/^<end>/);
    assert.match(lines[0]!, /^a OK/);
    assert.deepEqual(lines.slice(1), GOODBYE);
    await eventually(() => bench.gateway.resting === 1);
  }
  assert.equal(provider.accepted, 1);
  assert.equal(bench.audit.of('session.ended').length, 3);
});

test('a program that hangs up right after LOGOUT leaves a good session behind', async (t) => {
  const { bench, provider } = await scene(t);
  const client = await signedIn(bench);
  await client.send('z LOGOUT');
  client.conn.socket.destroy();
  await eventually(() => bench.gateway.resting === 1);
  assert.match(await (await signedIn(bench)).ask('c NOOP', /^c /), /^c OK/);
  assert.equal(provider.accepted, 1);
});

const traces: Readonly<Record<string, readonly string[]>> = {
  'an extension turned on': ['b ENABLE CONDSTORE'],
  'a mailbox selected with CONDSTORE': ['b SELECT INBOX (CONDSTORE)', 'c UNSELECT'],
  'a search that tells MODSEQ': ['b SELECT INBOX', 'c SEARCH MODSEQ 1', 'd UNSELECT'],
  'a search result that was saved': ['b SELECT INBOX', 'c SEARCH RETURN (SAVE) ALL', 'd CLOSE'],
  'a command nobody knows': ['b XSTATE on'],
  'a line that is no command': ['??', 'b NOOP'],
  'no command that ever worked': ['b FAIL'],
};
for (const [name, lines] of Object.entries(traces))
  test(`not given to another: a session with ${name}`, async (t) => {
    const { bench, provider } = await scene(t);
    const client = await signedIn(bench);
    for (const line of lines) await client.ask(line, new RegExp(`^${line === '??' ? '\\?\\?' : line[0]!} `));
    await leave(client);
    await eventually(() => provider.open === 0);
    assert.ok(heard(provider).includes('z LOGOUT'), 'the provider is told');
    await signedIn(bench);
    assert.equal(provider.accepted, 2);
    assert.equal(bench.meter.reused, 0);
  });

test('not given to another: a session with a command under way', async (t) => {
  const { bench, provider, mute } = await scene(t);
  mute.add('FETCH');
  const client = await signedIn(bench);
  await client.send('b FETCH 1 ALL');
  await leave(client);
  await eventually(() => provider.open === 0);
  assert.deepEqual(heard(provider), ['b FETCH 1 ALL', 'z LOGOUT']);
});

test('a LOGOUT that had to wait for a command of ours goes to the provider', async (t) => {
  const clock = new ManualClock();
  const { bench, provider, late } = await scene(t, { clock });
  bench.tokens.expiresAt = clock.now() + 3_600_000;
  const { promise, resolve } = Promise.withResolvers<void>();
  late.set('FETCH', promise);
  const client = await signedIn(bench);
  await client.ask('b SELECT INBOX', /^b /);
  await clock.advance(2_000);
  await eventually(() => heard(provider).includes('pstn-1 FETCH 1:* (UID)'));
  await client.send('z LOGOUT');
  resolve();
  assert.deepEqual(await client.until(/^<end>/), ['* BYE bye', 'z OK bye', '<end>']);
  assert.equal(bench.gateway.resting, 0);
});

// RFC 9051 §6.4.2
test('a server without UNSELECT gets its session back only when nothing is selected', async (t) => {
  const { bench, provider } = await scene(t, {}, ['IMAP4rev1']);
  const selected = await signedIn(bench);
  await selected.ask('b SELECT INBOX', /^b /);
  await leave(selected);
  await eventually(() => provider.open === 0);
  assert.deepEqual(heard(provider), ['b SELECT INBOX', 'z LOGOUT']);
  const closed = await signedIn(bench);
  await closed.ask('b SELECT INBOX', /^b /);
  await closed.ask('c CLOSE', /^c /);
  await leave(closed);
  await eventually(() => bench.gateway.resting === 1);
  assert.deepEqual(heard(provider).slice(2), ['b SELECT INBOX', 'c CLOSE', 'pstn-r NOOP']);
});

test('a session whose server does not answer UNSELECT is given up', async (t) => {
  const clock = new ManualClock();
  const { bench, provider, mute } = await scene(t, { clock });
  bench.tokens.expiresAt = clock.now() + 3_600_000;
  mute.add('UNSELECT');
  const client = await signedIn(bench);
  await client.ask('b SELECT INBOX', /^b /);
  await leave(client);
  await eventually(() => heard(provider).includes('pstn-r UNSELECT'));
  await clock.advance(3_000);
  await eventually(() => heard(provider).includes('pstn-r LOGOUT'));
  assert.equal(bench.gateway.resting, 0);
  await eventually(() => provider.open === 0);
});

test('a mailbox that is closed while its session is being left keeps none', async (t) => {
  const { bench, provider, late } = await scene(t);
  let answer = (): void => undefined;
  late.set('UNSELECT', new Promise<void>((resolve) => (answer = resolve)));
  const client = await signedIn(bench);
  await client.ask('b SELECT INBOX', /^b /);
  assert.deepEqual(await leave(client), GOODBYE);
  await eventually(() => heard(provider).includes('pstn-r UNSELECT'));
  bench.signIn.closeMailbox();
  answer();
  await eventually(() => provider.open === 0);
  assert.equal(bench.gateway.resting, 0);
  assert.equal(heard(provider).at(-1), 'pstn-r LOGOUT');
});

test('a session that the server ends while nobody is in it is forgotten', async (t) => {
  const { bench, provider } = await scene(t);
  await leave(await signedIn(bench));
  await eventually(() => bench.gateway.resting === 1);
  provider.crash();
  await eventually(() => bench.gateway.resting === 0);
  assert.match(await (await signedIn(bench)).ask('c NOOP', /^c /), /^c OK/);
  assert.equal(provider.accepted, 2);
});

test('one that has rested is asked first; one that does not answer is replaced by a fresh one', async (t) => {
  const clock = new ManualClock();
  const { bench, provider, mute } = await scene(t, { clock });
  bench.tokens.expiresAt = clock.now() + 3_600_000;
  await leave(await signedIn(bench));
  await eventually(() => bench.gateway.resting === 1);
  await clock.advance(60_000);
  await leave(await signedIn(bench));
  assert.deepEqual(heard(provider), ['pstn-r NOOP']);
  await eventually(() => bench.gateway.resting === 1);
  await clock.advance(60_000);
  mute.add('NOOP');
  const client = await bench.client();
  await client.line();
  await client.send(LOGIN);
  await eventually(() => heard(provider).length === 2);
  await clock.advance(3_000);
  assert.match((await client.until(/^a /)).at(-1)!, /^a OK/);
  assert.equal(provider.accepted, 2);
  assert.equal(bench.meter.reused, 1);
});

test('no session outlasts its time, its token, its mailbox or the gateway', async (t) => {
  const clock = new ManualClock();
  const { bench, provider } = await scene(t, { clock });
  bench.tokens.expiresAt = clock.now() + 3_600_000;
  const rest = async (): Promise<void> => {
    await leave(await signedIn(bench));
    await eventually(() => bench.gateway.resting === 1);
  };
  await rest();
  await clock.advance(90_000);
  await eventually(() => provider.open === 0 && bench.gateway.resting === 0);
  assert.deepEqual(heard(provider), ['pstn-r LOGOUT']);

  await rest();
  bench.tokens.expiresAt += 1;
  await signedIn(bench);
  await eventually(() => provider.open === 1);
  assert.deepEqual(
    heard(provider),
    ['pstn-r LOGOUT', 'pstn-r LOGOUT'],
    'a renewed token is not what that session was opened with',
  );

  await rest();
  bench.signIn.closeMailbox();
  await eventually(() => provider.open === 0 && bench.gateway.resting === 0);

  bench.tokens.expiresAt = clock.now() + 59_000;
  await leave(await signedIn(bench));
  await eventually(() => provider.open === 0);
  assert.equal(bench.gateway.resting, 0, 'its token is about to end');

  bench.tokens.expiresAt = clock.now() + 3_600_000;
  await rest();
  await bench.gateway.drain();
  await eventually(() => provider.open === 0);
});

test('a session is not reused by another user of the provider, nor at another server', async (t) => {
  const { bench, provider } = await scene(t);
  const endpoint = bench.tokens.endpoints.imap!;
  await leave(await signedIn(bench));
  await eventually(() => bench.gateway.resting === 1);
  bench.tokens.endpoints.imap = { ...endpoint, user: 'shared@contoso.test' };
  const client = await signedIn(bench);
  await eventually(() => provider.open === 1);
  assert.equal(provider.accepted, 2);
  assert.equal(bench.meter.reused, 0);

  await leave(client);
  await eventually(() => bench.gateway.resting === 1);
  const other = await fakeProvider('imap', authority, { capabilities: OFFERED });
  t.after(() => other.close());
  bench.tokens.endpoints.imap = { ...other.endpoint, user: 'shared@contoso.test' };
  await signedIn(bench);
  assert.equal(other.accepted, 1);
  await eventually(() => provider.open === 0);
});

test('eight of a mailbox rest at most, and none where that is turned off', async (t) => {
  const { bench, provider } = await scene(t);
  const clients = await Promise.all(Array.from({ length: 10 }, () => signedIn(bench)));
  await Promise.all(clients.map(leave));
  await eventually(() => provider.open === 8);
  assert.equal(bench.gateway.resting, 8);
  await Promise.all(Array.from({ length: 9 }, () => signedIn(bench)));
  assert.equal(provider.accepted, 11);

  const off = await scene(t, { limits: { reuseMs: 0 } });
  await leave(await signedIn(off.bench));
  await eventually(() => off.provider.open === 0);
  assert.deepEqual(heard(off.provider), ['z LOGOUT']);
});
