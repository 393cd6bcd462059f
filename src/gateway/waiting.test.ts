/** Sending while the provider is away: no program may take that for a wrong password. */
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { type Certificates, certificates, fakeProvider } from '../../test/bed/fake-provider.ts';
import { startBench } from '../../test/bed/gateway.ts';
import type { Client } from '../../test/bed/line-client.ts';
import { without } from '../../test/bed/need.ts';
import { runProgram } from '../../test/bed/process.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { upstreamError } from '../upstream/errors.ts';

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

const AUTH = `AUTH PLAIN ${Buffer.from(`\0${ADDRESS}\0${PASSWORD}`).toString('base64')}`;
const REPLY = /^\d{3} |<end>/;
const REFUSED =
  /^450 4\.3\.0 not sent, send it again in a few minutes: the provider is away .*the app password is right/;
const away = () => upstreamError('gateway.provider-unreachable', 'the provider is away');

async function scene(t: TestContext, clock?: ManualClock) {
  const provider = await fakeProvider('smtp', authority);
  const bench = await startBench(authority, [{ protocol: 'smtp' }], [provider], clock === undefined ? {} : { clock });
  t.after(() => Promise.all([bench.close(), provider.close()]));
  bench.tokens.failure = away();
  return { bench, provider };
}

async function greeted(client: Client): Promise<Client> {
  assert.match(await client.line(), /^220/);
  await client.ask('EHLO me.example', /^250 /);
  return client;
}

test('F23: while the provider is away AUTH succeeds and MAIL is refused for now, until the provider is back', async (t) => {
  const clock = new ManualClock();
  const { bench, provider } = await scene(t, clock);
  const client = await greeted(await bench.client());
  assert.match(await client.ask(AUTH, REPLY), /^235 /);
  for (const command of [`MAIL FROM:<${ADDRESS}>`, 'RCPT TO:<bob@example.com>', 'DATA', 'VRFY bob'])
    assert.match(await client.ask(command, REPLY), REFUSED);
  // Sent without waiting, as CHUNKING allows: its octets are no commands.
  assert.match(await client.ask('BDAT 6 LAST\r\nQUIT\r\nNOOP', REPLY), REFUSED);
  assert.match(await client.line(), /^250 /);
  for (const command of ['RSET', 'NOOP', 'EHLO again']) assert.match(await client.ask(command, REPLY), /^250 /);
  assert.match(await client.ask(AUTH, REPLY), /^503 /);
  assert.equal(provider.accepted, 0);
  bench.tokens.failure = undefined;
  assert.match(await client.ask(`MAIL FROM:<${ADDRESS}>`, REPLY), REFUSED); // asked a moment ago
  await clock.advance(5_000);
  await client.send(`MAIL FROM:<${ADDRESS}>\r\nRCPT TO:<bob@example.com>`);
  assert.match(await client.line(), /^250 did MAIL/);
  assert.match(await client.line(), /^250 did RCPT/);
  assert.deepEqual(provider.lines, [`MAIL FROM:<${ADDRESS}>`, 'RCPT TO:<bob@example.com>']);
  assert.equal(bench.gateway.sessions, 1);
  assert.deepEqual(bench.meter.signIns, ['smtp failed gateway.provider-unreachable']);
});

test('F26: a program that asks its user something while it is connected has three minutes', async (t) => {
  const clock = new ManualClock();
  const { bench } = await scene(t, clock);
  const [prompt, late] = [await greeted(await bench.client()), await greeted(await bench.client())];
  await clock.advance(175_000);
  assert.match(await prompt.ask(AUTH, REPLY), /^235 /);
  await clock.advance(5_000);
  assert.match(await late.line(), /^421 4\.4\.2 .*no sign-in within the time allowed/);
});

test('F23: a wrong app password is still 535, and one that is revoked meanwhile ends the connection', async (t) => {
  const { bench } = await scene(t);
  const client = await greeted(await bench.client());
  bench.signIn.next.push({ type: 'refused', reason: 'unknown-password' });
  assert.match(await client.ask(AUTH, REPLY), /^535 /);
  assert.match(await client.ask(AUTH, REPLY), /^235 /);
  bench.signIn.revoke();
  assert.equal(await client.line(), '<end>');
});

test('F23: a connection that waits for the provider ends with the gateway', async (t) => {
  const { bench } = await scene(t);
  const client = await greeted(await bench.client());
  assert.match(await client.ask(AUTH, REPLY), /^235 /);
  const draining = bench.gateway.drain();
  assert.match(await client.line(), /^421 4\.3\.2 /);
  await draining;
});

test('F23: swaks and msmtp are told that it passes', { skip: without('swaks', 'msmtp') }, async (t) => {
  const { bench } = await scene(t);
  const { port } = bench.gateway.addresses[0]!;
  const swaks = await runProgram(
    'swaks',
    ['-s', `127.0.0.1:${port}`, '-f', ADDRESS, '-t', 'bob@example.com', '-a', 'PLAIN', '-au', ADDRESS, '-ap', PASSWORD],
    { accept: [23] }, // MAIL was refused; 28 would be AUTH
  );
  assert.match(swaks.stdout.toString(), /450 4\.3\.0 not sent, send it again in a few minutes: the provider is away/);
  const msmtp = await runProgram(
    'msmtp',
    [
      '--host=127.0.0.1',
      `--port=${port}`,
      '--auth=plain',
      `--user=${ADDRESS}`,
      `--passwordeval=echo ${PASSWORD}`,
      '--tls=off',
      `--from=${ADDRESS}`,
      'bob@example.com',
    ],
    { accept: [65, 68, 69, 75], input: 'Subject: x\n\nx\n' },
  );
  assert.match(msmtp.stderr, /450 4\.3\.0 not sent, send it again in a few minutes: the provider is away/);
  assert.doesNotMatch(msmtp.stderr, /authentication failed/i);
});

test('F34, A101: what a person has to do for mail that was not taken comes first, and nobody is told that Postern sends it', async (t) => {
  const { bench } = await scene(t);
  for (const [failure, said] of [
    [
      upstreamError('gateway.provider-unreachable', 'the provider of a@b is not available: it is busy', {
        hint: 'the app password is right; this passes by itself when it has time; wait; Postern tries again by itself; `postern check a@b` says more',
      }),
      '450 4.3.0 not sent, send it again in a few minutes: the provider of a@b is not available: it is busy (the app password is right; this passes by itself when it has time; `postern check a@b` says more)',
    ],
    [
      upstreamError('gateway.consent-needed', 'the consent for a@b has ended', {
        hint: 'the app password is right; this does not pass by itself; postern mailbox reconsent a@b; `postern check a@b` says more',
      }),
      '450 4.3.0 not sent; postern mailbox reconsent a@b, then send it again: the consent for a@b has ended (the app password is right; `postern check a@b` says more)',
    ],
    [
      upstreamError('gateway.misconfigured', 'it cannot be used: the assertion file /srv/secret/token cannot be read', {
        hint: 'the app password is right; this does not pass by itself; check the path and that this process may read it; `postern check a@b` says more',
      }),
      // A101: no path, and nothing that speaks against sending it again.
      '450 4.3.0 not sent; check the path and that this process may read it, then send it again: it cannot be used: the assertion file cannot be read (the app password is right; `postern check a@b` says more)',
    ],
  ] as const) {
    bench.tokens.failure = failure;
    const client = await greeted(await bench.client());
    assert.match(await client.ask(AUTH, REPLY), /^235 /);
    assert.equal(await client.ask(`MAIL FROM:<${ADDRESS}>`, REPLY), said);
  }
});
