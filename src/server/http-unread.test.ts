/** A80, A81, A85: what strangers can do to the console port who send much at once, do not read, or ask for what HTTP does not know. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { eventually } from '../../test/bed/eventually.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Budget } from '../protocol/wire/budget.ts';
import { MAX_PIPELINED } from '../protocol/wire/in-order.ts';
import { type ConsoleOptions, startConsole } from './http.ts';

/** More than the buffers of a kernel take. */
const LARGE = 24 * 1024 * 1024;

async function scene(t: TestContext, more: Partial<ConsoleOptions> = {}) {
  const console = await startConsole({
    host: '127.0.0.1',
    port: 0,
    metrics: () => Promise.resolve('x'.repeat(LARGE)),
    ready: () => Promise.resolve([]),
    ...more,
  });
  const sockets: Socket[] = [];
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await console.close();
  });
  const open = async (localAddress = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ host: '127.0.0.1', port: console.port, localAddress });
    socket.on('error', () => undefined);
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  /** Asks and never reads. */
  const silent = async (path: string, localAddress?: string): Promise<Socket> => {
    const socket = await open(localAddress);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
    return socket;
  };
  /** What comes back until the connection ends. */
  const say = async (text: string, localAddress?: string): Promise<string> => {
    const socket = await open(localAddress);
    socket.write(text);
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    return Buffer.concat(pieces).toString();
  };
  const ask = async (path: string, localAddress?: string): Promise<number> => {
    const text = await say(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`, localAddress);
    return statusOf(text);
  };
  return { open, silent, say, ask };
}

const statusOf = (text: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
/** An API whose every operation has a large answer. */
const largeApi = (answered = (): void => undefined) => {
  const octets = Buffer.alloc(LARGE);
  return {
    owns: (path: string) => path.startsWith('/v1/'),
    async handle(_: IncomingMessage, outgoing: ServerResponse) {
      outgoing.end(octets);
      answered();
    },
    mayReadMetrics: async () => true,
    close: async () => undefined,
  };
};
/** The server has ended it before its answer was whole: what is left is read to see the end. */
async function ended(socket: Socket): Promise<void> {
  let octets = 0;
  socket.on('data', (piece: Buffer) => (octets += piece.length));
  if (!socket.closed) await once(socket, 'close');
  assert.ok(octets < LARGE, 'the whole answer came');
}

test('A80: 1,600 questions in one write, answers never read: one is answered, and the connection ends', async (t) => {
  let made = 0;
  const { open, ask } = await scene(t, {
    metrics: async () => {
      made += 1;
      return 'some 1\n';
    },
  });
  const socket = await open();
  socket.write('GET /metrics HTTP/1.1\r\nHost:a\r\n\r\n'.repeat(1600));
  await ended(socket);
  assert.ok(made <= 2, `metrics were made ${made} times`);
  assert.equal(await ask('/healthz'), 200);
});

test('A80: an answer begins when the one before it on its connection is whole, also for what Node refuses by itself', async (t) => {
  let [busy, most] = [0, 0];
  const { say } = await scene(t, {
    async pages(request) {
      if (!request.url.includes('/page')) return undefined;
      most = Math.max(most, ++busy);
      await new Promise((turn) => setImmediate(turn));
      busy -= 1;
      return new Response(new URL(request.url).search);
    },
  });
  const questions = Array.from({ length: MAX_PIPELINED }, (_, n) => `GET /page?${n} HTTP/1.1\r\nhost: a\r\n\r\n`);
  const text = await say(`${questions.join('')}GET /page?4 HTTP/1.1\r\nhost: a\r\nexpect: much\r\n\r\n`);
  assert.deepEqual(text.match(/\?\d/g), ['?0', '?1', '?2', '?3']);
  assert.equal(most, 1);
  assert.match(text, /HTTP\/1\.1 417 /);
  const hostless = await say('GET /page?0 HTTP/1.1\r\nhost: a\r\n\r\nGET /page?1 HTTP/1.1\r\n\r\n');
  assert.match(hostless, /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 400 /);
});

test('A80: metrics that many ask for at once are made once for all of them, and never before they were asked for', async (t) => {
  let made = 0;
  const begun: PromiseWithResolvers<void>[] = [];
  const { say } = await scene(t, {
    metrics: async () => {
      const n = ++made;
      const gate = Promise.withResolvers<void>();
      begun.push(gate);
      await gate.promise;
      return `made ${n}\n`;
    },
  });
  const question = 'GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
  const first = say(question);
  await eventually(() => made === 1);
  let asked = 0;
  const others = Promise.all(Array.from({ length: 20 }, () => say(question).finally(() => (asked += 1))));
  // They are there when a question behind them is answered.
  assert.match(await say(`GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`), / 200 /);
  begun[0]!.resolve();
  assert.match(await first, /made 1/);
  await eventually(() => {
    for (const gate of begun) gate.resolve();
    return asked === 20;
  });
  for (const text of await others) assert.match(text, /made [2-9]/);
  assert.ok(made <= 10, `metrics were made ${made} times`);
});

test('A81: twenty clients that ask and do not read keep no place from others, of their address or of another', async (t) => {
  let answered = 0;
  const limits = { connections: 20, waitingPerAddress: 5, reserve: 2 };
  const { silent, ask } = await scene(t, { limits, api: largeApi(() => void (answered += 1)) });
  for (let n = 0; n < 20; n++) {
    await silent('/v1/messages', `127.0.0.${2 + (n % 4)}`);
    await eventually(() => answered === n + 1);
  }
  for (const from of ['127.0.0.9', '127.0.0.2', '127.0.0.9']) assert.equal(await ask('/nothing', from), 404);
  const own: Socket[] = [];
  for (let n = 0; n < 8; n++) {
    own.push(await silent('/v1/messages', '127.0.0.7'));
    await eventually(() => answered === 21 + n);
  }
  await Promise.all(own.slice(0, 3).map(ended));
});

test('A81: an answer that is not read ends by itself; a request that waits for us does not', async (t) => {
  const clock = new ManualClock();
  const held = Promise.withResolvers<void>();
  let waits = false;
  const { silent } = await scene(t, {
    clock,
    async pages(request) {
      if (!request.url.endsWith('/long-poll')) return undefined;
      waits = true;
      await held.promise;
      return new Response('at last');
    },
  });
  const poll = await silent('/long-poll');
  const unread = await silent('/metrics');
  await eventually(() => waits);
  for (let minutes = 0; minutes < 20; minutes++) await clock.advance(60_000);
  await ended(unread);
  held.resolve();
  const [piece] = (await once(poll, 'data')) as [Buffer];
  assert.match(String(piece), /200 OK[^]*at last/);
});

test('A81: answers of one request count in the budget while they are not read; when it is used up they go, the longest first', async (t) => {
  const clock = new ManualClock();
  const budget = new Budget({ octets: 40 * 1024 * 1024, clock });
  const { silent } = await scene(t, { clock, budget, api: largeApi() });
  const first = await silent('/v1/messages');
  await eventually(() => budget.held > 0);
  assert.ok(budget.held <= LARGE);
  await clock.advance(31_000);
  const second = await silent('/v1/messages');
  await ended(first);
  await eventually(() => budget.held > 0 && budget.held <= LARGE);
  second.destroy();
  await eventually(() => budget.held === 0);
});

test('A81: shared answers that nobody reads are few, too: the one that has waited longest goes', async (t) => {
  let made = 0;
  const { silent } = await scene(t, {
    metrics: async () => {
      made += 1;
      return 'x'.repeat(LARGE);
    },
  });
  const first = await silent('/metrics');
  await eventually(() => made === 1);
  await silent('/metrics', '127.0.0.5');
  await ended(first);
});

test('A104: a path that would become another one is refused, so that what a proxy has judged is what is answered', async (t) => {
  const { say } = await scene(t);
  const answer = (target: string) => say(`GET ${target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
  for (const target of [
    '/v1/%2e%2e/metrics',
    '/healthz/../v1/mailboxes',
    '/v1/.%2E/healthz',
    '/./healthz',
    '/healthz/.',
    '/healthz/..?x',
    '/v1\\..\\healthz',
    'http://a/v1/../healthz',
    'http://a\\healthz',
  ])
    assert.equal(statusOf(await answer(target)), 400, target);
  for (const target of ['/healthz', '/healthz?next=/../x\\', 'http://a/healthz', 'http://a?/../'])
    assert.notEqual(statusOf(await answer(target)), 400, target);
  for (const target of ['/...', '/.well-known', '/a..b/', '//healthz'])
    assert.equal(statusOf(await answer(target)), 404, target);
});

test('A85: TRACE, a user name in the target and what is no target are refused in words of HTTP; a whole URL is answered', async (t) => {
  const { say } = await scene(t, {
    pages: async (request) => {
      if (request.url.endsWith('/broken')) throw new TypeError('Cannot read properties of undefined');
      return undefined;
    },
  });
  const answer = (line: string) => say(`${line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
  const trace = await answer('TRACE /healthz');
  assert.deepEqual([statusOf(trace), /^allow: (.*)$/im.exec(trace)?.[1]?.trim()], [405, 'GET, HEAD']);
  for (const target of ['http://u:p@h/', 'http://u@h/healthz', 'ftp://h/', '*', 'http://[/'])
    assert.equal(statusOf(await answer(`GET ${target}`)), 400, target);
  assert.equal(statusOf(await answer('GET http://elsewhere.test/healthz')), 200);
  assert.equal(statusOf(await answer('OPTIONS /healthz')), 405);
  const broken = await answer('GET /broken');
  assert.equal(statusOf(broken), 500);
  assert.doesNotMatch(broken, /Cannot read/);
});
