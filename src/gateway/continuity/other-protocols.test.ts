/** POP3 and SMTP: what is kept when the server goes away, and what is said when nothing can be. */
import type { SignedIn } from '../provider.ts';
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { settle } from '../../../test/bed/kept-session.ts';
import { type MemorySocket, memoryPair } from '../../../test/bed/memory-socket.ts';
import { ManualClock } from '../../base/clock.ts';
import { nullLog } from '../../base/log.ts';
import { Conn } from '../../protocol/wire/conn.ts';
import { gatewayError } from '../errors.ts';
import { relay } from '../relay.ts';
import { keeperFor } from './keeper.ts';

interface Scene {
  /** Sends as the program, and as the server in use. */
  say(text: string): Promise<void>;
  reply(text: string): Promise<void>;
  /** What the program heard since the last call, and what the servers heard. */
  heard(): string;
  readonly servers: { heard: string; readonly far: MemorySocket }[];
  cut(): Promise<void>;
  refusal: Error | undefined;
  readonly over: () => boolean;
}

function scene(t: TestContext, protocol: 'smtp' | 'pop3'): Scene {
  const servers: Scene['servers'] = [];
  const server = (): Conn => {
    const [near, far] = memoryPair();
    const entry = { heard: '', far };
    far.on('data', (bytes: Buffer) => void (entry.heard += bytes.toString('latin1'))).on('error', () => undefined);
    near.on('error', () => undefined);
    servers.push(entry);
    return new Conn(near);
  };
  const clock = new ManualClock();
  const [near, far] = memoryPair();
  let heard = '';
  let over = false;
  far.on('data', (bytes: Buffer) => void (heard += bytes.toString('latin1'))).on('end', () => far.end());
  const scene: Scene = {
    servers,
    refusal: undefined,
    over: () => over,
    heard() {
      const text = heard;
      heard = '';
      return text;
    },
    async say(text) {
      far.write(text, 'latin1');
      await settle();
    },
    async reply(text) {
      servers.at(-1)!.far.write(text, 'latin1');
      await settle();
    },
    async cut() {
      servers.at(-1)!.far.destroy();
      await settle();
    },
  };
  const signedIn: SignedIn = {
    expiresAt: clock.now() + 3_600_000,
    mechanism: 'XOAUTH2',
    capabilities: [],
    reused: false,
    endpoint: { protocol, host: 'h', port: 1, tls: 'implicit', user: 'u', mechanisms: [], trust: {} },
  };
  const keeper = keeperFor(protocol, {
    clock,
    log: nullLog,
    hostname: 'gate.example',
    signedIn,
    signIn: () => (scene.refusal ? Promise.reject(scene.refusal) : Promise.resolve({ ...signedIn, conn: server() })),
    onMoved: () => undefined,
  });
  relay({ socket: near, rest: Buffer.alloc(0) }, server().detach(), {
    idleMs: 60_000,
    clock,
    tap: keeper,
    onEnd: () => {
      over = true;
      keeper.close();
    },
  });
  t.after(() => {
    far.destroy();
    near.destroy();
    for (const each of servers) each.far.destroy();
  });
  return scene;
}

test('SMTP: between two messages the next command goes to a new server', async (t) => {
  const smtp = scene(t, 'smtp');
  await smtp.say('MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n');
  await smtp.reply('250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n');
  await smtp.say('QUIT\r\nMAIL FROM:<is text>\r\n.\r\n');
  await smtp.reply('250 2.0.0 taken\r\n');
  await smtp.reply('421 4.4.2 idle for too long\r\n');
  await smtp.cut();
  assert.equal(smtp.heard(), '250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n250 2.0.0 taken\r\n');
  await smtp.say('MAIL FROM:<e@f>\r\n');
  assert.equal(smtp.servers.length, 2);
  assert.equal(smtp.servers[1]!.heard, 'MAIL FROM:<e@f>\r\n');
  await smtp.reply('250 2.1.0 ok\r\n');
  assert.equal(smtp.heard(), '250 2.1.0 ok\r\n');
  assert.equal(smtp.over(), false);
});

test('SMTP: what is lost within a transaction is said, and whether the message may have been taken', async (t) => {
  for (const [said, replied, fate] of [
    ['MAIL FROM:<a@b>\r\n', '250 ok\r\n', 'this message was not taken'],
    ['MAIL FROM:<a@b>\r\n', '', 'this message was not taken'],
    ['MAIL FROM:<a@b>\r\nDATA\r\n', '250 ok\r\n354 go\r\n', 'the message may have been taken or not'],
    ['MAIL FROM:<a@b>\r\nBDAT 5 LAST\r\nhello', '250 ok\r\n', 'the message may have been taken or not'],
  ] as const) {
    const smtp = scene(t, 'smtp');
    await smtp.say(said);
    await smtp.reply(replied);
    smtp.heard();
    await smtp.cut();
    assert.equal(smtp.heard(), `421 4.4.2 gate.example the connection to the provider was lost; ${fate}\r\n`);
    assert.ok(smtp.over());
  }
});

test('SMTP: a transaction that was reset or refused is over', async (t) => {
  for (const [said, replied] of [
    ['MAIL FROM:<a@b>\r\n', '550 5.7.60 no\r\n'],
    ['MAIL FROM:<a@b>\r\nRSET\r\n', '250 ok\r\n250-still\r\n250 ok\r\n'],
    ['MAIL FROM:<a@b>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\nde', '250 ok\r\n250 ok\r\n250 taken\r\n'],
  ] as const) {
    const smtp = scene(t, 'smtp');
    await smtp.say(said);
    await smtp.reply(replied);
    await smtp.cut();
    await smtp.say('NOOP\r\n');
    assert.equal(smtp.servers.length, 2);
    assert.equal(smtp.servers[1]!.heard, 'NOOP\r\n');
  }
});

test('SMTP: QUIT is the end, a refused sign-in is said, a half reply is not completed', async (t) => {
  const quitting = scene(t, 'smtp');
  await quitting.say('QUIT\r\n');
  await quitting.reply('221 bye\r\n');
  await quitting.cut();
  assert.equal(quitting.heard(), '221 bye\r\n');
  assert.ok(quitting.over());

  const refused = scene(t, 'smtp');
  refused.refusal = gatewayError('gateway.consent-needed', 'the consent for a@b has ended');
  await refused.cut();
  await refused.say('NOOP\r\n');
  assert.equal(refused.heard(), '421 4.4.2 gate.example the consent for a@b has ended\r\n');
  assert.ok(refused.over());

  const half = scene(t, 'smtp');
  await half.say('EHLO x\r\n');
  await half.reply('250-one\r\n250 tw');
  await half.cut();
  assert.equal(half.heard(), '250-one\r\n');
  assert.ok(half.over());
});

test('POP3: a command without an answer gets one, an answer cut in two is left alone', async (t) => {
  const waiting = scene(t, 'pop3');
  await waiting.say('STAT\r\n');
  await waiting.cut();
  assert.match(waiting.heard(), /^-ERR \[SYS\/TEMP\] the connection to the provider was lost/);
  assert.ok(waiting.over());
  for (const [said, replied] of [
    ['RETR 1\r\n', '+OK\r\nhalf a mess'],
    ['QUIT\r\n', ''],
    ['STAT\r\n', '+OK 1 2\r\n'],
  ] as const) {
    const pop3 = scene(t, 'pop3');
    await pop3.say(said);
    await pop3.reply(replied);
    await pop3.cut();
    assert.equal(pop3.heard(), replied);
    assert.ok(pop3.over());
  }
});

test('POP3 PIPELINING: a server that does not announce it gets one command at a time, in order', async (t) => {
  const { say, reply, heard, servers } = scene(t, 'pop3');
  await say('STAT\r\nLIST\r\nRETR 1\r\nDE');
  assert.equal(servers[0]!.heard, 'STAT\r\n');
  await reply('+OK 2 300\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\n');
  await reply('+OK\r\n1 100\r\n');
  await reply('2 200\r\n.');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\n');
  await reply('\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\nRETR 1\r\n');
  await say('LE 1\r\nQUIT\r\n');
  await reply('-ERR no such message\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\n');
  await reply('+OK\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n');
  assert.equal(heard(), '+OK 2 300\r\n+OK\r\n1 100\r\n2 200\r\n.\r\n-ERR no such message\r\n+OK\r\n');
});

test('POP3 PIPELINING: what is no line at all is not held for ever', async (t) => {
  const { say, servers } = scene(t, 'pop3');
  await say('x'.repeat(100_000));
  assert.equal(servers[0]!.heard.length, 100_000);
});
