/** Another server as a way out: sign-in with a password, and what its refusals mean. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Clock, systemClock } from '../../base/clock.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { Secret } from '../../base/secret.ts';
import type { Mailbox } from '../../store/types.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import type { Hold } from './job.ts';
import { relayRoute } from './relay-route.ts';
import type { Outcome } from './types.ts';
import { jobOf, MARKS } from '../../../test/bed/outbox.ts';

/** A server that answers the beginning of each line by `answers`; `''` hangs up. */
async function serve(t: TestContext, answers: readonly (readonly [string, string])[]) {
  const heard: string[] = [];
  const server = createServer((socket) => {
    let inData = false;
    let unread = '';
    socket.on('error', () => socket.destroy());
    socket.write('220 relay ESMTP\r\n');
    socket.on('data', (octets) => {
      unread += octets.toString();
      for (let end = unread.indexOf('\r\n'); end !== -1; end = unread.indexOf('\r\n')) {
        const line = unread.slice(0, end);
        unread = unread.slice(end + 2);
        heard.push(line);
        if (inData && line !== '.') continue;
        const found = answers.find(([start]) => line.startsWith(start))?.[1] ?? '250 2.0.0 OK';
        if (found === '') return socket.destroy();
        inData = found.startsWith('354');
        socket.write(`${found}\r\n`);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  return { port: (server.address() as AddressInfo).port, heard };
}

const mailbox: Mailbox = {
  address: 'alice@contoso.test',
  grantId: 'grt_1',
  access: 'own',
  protocols: ['smtp'],
  settings: {},
  createdAt: 0,
};
const recipients = [{ address: 'bob@contoso.test', state: 'pending' as const }];
const octets = Buffer.from('Subject: x\r\n\r\n.hi\r\n');

async function send(
  t: TestContext,
  port: number,
  signIn: 'device' | 'nobody' = 'device',
  clock: Clock = systemClock,
  hold?: Hold,
): Promise<Outcome> {
  const known = signIn === 'device' ? { user: 'device', password: new Secret('pass word') } : {};
  const relay = { host: '127.0.0.1', port, tls: 'none' as const, trust: {}, ...known };
  const route = relayRoute(relay, clock, 'gate.contoso.test');
  t.after(() => route.close());
  assert.deepEqual([route.name, route.leavesNoCopy], ['relay', true]);
  const message = {
    envelopeFrom: mailbox.address,
    size: octets.length,
    eightBit: false,
    smtputf8: false,
    dsn: {},
    id: 'msg_1',
    bodyId: 'bod_1',
    recipients,
  } as unknown as OutboxMessage;
  const outbox = {
    body: async function* () {
      yield octets;
    },
  };
  return route.send(jobOf({ outbox }, message, mailbox, hold), new AbortController().signal);
}

const GO = ['DATA', '354 go on'] as const;
const OK = ['AUTH PLAIN', '235 2.7.0 OK'] as const;
const offer = (what: string) => ['EHLO', `250-relay\r\n250-PIPELINING\r\n250 ${what}`] as const;

// RFC 5321 §4.1.4
test('by PLAIN', async (t) => {
  const { port, heard } = await serve(t, [offer('AUTH LOGIN PLAIN'), OK, GO]);
  const outcome = await send(t, port);
  assert.equal(outcome.type, 'sent');
  assert.equal(heard[0], 'EHLO gate.contoso.test');
  assert.equal(heard[1], `AUTH PLAIN ${Buffer.from('\0device\0pass word').toString('base64')}`);
  assert.ok(heard.includes('..hi'), 'dots are stuffed');
  const mark = MARKS.field({ id: 'msg_1', bodyId: 'bod_1' }, recipients).trimEnd();
  assert.deepEqual(heard.slice(heard.indexOf('DATA') + 1, -1).slice(0, 2), [mark, 'Subject: x']);
});

test('by LOGIN where there is no PLAIN, and without any where no user is set', async (t) => {
  const name = Buffer.from('device').toString('base64');
  const word = Buffer.from('pass word').toString('base64');
  const login = [
    ['AUTH LOGIN', '334 VXNlcm5hbWU6'],
    [name, '334 UGFzc3dvcmQ6'],
    [word, '235 2.7.0 OK'],
  ] as const;
  const first = await serve(t, [offer('AUTH LOGIN'), ...login, GO]);
  assert.equal((await send(t, first.port)).type, 'sent');
  const second = await serve(t, [offer('8BITMIME'), GO]);
  assert.equal((await send(t, second.port, 'nobody')).type, 'sent');
  assert.ok(!second.heard.some((line) => line.startsWith('AUTH')));
});

test('what it refuses is what it is', async (t) => {
  const type = async (...answers: readonly (readonly [string, string])[]): Promise<string> => {
    const { port } = await serve(t, answers);
    return (await send(t, port)).type;
  };
  assert.equal(await type(offer('AUTH PLAIN'), ['AUTH PLAIN', '535 5.7.8 wrong']), 'blocked');
  assert.equal(await type(offer('AUTH PLAIN'), ['AUTH PLAIN', '454 4.7.0 not now']), 'later');
  assert.equal(await type(offer('SIZE')), 'closed');
  assert.equal(await type(offer('AUTH PLAIN'), OK, GO, ['RCPT', '550 5.1.1 nobody']), 'refused');
  assert.equal(await type(offer('AUTH PLAIN'), OK, GO, ['MAIL', '451 4.3.0 later']), 'later');
  assert.equal(await type(offer('AUTH PLAIN'), OK, GO, ['.', '']), 'unknown');
});

test('K8: a server that takes the connection and never greets: later, by its own code, and the server rests', async (t) => {
  const accepted = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    t.after(() => void socket.destroy());
    accepted.resolve();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const clock = new ManualClock();
  const { port } = server.address() as AddressInfo;
  const sending = send(t, port, 'nobody', clock);
  await accepted.promise;
  await clock.advance(45_000);
  const outcome = await sending;
  assert.ok(outcome.type === 'later' && outcome.code === 'wire.timeout', JSON.stringify(outcome));
  assert.equal(outcome.rest?.scope, 'endpoint');
  assert.match(outcome.reply.text, new RegExp(`^127\\.0\\.0\\.1:${port} did not answer within 45 seconds$`));
});

test('K12: where MAIL is refused in a pipeline, its reason is the reason of every recipient', async (t) => {
  const need = '503 5.5.2 Need mail command';
  const { port } = await serve(t, [
    offer('AUTH PLAIN'),
    OK,
    ['MAIL', '550 5.7.60 SMTP; Client does not have permissions to send as this sender'],
    ['RCPT', need],
    ['DATA', need],
  ]);
  const outcome = await send(t, port);
  assert.ok(outcome.type === 'refused', JSON.stringify(outcome));
  assert.match(outcome.recipients[0]!.reply, /^550 5\.7\.60 /);
});

test('nothing listens there: later', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  assert.equal((await send(t, port)).type, 'later');
});

test('the end of the text is not sent once the claim is lost: another process may be sending the message by then', async (t) => {
  const { port, heard } = await serve(t, [offer('AUTH PLAIN'), OK, GO]);
  const outcome = await send(t, port, 'device', systemClock, { lasts: false });
  assert.notEqual(outcome.type, 'sent', JSON.stringify(outcome));
  assert.ok(heard.includes('DATA'), heard.join(' | '));
  assert.ok(!heard.includes('.'), 'the message was not finished');
});
