/** What happens to sessions: limits, revocation, failures of either side, drain, certificate reload, hostile input, load. */
import type { Refusal } from '../access/types.ts';
import { REFUSAL_NEXT } from './verdict.ts';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { before, test, type TestContext } from 'node:test';
import { eventually } from '../../test/bed/eventually.ts';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { type Certificates, certificates, type FakeProvider, fakeProvider } from '../../test/bed/fake-provider.ts';
import { type Bench, startBench } from '../../test/bed/gateway.ts';
import type { Client } from '../../test/bed/line-client.ts';
import type { ListenerConfig } from './types.ts';

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

interface Scene {
  readonly bench: Bench;
  readonly provider: FakeProvider;
}

async function scene(
  t: TestContext,
  listener: Partial<ListenerConfig> = {},
  options: Parameters<typeof startBench>[3] = {},
): Promise<Scene> {
  const provider = await fakeProvider(listener.protocol ?? 'imap', authority);
  const bench = await startBench(authority, [listener], [provider], options);
  t.after(async () => {
    await bench.close();
    await provider.close();
  });
  return { bench, provider };
}

const LOGIN = `a LOGIN ${ADDRESS} ${PASSWORD}`;

async function signedIn(bench: Bench): Promise<Client> {
  const client = await bench.client();
  await client.line();
  assert.match(await client.ask(LOGIN, /^a /), /^a OK/);
  return client;
}

/** Lets pending I/O happen until the condition holds; the test's own time limit ends it otherwise. */
test('a provider that refuses every token costs one renewal, however often programs try', async (t) => {
  const { bench, provider } = await scene(t);
  provider.good.clear();
  const client = await bench.client();
  await client.line();
  for (let i = 0; i < 3; i++) assert.match(await client.ask(LOGIN, /^a /), /^a NO \[CONTACTADMIN\]/);
  assert.deepEqual(provider.tokens, ['token-1', 'token-2', 'token-2', 'token-2']);
  assert.deepEqual(bench.meter.signIns, Array(3).fill('imap failed sasl.refused'));
  assert.deepEqual(
    bench.audit.of('signin.upstream').map(({ outcome, data }) => `${outcome} ${String(data!['code'])}`),
    Array(3).fill('failed sasl.refused'),
  );
  await eventually(() => provider.open === 0);
});

test('slowed sign-ins wait and leave their trace', async (t) => {
  const { bench, provider } = await scene(t);
  bench.signIn.next.push({ type: 'slow-down', retryAt: 0, waitMs: 20 });
  const client = await bench.client();
  await client.line();
  const start = performance.now();
  assert.match(await client.ask(LOGIN, /^a /), /^a NO \[LIMIT\]/);
  assert.ok(performance.now() - start >= 19);
  assert.equal(provider.accepted, 0);
  assert.deepEqual(bench.meter.signIns, ['imap slowed gateway.slowed']);
  const { level, fields } = bench.log.find(({ message }) => message === 'sign-in refused')!;
  assert.equal(level, 'warn');
  assert.equal(fields['remoteAddress'], '127.0.0.1');
  assert.equal(fields['reason'], 'slow-down');
});

for (const [reason, next] of Object.entries(REFUSAL_NEXT))
  test(`P68, T3: the log line of a sign-in refused for ${reason} says what to do next, and the program is not told`, async (t) => {
    const { bench } = await scene(t);
    const slow = { type: 'slow-down', retryAt: 0, waitMs: 1 } as const;
    const appPassword = { id: 'apw_1', label: 'scanner' };
    bench.signIn.next.push(reason === 'slow-down' ? slow : { type: 'refused', reason: reason as Refusal, appPassword });
    const client = await bench.client();
    await client.line();
    const answer = await client.ask(LOGIN, /^a /);
    assert.ok(!answer.includes(next), answer);
    const { fields } = bench.log.find(({ message }) => message === 'sign-in refused')!;
    assert.equal(fields['hint'], next.replace('ADDRESS', String(fields['user'])));
    if (reason !== 'slow-down') assert.deepEqual([fields['appPasswordId'], fields['label']], ['apw_1', 'scanner']);
    // packaging/fail2ban reads the reason at the end.
    assert.equal(Object.keys(fields).at(-1), 'reason');
  });

test('revocation cuts the sessions of that app password on both sides', async (t) => {
  const { bench, provider } = await scene(t);
  const clients = await Promise.all([signedIn(bench), signedIn(bench)]);
  assert.equal(bench.gateway.sessions, 2);
  bench.signIn.revoke();
  for (const client of clients)
    assert.deepEqual(await client.until(/<end>/), ['* BYE this app password is no longer valid', '<end>']);
  await eventually(() => provider.open === 0);
  assert.equal(bench.gateway.sessions, 0);
  assert.deepEqual(
    bench.audit.of('session.ended').map(({ data }) => data!['reason']),
    ['cut', 'cut'],
  );
});

test('closing a mailbox cuts its sessions, and is no wrong password to one that is signing in', async (t) => {
  const { bench, provider } = await scene(t);
  const client = await signedIn(bench);
  bench.signIn.closeMailbox();
  assert.deepEqual(await client.until(/<end>/), [
    '* BYE this mailbox was closed; ask the person who runs this gateway',
    '<end>',
  ]);
  await eventually(() => provider.open === 0);
  provider.silent = true;
  const late = await bench.client();
  await late.line();
  await late.send(LOGIN);
  await eventually(() => provider.accepted === 2);
  bench.signIn.closeMailbox();
  assert.match((await late.until(/^a |<end>/)).join('\n'), /a NO \[CONTACTADMIN\] the mailbox was closed/);
  await eventually(() => provider.open === 0);
});

test('a suspended mailbox takes no mail for the outbox either', async (t) => {
  const serve = (): Promise<never> => assert.fail('not reached');
  const submission = { takes: () => true, extensions: () => Promise.resolve(undefined), serve };
  const { bench, provider } = await scene(t, { protocol: 'smtp' }, { deps: { submission } });
  bench.signIn.reason = 'on leave';
  const client = await bench.client();
  await client.line();
  const plain = Buffer.from(`\0${ADDRESS}\0${PASSWORD}`).toString('base64');
  await client.ask('EHLO me.example', /^250 /);
  assert.match(await client.ask(`AUTH PLAIN ${plain}`, /^\d/), /^235 /);
  assert.match(await client.ask('MAIL FROM:<>', /^\d/), /^450 4\.3\.0 .*the mailbox was closed: on leave/);
  assert.equal(provider.accepted, 0);
});

test('revocation during the sign-in at the provider is a wrong password', async (t) => {
  const { bench, provider } = await scene(t);
  provider.silent = true;
  const client = await bench.client();
  await client.line();
  await client.send(LOGIN);
  await eventually(() => provider.accepted === 1);
  bench.signIn.revoke();
  assert.match((await client.until(/^a |<end>/)).join('\n'), /a NO \[AUTHENTICATIONFAILED\]/);
  await eventually(() => provider.open === 0);
});

test('a program that hangs up during its sign-in leaves nothing open', async (t) => {
  const { bench, provider } = await scene(t);
  provider.silent = true;
  const client = await bench.client();
  await client.line();
  await client.send(LOGIN);
  await eventually(() => provider.accepted === 1);
  client.conn.socket.resetAndDestroy();
  await eventually(() => provider.open === 0 && bench.meter.closed === 1);
  assert.equal(bench.audit.of('session.ended').length, 0);
});

test('a provider that dies ends POP3 sessions, and the gateway goes on', async (t) => {
  const { bench, provider } = await scene(t, { protocol: 'pop3' });
  const client = await bench.client();
  await client.line();
  await client.ask(`USER ${ADDRESS}`, /./);
  assert.match(await client.ask(`PASS ${PASSWORD}`, /./), /^\+OK/);
  const ended = bench.audit.next('session.ended');
  provider.crash();
  assert.equal(await client.line().catch(() => '<end>'), '<end>');
  await ended;
  const other = await bench.client();
  await other.line();
  await other.ask(`USER ${ADDRESS}`, /./);
  assert.match(await other.ask(`PASS ${PASSWORD}`, /./), /^\+OK/);
});

test('a provider that dies does not end an IMAP session', async (t) => {
  const { bench, provider } = await scene(t);
  const client = await signedIn(bench);
  provider.crash();
  await eventually(() => provider.open === 0);
  assert.equal(await client.ask('b NOOP', /./), 'b OK did NOOP');
  assert.equal(provider.accepted, 2);
  const [moved] = bench.audit.of('session.moved');
  assert.equal(moved!.data!['cause'], 'server-gone');
  assert.equal(bench.audit.of('session.ended').length, 0);
});

test('a mailbox that was removed is not signed in to again', async (t) => {
  const { bench, provider } = await scene(t);
  const client = await signedIn(bench);
  bench.signIn.current = undefined;
  provider.crash();
  await eventually(() => provider.open === 0);
  await client.send('b NOOP');
  assert.match((await client.until(/<end>/)).join('\n'), /^\* BYE alice@contoso\.test is not set up for imap any more/);
  assert.equal(provider.accepted, 1);
});

test('without its provider an IMAP session ends with the reason', async (t) => {
  const { bench, provider } = await scene(t);
  const client = await signedIn(bench);
  provider.good.clear();
  provider.crash();
  await eventually(() => provider.open === 0);
  await client.send('b NOOP');
  assert.match((await client.until(/<end>/)).join('\n'), /^\* BYE the provider does not let alice@contoso\.test in/);
  assert.equal(bench.audit.of('session.ended').length, 1);
});

test('a program that ends its side still gets the last replies', async (t) => {
  const { bench } = await scene(t);
  const client = await bench.client();
  await client.line();
  client.conn.socket.end(`${LOGIN}\r\nb NOOP\r\n`);
  const lines = await client.until(/<end>/);
  assert.match(lines[0]!, /^a OK/);
  assert.deepEqual(lines.slice(1), ['b OK did NOOP', '<end>']);
  await eventually(() => bench.audit.of('session.ended').length === 1);
});

test('connections beyond the limits are refused in the protocol’s words, also over TLS', async (t) => {
  const { bench } = await scene(t, { tls: 'implicit' }, { limits: { maxConnectionsPerAddress: 1 } });
  const first = await signedIn(bench);
  const second = await bench.client();
  assert.match(await second.line(), /^\* BYE \[LIMIT\]/);
  assert.equal(await second.line(), '<end>');
  assert.deepEqual(bench.meter.limits, ['connections-per-address']);
  first.destroy();
  await eventually(() => bench.meter.closed === 1);
  assert.match(await (await bench.client()).line(), /^\* OK/);
});

// RFC 9051 §7.1.5
test('W10: drain refuses new connections, ends idle sessions at once, lets work under way end, then says goodbye', async (t) => {
  const { bench } = await scene(t, {}, { limits: { drainMs: 60_000 } });
  const idle = await signedIn(bench);
  const busy = await signedIn(bench);
  busy.conn.socket.write('b NO'); // a command under way
  const waiting = await bench.client();
  await waiting.line();
  let drained = false;
  const draining = bench.gateway.drain().then(() => (drained = true));
  assert.deepEqual(await waiting.until(/<end>/), ['* BYE [UNAVAILABLE] the server is shutting down', '<end>']);
  const { port } = bench.gateway.addresses[0]!;
  const late = connect(port, '127.0.0.1');
  await assert.rejects(once(late, 'connect'), { code: 'ECONNREFUSED' });
  assert.deepEqual(await idle.until(/<end>/), ['* BYE [UNAVAILABLE] the server is shutting down', '<end>']);
  assert.equal(drained, false);
  assert.equal(await busy.ask('OP', /./), 'b OK did NOOP');
  // At the latest when its work is done.
  await busy.until(/<end>/);
  await draining;
  assert.equal(bench.meter.opened, bench.meter.closed);
});

test('a new certificate serves new connections, a broken one is ignored, open sessions stay', async (t) => {
  const { bench } = await scene(t, { tls: 'implicit' });
  const serial = (client: Client): string => (client.conn.socket as TLSSocket).getPeerCertificate().serialNumber;
  const before = await signedIn(bench);
  bench.replaceCertificate(await authority.issue());
  const after = await signedIn(bench);
  assert.notEqual(serial(after), serial(before));
  bench.replaceCertificate({ cert: 'nonsense', key: 'nonsense' });
  assert.equal(serial(await signedIn(bench)), serial(after));
  assert.ok(bench.log.some(({ level, message }) => level === 'error' && message.includes('the old one stays')));
  assert.equal(await before.ask('b NOOP', /./), 'b OK did NOOP');
});

const HOSTILE: readonly (readonly [string, (write: (data: string | Buffer) => void) => void])[] = [
  ['an endless line', (write) => write(Buffer.alloc(1 << 20, 'x'))],
  ['HTTP', (write) => write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  ['a huge literal', (write) => write(`a LOGIN {99999999}\r\n`)],
  ['a huge literal+', (write) => write(`a LOGIN {99999999+}\r\n${'x'.repeat(70_000)}`)],
  ['bare newlines', (write) => write('a NOOP\nb NOOP\n')],
  ['invalid base64', (write) => write('a AUTHENTICATE PLAIN !!!!\r\n')],
  ['bytes that are no text', (write) => write(Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0d, 0x0a]))],
  ['a TLS handshake on a plain port', (write) => write(Buffer.from('160301020001', 'hex'))],
  ['STARTTLS injection', (write) => write(`a STARTTLS\r\n${LOGIN}\r\n`)],
  ['commands in the wrong state', (write) => write('a SELECT INBOX\r\nb FETCH 1 BODY[]\r\n')],
];

test('hostile input ends in a protocol reply, and other sessions do not notice', async (t) => {
  const { bench, provider } = await scene(t, {}, { limits: { signInMs: 400 } });
  const bystander = await signedIn(bench);
  const unhandled: unknown[] = [];
  const listen = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', listen);
  t.after(() => process.off('unhandledRejection', listen));
  for (const [name, attack] of HOSTILE) {
    const socket = connect(bench.gateway.addresses[0]!.port, '127.0.0.1');
    let heard = '';
    socket.on('data', (bytes) => (heard += bytes.toString('latin1'))).on('error', () => undefined);
    await once(socket, 'connect');
    attack((data) => void socket.write(data));
    await eventually(() => heard.split('\r\n').length > 2 || socket.destroyed);
    assert.match(heard, /^\* OK/, name);
    assert.equal(await bystander.ask('n NOOP', /./), 'n OK did NOOP', name);
    socket.destroy();
  }
  await eventually(() => bench.gateway.sessions === 1 && bench.meter.closed === HOSTILE.length);
  assert.equal(provider.accepted, 1);
  assert.deepEqual(unhandled, []);
  assert.deepEqual(
    bench.log.filter(({ level }) => level === 'error'),
    [],
  );
});

test('a drip of single bytes is cut when the time to sign in is over', async (t) => {
  const { bench } = await scene(t, {}, { limits: { signInMs: 100 } });
  const client = await bench.client();
  await client.line();
  const drip = setInterval(() => void client.conn.write('x').catch(() => undefined), 10);
  t.after(() => clearInterval(drip));
  assert.deepEqual(await client.until(/<end>/), ['* BYE no sign-in within the time allowed', '<end>']);
});

test('a TLS port closes on those who do not speak TLS', async (t) => {
  const { bench } = await scene(t, { tls: 'implicit' });
  const socket = connect(bench.gateway.addresses[0]!.port, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  socket.write('a NOOP\r\n');
  await once(socket, 'close');
  await eventually(() => bench.meter.closed === 1);
});

test('200 programs at once get in and are heard', async (t) => {
  const { bench, provider } = await scene(t, { tls: 'implicit' });
  const clients = await Promise.all(Array.from({ length: 200 }, () => signedIn(bench)));
  assert.equal(bench.gateway.sessions, 200);
  const answers = await Promise.all(clients.map((client, i) => client.ask(`n${i} NOOP`, /./)));
  assert.deepEqual(
    answers,
    clients.map((_, i) => `n${i} OK did NOOP`),
  );
  for (const client of clients) client.destroy();
  await eventually(() => provider.open === 0 && bench.meter.closed === 200);
  assert.equal(bench.audit.of('session.ended').length, 200);
  assert.equal(bench.gateway.sessions, 0);
});
