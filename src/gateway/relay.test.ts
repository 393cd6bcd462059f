import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { ManualClock, systemClock } from '../base/clock.ts';
import { relay, type RelayEnd, type RelayOptions } from './relay.ts';

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
