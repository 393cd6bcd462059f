import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { certificates } from '../../test/bed/fake-provider.ts';
import { systemClock } from '../base/clock.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { connect as connectTo } from '../protocol/tls/connect.ts';
import { relay } from './relay.ts';
import type { RelayEnd, RelayOptions, RelaySide, RunningRelay, Tap } from './relay-types.ts';

const NOTHING = Buffer.alloc(0);

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A connected pair: the end in our hands, and the peer's. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [ours] = (await once(server, 'connection')) as [Socket];
  server.close();
  sockets.push(ours, peer);
  return [ours, peer];
}

async function relayed(options: Partial<RelayOptions> = {}, rests: { client?: string; upstream?: string } = {}) {
  const [client, program] = await pair();
  const [upstream, provider] = await pair();
  const end = Promise.withResolvers<RelayEnd>();
  const running = relay(
    { socket: client, rest: Buffer.from(rests.client ?? '') },
    { socket: upstream, rest: Buffer.from(rests.upstream ?? '') },
    { idleMs: 60_000, clock: systemClock, onEnd: end.resolve, ...options },
  );
  return { program, provider, end: end.promise, running };
}

async function text(socket: Socket): Promise<string> {
  let all = '';
  for await (const bytes of socket) all += String(bytes);
  return all;
}

test('what was read before goes first, and half-close passes on', async () => {
  const { program, provider, end } = await relayed({}, { client: 'early ', upstream: 'hello ' });
  program.end('late');
  assert.equal(await text(provider), 'early late');
  provider.end('answer');
  assert.equal(await text(program), 'hello answer');
  const { bytesToClient, bytesToServer } = await end;
  assert.deepEqual({ bytesToClient, bytesToServer }, { bytesToClient: 12, bytesToServer: 10 });
});

test('octets of an accepted socket go past its stream while it flows, and keep their order through pauses', async () => {
  const [client, program] = await pair();
  const [upstream, provider] = await pair();
  const running = relay(
    { socket: client, rest: NOTHING },
    { socket: upstream, rest: NOTHING },
    { idleMs: 60_000, clock: systemClock, onEnd: () => undefined },
  );
  let events = 0;
  client.on('data', () => void (events += 1));
  let got = '';
  provider.on('data', (bytes) => void (got += String(bytes)));
  const all = async (expected: string): Promise<void> => {
    while (got.length < expected.length) await once(provider, 'data');
    assert.equal(got, expected);
  };
  program.write('one ');
  await all('one ');
  assert.equal(events, 0, 'no event of the stream for what flows');

  running.pauseClient(true);
  program.write('two ');
  while (client.readableLength === 0) await new Promise(setImmediate);
  assert.equal(got, 'one ', 'nothing passes while it is paused');
  program.write('three ');
  running.pauseClient(false);
  program.write('four ');
  await all('one two three four ');
  const waited = events;
  assert.ok(waited > 0, 'what waited came from the stream');

  program.write('five ');
  await all('one two three four five ');
  assert.equal(events, waited, 'and past it again afterwards');
  program.end('six');
  await all('one two three four five six');
  await once(provider, 'end');
  provider.end();
});

test('silence ends both sides with the last line, traffic does not', async () => {
  const clock = new ManualClock();
  const { program, provider, end } = await relayed({ clock, idleMs: 1000, idleGoodbye: '* BYE\r\n' });
  program.write('x');
  await once(provider, 'data');
  await clock.advance(1000);
  await clock.advance(1000);
  assert.equal(await text(program), '* BYE\r\n');
  assert.equal((await end).reason, 'idle');
});

test('cut says goodbye to the program and closes both', async () => {
  const { program, provider, end, running } = await relayed();
  running.cut('bye\r\n');
  running.cut('twice\r\n');
  assert.equal(await text(program), 'bye\r\n');
  assert.equal(await text(provider), '');
  assert.equal((await end).reason, 'cut');
});

test('a broken connection ends the other side', async () => {
  const { program, provider, end } = await relayed();
  program.resetAndDestroy();
  assert.equal(await text(provider), '');
  assert.equal((await end).reason, 'error');
});

test('a side that ended or broke before the relay began is noticed', async () => {
  const [client, program] = await pair();
  const [upstream, provider] = await pair();
  program.end();
  client.resume();
  await once(client, 'end');
  const ended = new Promise<RelayEnd>((resolve) => {
    relay(
      { socket: client, rest: Buffer.from('last') },
      { socket: upstream, rest: NOTHING },
      { idleMs: 60_000, clock: systemClock, onEnd: resolve },
    );
  });
  assert.equal(await text(provider), 'last');
  provider.end('answer');
  assert.equal(await text(program), 'answer');
  assert.equal((await ended).bytesToServer, 4);

  const [gone] = await pair();
  const [left, leftPeer] = await pair();
  gone.destroy();
  await once(gone, 'close');
  const reasons: string[] = [];
  relay(
    { socket: gone, rest: NOTHING },
    { socket: left, rest: NOTHING },
    { idleMs: 60_000, clock: systemClock, onEnd: ({ reason }) => reasons.push(reason) },
  );
  assert.deepEqual(reasons, ['client-closed']);
  assert.equal(await text(leftPeer), '');
  leftPeer.end();
});

/** A connected pair over TLS: the end in our hands as a sign-in leaves it, and the peer's. */
async function securePair(accepted: boolean): Promise<[Socket, Socket]> {
  const authority = await certificates();
  const server = createTlsServer({ ...(await authority.issue()), allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const secured = once(server, 'secureConnection');
  const trust = { ca: authority.ca };
  const conn = await connectTo({ host: '127.0.0.1', port, tls: 'implicit', trust, timeoutMs: 5000, intake: !accepted });
  const [theirs] = (await secured) as [TLSSocket];
  server.close();
  theirs.pause();
  const { socket: ours } = conn.detach();
  sockets.push(ours, theirs);
  return accepted ? [theirs, ours] : [ours, theirs];
}

/** Writes pseudo-random octets in pieces of all sizes, in turns with whatever else goes on. @returns what it wrote */
async function pour(socket: Socket, seed: number): Promise<string> {
  const written = createHash('sha256');
  let state = seed;
  for (let piece = 0; piece < 400; piece++) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    const size = piece % 3 === 0 ? 1 + (state % 900) : 1 + (state % 70_000);
    const octets = Buffer.alloc(size, `${state} `);
    written.update(octets);
    if (!socket.write(octets)) await once(socket, 'drain');
    else if (piece % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  return written.digest('hex');
}

test('megabytes both ways at once over TLS, in pieces of all sizes, arrive whole and in order', async () => {
  const [client, program] = await securePair(true);
  const [upstream, provider] = await securePair(false);
  const end = Promise.withResolvers<RelayEnd>();
  const sides = [client, upstream].map((socket) => ({ socket, rest: NOTHING })) as [RelaySide, RelaySide];
  relay(...sides, { idleMs: 60_000, clock: systemClock, onEnd: end.resolve });
  const digest = async (socket: Socket): Promise<string> => {
    const read = createHash('sha256');
    for await (const octets of socket) read.update(octets as Buffer);
    return read.digest('hex');
  };
  const [up, down, provided, shown] = await Promise.all([
    pour(program, 1),
    pour(provider, 2),
    digest(provider),
    digest(program),
  ]);
  assert.equal(provided, up);
  assert.equal(shown, down);
  const { bytesToClient, bytesToServer } = await end.promise;
  assert.ok(bytesToClient > 5_000_000 && bytesToServer > 5_000_000);
});

test('S4: a program that provokes our own answers and reads none is read no further', async () => {
  let seen = 0;
  let answers: RunningRelay | undefined;
  const answer = 'x'.repeat(64 * 1024);
  const { program, end, running } = await relayed({
    tap: {
      attach: (relay) => void (answers = relay),
      fromClient(bytes) {
        seen += bytes.length;
        answers!.toClient(answer);
        return NOTHING;
      },
      fromServer: (bytes) => bytes,
      serverEnding: false,
      serverGone: () => 'end',
      mayBeSilent: false,
    },
  });
  program.pause();
  const question = Buffer.alloc(64 * 1024, 'q');
  const asking = 1024; // 64 MiB, that would be answered with as much
  for (let at = 0; at < asking; at++) program.write(question);
  assert.ok((await unchanged(() => seen)) < (asking * question.length) / 4, `${seen} octets were read`);
  // It goes on where it stopped, once the program reads.
  program.resume();
  while (seen < asking * question.length) await new Promise((resolve) => setImmediate(resolve));
  running.cut();
  await end;
});

/** A figure once it has been the same for many turns of the event loop. */
async function unchanged(figure: () => number): Promise<number> {
  for (let last = figure(), same = 0; ; same = figure() === last ? same + 1 : 0, last = figure()) {
    if (same >= 300) return last;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('S4: a thousand answers of ours to one chunk are a few writes, and others have a turn before the next chunk', async () => {
  const [client, program] = await pair();
  const [upstream, provider] = await pair();
  let writes = 0;
  const write = client.write.bind(client);
  client.write = ((...args: Parameters<typeof write>) => {
    writes += 1;
    return write(...args);
  }) as typeof client.write;
  let running: RunningRelay | undefined;
  let paused = 0;
  const answer = `a BAD ${'x'.repeat(50)}\r\n`;
  const end = Promise.withResolvers<RelayEnd>();
  relay(
    { socket: client, rest: NOTHING },
    { socket: upstream, rest: NOTHING },
    {
      idleMs: 60_000,
      clock: systemClock,
      onEnd: end.resolve,
      tap: {
        attach: (relay) => void (running = relay),
        fromClient(bytes) {
          for (let at = 0; at < bytes.length / 8; at++) running!.toClient(answer);
          if (client.isPaused()) paused += 1;
          return Buffer.from('.');
        },
        fromServer: (bytes) => bytes,
        serverEnding: false,
        serverGone: () => 'end',
        mayBeSilent: false,
      },
    },
  );
  const commands = 20_000;
  provider.resume().on('end', () => provider.end());
  program.end('command\n'.repeat(commands));
  assert.equal((await text(program)).length, commands * answer.length);
  assert.ok(writes <= (commands * answer.length) / (16 * 1024) + 40, `${writes} writes`);
  assert.ok(paused > 1, 'it was not read on at once');
  await end.promise;
});

test('A51: what throws while a session is served ends that session, with a last line, and not the process', async () => {
  const defect = (): never => {
    throw new TypeError('a defect');
  };
  const tap: Tap = {
    attach: () => undefined,
    fromClient: (bytes) => bytes,
    fromServer: (bytes) => bytes,
    serverEnding: false,
    serverGone: () => 'end',
    mayBeSilent: false,
  };
  for (const broken of [
    { fromClient: defect },
    { fromServer: defect },
    { passed: defect },
    { serverGone: defect },
    Object.defineProperty({}, 'held', { get: defect, enumerable: true }),
    Object.defineProperty({}, 'mayBeSilent', { get: defect, enumerable: true }),
  ] as object[]) {
    const clock = new ManualClock();
    const faults: unknown[] = [];
    const onFault = (error: unknown): string => {
      faults.push(error);
      return 'sorry\r\n';
    };
    const its = Object.create(tap, Object.getOwnPropertyDescriptors(broken)) as Tap;
    const { program, provider, end } = await relayed({ tap: its, onFault, clock });
    const other = await relayed();
    if ('mayBeSilent' in broken) await clock.advance(60_000);
    else if ('fromServer' in broken || 'serverGone' in broken) provider.end('hello\r\n');
    else program.write('hello\r\n');
    assert.match(await text(program), /sorry\r\n$/);
    program.end();
    provider.resume().end();
    assert.equal((await end).reason, 'error');
    assert.equal(faults.length, 1);
    other.program.end('late');
    assert.equal(await text(other.provider), 'late');
    other.provider.end();
    await other.end;
  }
});
