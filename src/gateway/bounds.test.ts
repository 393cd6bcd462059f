/** What strangers can make a gateway hold, and how it says no: places before sign-in, octets, old TLS, a database that is away. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, test, type TestContext } from 'node:test';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { connect as connectTcp } from 'node:net';
import { eventually } from '../../test/bed/eventually.ts';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { type Certificates, certificates, fakeProvider } from '../../test/bed/fake-provider.ts';
import { type Bench, startBench } from '../../test/bed/gateway.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { PosternError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { Budget } from '../protocol/wire/budget.ts';
import type { Protocol } from '../store/protocols.ts';

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

async function scene(
  t: TestContext,
  listener: Parameters<typeof startBench>[1][number] = {},
  options: Parameters<typeof startBench>[3] = {},
): Promise<Bench> {
  const provider = await fakeProvider(listener.protocol ?? 'imap', authority, { tls: 'implicit' });
  t.after(() => provider.close());
  const bench = await startBench(authority, [listener], [provider], options);
  t.after(() => bench.close());
  return bench;
}

const GONE: Readonly<Record<Protocol, RegExp>> = {
  imap: /^\* BYE \[LIMIT\] too many connections from this address/,
  pop3: /^<end>$/, // RFC 1939 §3: a server does not speak unasked
  smtp: /^421 4\.7\.0 gate\.example too many connections from this address/,
};
const SIGN_IN: Readonly<Record<Protocol, readonly [string, RegExp]>> = {
  imap: [`a LOGIN ${ADDRESS} ${PASSWORD}`, /^a OK/],
  pop3: [`AUTH PLAIN ${Buffer.from(`\0${ADDRESS}\0${PASSWORD}`).toString('base64')}`, /^\+OK/],
  smtp: [`AUTH PLAIN ${Buffer.from(`\0${ADDRESS}\0${PASSWORD}`).toString('base64')}`, /^235/],
};

for (const protocol of ['imap', 'pop3', 'smtp'] as const)
  test(`S13: ${protocol}: of those who do not sign in the oldest makes room, and who does sign in is not kept out`, async (t) => {
    const bench = await scene(t, { protocol }, { limits: { maxWaitingPerAddress: 5 } });
    // One after the other: who has connected first need not have been accepted first.
    const silent: Awaited<ReturnType<Bench['client']>>[] = [];
    for (let at = 0; at < 5; at++) {
      const client = await bench.client();
      silent.push(client);
      await client.line();
    }
    const inside = await bench.client();
    await inside.line();
    assert.match((await silent[0]!.until(/^(?:\* BYE|421|<end>)/)).at(-1)!, GONE[protocol]);
    assert.match(await inside.ask(...SIGN_IN[protocol]), SIGN_IN[protocol][1]);
    for (let at = 0; at < 20; at++) await (await bench.client()).line();
    assert.match(await inside.ask(protocol === 'imap' ? 'b NOOP' : 'NOOP', /./), /did NOOP/);
    assert.ok(bench.meter.limits.every((limit) => limit === 'waiting'));
    assert.equal(bench.log.filter(({ level }) => level === 'warn').length, 1, 'said once a minute, not each time');
  });

const UNFINISHED: Readonly<Record<Protocol, readonly [string, RegExp]>> = {
  imap: [`a LOGIN {16000+}\r\n${'x'.repeat(15_900)}`, /^\* BYE \[UNAVAILABLE\] .*try again later/],
  pop3: [`USER ${'x'.repeat(15_900)}`, /^-ERR \[SYS\/TEMP\] .*try again later/],
  smtp: [`AUTH PLAIN ${'x'.repeat(15_900)}`, /^421 4\.3\.2 gate\.example .*try again later/],
};

for (const protocol of ['imap', 'pop3', 'smtp'] as const)
  test(`S4: ${protocol}: what is unfinished before sign-in is bounded in all, and refused in the protocol's words`, async (t) => {
    // An eighth of it for one address: room for eight of these.
    const budget = new Budget({ octets: 8 * 8 * 12_000 });
    const bench = await scene(t, { protocol }, { deps: { budget } });
    const [octets, refusal] = UNFINISHED[protocol];
    let refused = 0;
    for (let at = 0; at < 40; at++) {
      const client = await bench.client();
      await client.line();
      await client.conn.write(octets);
      // The answer to the one after it has come: this one's octets are there.
      const other = await bench.client();
      await other.line();
      assert.match(await other.ask(...SIGN_IN[protocol]), SIGN_IN[protocol][1]);
      other.destroy();
      assert.ok(budget.held <= budget.octets / 8 + 64 * 1024, `${budget.held} octets are held`);
      refused = bench.meter.limits.length;
      if (refused > 0) {
        assert.match((await client.until(/^(?:\* BYE|-ERR|421|<end>)/)).at(-1)!, refusal);
        break;
      }
    }
    assert.equal(refused, 1);
    assert.deepEqual(bench.meter.limits, ['octets']);
  });

test('B12: a long line before sign-in counts against the budget as it comes, also in small pieces', async (t) => {
  const budget = new Budget({ octets: 1024 * 1024 });
  const bench = await scene(t, {}, { deps: { budget } });
  const clients = [];
  for (let at = 0; at < 8; at++) {
    const client = await bench.client();
    clients.push(client);
    await client.line();
    await client.conn.write(`a ID ("name" "${'x'.repeat(100)}`);
    for (let octets = 0; octets < 50_000; octets += 1000)
      await client.conn.write('x'.repeat(1000)).catch(() => undefined);
    await eventually(() => bench.meter.limits.length > 0 || budget.held > (at + 1) * 46_000);
    assert.ok(budget.held <= budget.octets / 8 + 64 * 1024, `${budget.held} octets are held`);
  }
  assert.ok(bench.meter.limits.length > 0, 'one address has an eighth');
  assert.ok(bench.meter.limits.every((limit) => limit === 'octets'));
  assert.match((await clients.at(-1)!.until(/^(?:\* BYE|<end>)/)).at(-1)!, UNFINISHED.imap[1]);
});

const EMPTY: Readonly<Record<Protocol, readonly [string, RegExp]>> = {
  imap: [`a LOGIN ${ADDRESS} ""`, /^a NO \[AUTHENTICATIONFAILED\]/],
  pop3: [`USER ${ADDRESS}\r\nPASS `, /^-ERR \[AUTH\]/],
  smtp: [`AUTH PLAIN ${Buffer.from(`\0${ADDRESS}\0`).toString('base64')}`, /^535 5\.7\.8/],
};

for (const protocol of ['imap', 'pop3', 'smtp'] as const)
  test(`B8: ${protocol}: an empty password is refused, counted, logged and in the audit log, as any other wrong one`, async (t) => {
    const bench = await scene(t, { protocol });
    const client = await bench.client();
    await client.line();
    const [command, refusal] = EMPTY[protocol];
    assert.match(await client.ask(command, /^(?:a |-ERR|5)/), refusal);
    assert.deepEqual(bench.meter.signIns, [`${protocol} refused gateway.wrong-password`]);
    assert.deepEqual(
      bench.audit.of('signin.local').map(({ outcome, data }) => [outcome, data!['reason']]),
      [['failed', 'unknown-password']],
    );
    const { fields } = bench.log.find(({ message }) => message === 'sign-in refused')!;
    assert.deepEqual([fields['user'], fields['remoteAddress']], [ADDRESS, '127.0.0.1']);
  });

test('A7: what is unfinished in sessions that are signed in counts: reading pauses, then those end who stood still', async (t) => {
  const clock = new ManualClock();
  const budget = new Budget({ octets: 1024 * 1024, clock });
  const bench = await scene(t, {}, { deps: { budget } });
  const join = async () => {
    const client = await bench.client();
    await client.line();
    assert.match(await client.ask(...SIGN_IN.imap), SIGN_IN.imap[1]);
    return client;
  };
  const resting = await join();
  const unfinished = await Promise.all(Array.from({ length: 18 }, join));
  const ended = unfinished.map((client) => client.until(/^<end>$/));
  for (const client of unfinished)
    client.conn.write(`b SEARCH SUBJECT "${'x'.repeat(1_040_000)}`).catch(() => undefined);
  await eventually(() => budget.held > budget.octets);
  // What one chunk brings makes memory double: that is all that comes on top.
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(budget.held < 6 * budget.octets, `${budget.held} octets are held`);
  await clock.advance(29_000);
  assert.match(await resting.ask('c NOOP', /./), /did NOOP/);
  assert.equal(bench.audit.of('session.ended').length, 0);
  await clock.advance(2000);
  await Promise.any(ended);
  await eventually(() => budget.held <= budget.octets);
  assert.match(await resting.ask('d NOOP', /./), /did NOOP/);
  for (const client of unfinished) client.destroy();
  await eventually(() => budget.held === 0);
});

test('S4: what was held is given back when the connection ends', async (t) => {
  const budget = new Budget();
  const bench = await scene(t, {}, { deps: { budget } });
  const client = await bench.client();
  await client.line();
  await client.conn.write(UNFINISHED.imap[0]);
  await eventually(() => budget.held > 8000);
  client.destroy();
  await eventually(() => budget.held === 0);
});

test('B1: OAuth mechanisms are offered to programs only where a listener says so', async (t) => {
  for (const oauth of [false, true]) {
    const imap = await scene(t, { oauth });
    assert.equal((await (await imap.client()).line()).includes('AUTH=XOAUTH2'), oauth);
    const pop3 = await scene(t, { protocol: 'pop3', oauth });
    const maildrop = await pop3.client();
    await maildrop.line();
    await maildrop.send('CAPA');
    assert.equal(
      (await maildrop.until(/^\.$/)).some((line) => line.includes('XOAUTH2')),
      oauth,
    );
    const smtp = await scene(t, { protocol: 'smtp', oauth });
    const sender = await smtp.client();
    await sender.line();
    await sender.send('EHLO x');
    assert.equal(
      (await sender.until(/^250 /)).some((line) => line.includes('OAUTHBEARER')),
      oauth,
    );
  }
  const bench = await scene(t);
  const program = await bench.client();
  await program.line();
  assert.match(await program.ask('a AUTHENTICATE XOAUTH2', /^a /), /^a NO \[CANNOT\]/);
});

/** Connects as a program that can do no more than this. */
async function handshake(port: number, options: ConnectionOptions): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: authority.ca, ...options });
  return once(socket, 'secureConnect').then(
    () => {
      socket.destroy();
      return 'secured';
    },
    (error: Error) => error.message,
  );
}

test('B16: a program with old TLS is one counted, visible line: who, what it offered, what to do', async (t) => {
  const bench = await scene(t, { tls: 'implicit' });
  const { port } = bench.gateway.addresses[0]!;
  for (const version of ['TLSv1', 'TLSv1.1', 'TLSv1.1'] as const)
    await handshake(port, { minVersion: version, maxVersion: version, ciphers: 'DEFAULT:@SECLEVEL=0' });
  await eventually(() => bench.meter.handshakes.length === 3);
  assert.deepEqual(bench.meter.handshakes, ['imap old-version', 'imap old-version', 'imap old-version']);
  const lines = bench.log.filter(({ level }) => level === 'warn');
  assert.equal(lines.length, 1);
  const { fields, message } = lines[0]!;
  assert.match(message, /no TLS newer than TLS 1\.0/);
  assert.deepEqual([fields['remoteAddress'], fields['offered'], fields['protocol']], ['127.0.0.1', 'TLS 1.0', 'imap']);
  assert.match(String(fields['hint']), /firmware/);
});

test('B16: what speaks no TLS at all is counted, and told which setting it needs', async (t) => {
  const bench = await scene(t, { tls: 'implicit' });
  const plain = connectTcp(bench.gateway.addresses[0]!.port, '127.0.0.1');
  plain.write('a1 CAPABILITY\r\n');
  await eventually(() => bench.meter.handshakes.length === 1);
  plain.destroy();
  assert.deepEqual(bench.meter.handshakes, ['imap not-tls']);
  const [line] = bench.log.filter(({ level }) => level === 'warn');
  assert.match(String(line?.fields['hint']), /SSL\/TLS/);
});

const away = (): Promise<never> =>
  Promise.reject(new PosternError('store.unavailable', { kind: 'later', hint: 'try again' }, 'the database is away'));

test('L14: EHLO and CAPA do not need the database, and AUTH says that it passes', async (t) => {
  const smtp = await scene(
    t,
    { protocol: 'smtp' },
    { deps: { endpoints: away, submission: { takes: () => true, extensions: away, serve: away } } },
  );
  const client = await smtp.client();
  assert.match(await client.line(), /^220/);
  assert.match(await client.ask('EHLO x', /^(?:250 |4)/), /^250 /);
  smtp.signIn.next.push(new PosternError('store.unavailable', { kind: 'later', hint: 'try again' }, 'away'));
  assert.match(await client.ask(SIGN_IN.smtp[0], /^\d/), /^454 4\.7\.0/);
  const pop3 = await scene(t, { protocol: 'pop3' }, { deps: { endpoints: away } });
  const maildrop = await pop3.client();
  await maildrop.line();
  assert.match(await maildrop.ask('CAPA', /./), /^\+OK/);
});

test('L14: what cannot be looked up in the middle of a sign-in ends it with words that say that it passes', async (t) => {
  for (const [protocol, words] of [
    ['smtp', /^421 4\.3\.2 gate\.example .*try again later/],
    ['imap', /^\* BYE \[UNAVAILABLE\] .*try again later/],
  ] as const) {
    const bench = await scene(t, { protocol });
    const accepted = await bench.signIn.verify({
      user: ADDRESS,
      password: new Secret(PASSWORD),
      protocol,
      remoteAddress: '127.0.0.1',
    });
    assert.equal(accepted.type, 'accepted');
    if (accepted.type !== 'accepted') return;
    // Suspended in memory; whether it still is has to be looked up.
    bench.signIn.next.push({ ...accepted, mailbox: { ...accepted.mailbox, suspended: { since: 0, reason: 'x' } } });
    bench.signIn.mailbox = away;
    const client = await bench.client();
    await client.line();
    assert.match(await client.ask(SIGN_IN[protocol][0], /^(?:\* BYE|a |\d)/), words);
  }
});

/** Waits a bounded time for something to become true. */
