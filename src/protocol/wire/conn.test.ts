/** A connection as frames: reading ahead is bounded, limits hold, an upgrade and a hand-over lose nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemorySocket, memoryPair } from '../../../test/bed/memory-socket.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { isError } from '../../base/error.ts';
import { Conn } from './conn.ts';

const is = (code: string) => (error: unknown) => isError(error, code);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('lines and counted runs are the same however they arrive', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.stringMatching(/^[ -~]{0,30}$/), { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
      async (texts, sizes) => {
        const socket = new MemorySocket();
        const conn = new Conn(socket);
        const stream = Buffer.from(texts.map((text) => `${text.length}\r\n${text}`).join(''));
        for (let at = 0, n = 0; at < stream.length; at += sizes[(n - 1) % sizes.length]!)
          socket.feed(Buffer.from(stream.subarray(at, at + sizes[n++ % sizes.length]!)));
        socket.finish();
        for (const text of texts) {
          assert.equal((await conn.line(10))?.toString(), String(text.length));
          assert.equal((await conn.counted(text.length)).toString(), text);
        }
        assert.equal(await conn.line(10), undefined);
        conn.destroy();
      },
    ),
    { numRuns: 50 },
  );
});

test('an end inside a frame is no orderly end', async () => {
  for (const read of [(conn: Conn) => conn.line(10), (conn: Conn) => conn.counted(5)]) {
    const socket = new MemorySocket();
    const conn = new Conn(socket);
    socket.feed(Buffer.from('ab'));
    socket.finish();
    await assert.rejects(read(conn), is('wire.closed'));
    conn.destroy();
  }
});

test('silence, an abort and a broken connection end a pending read', async () => {
  const clock = new ManualClock();
  const silent = new Conn(new MemorySocket(), { clock, idleMs: 1000 });
  const waiting = silent.line(10);
  const rejected = assert.rejects(waiting, is('wire.timeout'));
  await clock.advance(1001);
  await rejected;
  const stop = new AbortController();
  const aborted = assert.rejects(silent.line(10, stop.signal), /enough/);
  stop.abort(new Error('enough'));
  await aborted;
  const broken = assert.rejects(silent.line(10), is('wire.closed'));
  silent.socket.destroy(new Error('reset'));
  await broken;
  await assert.rejects(silent.write('x'), is('wire.closed'));
});

test('a peer that sends without being read is paused', async () => {
  const socket = new MemorySocket();
  const conn = new Conn(socket, { highWater: 1000 });
  for (let n = 0; n < 100; n++) {
    socket.feed(Buffer.from(`${'x'.repeat(98)}\r\n`));
    await turn();
  }
  assert.ok(socket.isPaused());
  assert.ok(socket.readableLength > 8000, 'the rest waits outside');
  for (let n = 0; n < 100; n++) assert.equal((await conn.line(98))?.length, 98);
  conn.destroy();
});

// RFC 3207 §4.2
test('plain bytes waiting at an upgrade are refused', async () => {
  const socket = new MemorySocket();
  const conn = new Conn(socket);
  socket.feed(Buffer.from('STARTTLS\r\nNOOP\r\n'));
  await conn.line(100);
  await assert.rejects(
    conn.upgrade(() => Promise.reject(new Error('must not be reached'))),
    is('wire.injected'),
  );
  conn.destroy();
});

test('a hand-over gives every octet that was not taken, and leaves no listener', async () => {
  const [near, far] = memoryPair();
  const before = ['data', 'end', 'error', 'close'].map((event) => near.listenerCount(event));
  const conn = new Conn(near);
  far.write('first\r\nsecond \0\xff\n', 'latin1');
  assert.equal((await conn.line(10))?.toString(), 'first');
  const { socket, rest } = conn.detach();
  assert.equal(rest.toString('latin1'), 'second \0\xff\n');
  assert.ok(socket.isPaused());
  assert.deepEqual(
    ['data', 'end', 'error', 'close'].map((event) => near.listenerCount(event)),
    before,
  );
  await assert.rejects(conn.line(10), is('wire.closed'));
  socket.destroy();
  far.destroy();
});

test('a peer that never reads cannot hold a goodbye', async () => {
  const clock = new ManualClock();
  const socket = new MemorySocket();
  socket._write = () => undefined; // the kernel's buffer stays full
  const conn = new Conn(socket, { clock });
  conn.end('* BYE\r\n');
  await turn();
  assert.equal(socket.destroyed, false);
  await clock.advance(5001);
  assert.equal(socket.destroyed, true);
});

test('runs are streamed in pieces', async () => {
  const socket = new MemorySocket();
  const conn = new Conn(socket);
  socket.feed(Buffer.from('abcdefgh..dot\r\n.\r\nnext\r\n'));
  let counted = '';
  for await (const piece of conn.stream(8)) counted += piece.toString();
  let dotted = '';
  for await (const piece of conn.dotted()) dotted += piece.toString();
  assert.deepEqual([counted, dotted, (await conn.line(10))?.toString()], ['abcdefgh', '.dot\r\n', 'next']);
  conn.destroy();
});

test('a frame larger than what is read ahead still comes in, or is refused', async () => {
  for (const length of [9, 10, 11, 19, 20, 21, 22, 23]) {
    const socket = new MemorySocket();
    const conn = new Conn(socket, { highWater: 10 });
    const reading = conn.line(20);
    const settled = length <= 20 ? reading : assert.rejects(reading, is('wire.line-too-long'));
    for (const octet of `${'x'.repeat(length)}\r\nabcdefghijklmnop`) {
      socket.feed(Buffer.from(octet));
      await turn();
    }
    const line = await settled;
    if (length <= 20) {
      assert.equal(line?.length, length);
      assert.equal((await conn.counted(16)).toString(), 'abcdefghijklmnop');
    }
    conn.destroy();
  }
});

test('a long line leaves in pieces that fit into a kilobyte of TLS, whole and in order', async () => {
  const [ours, theirs] = memoryPair();
  const conn = new Conn(ours);
  const other = new Conn(theirs);
  const pass = ours.onWritten;
  const sizes: number[] = [];
  ours.onWritten = (octets) => {
    sizes.push(octets.length);
    pass(octets);
  };
  for (const length of [0, 998, 999, 1998, 3500]) {
    const line = `é${'0123456789'.repeat(350)}`.slice(0, Math.max(0, length - 1));
    await conn.writeInPieces(`${line}\r\n`);
    assert.equal((await other.line(5000))?.toString(), line);
  }
  assert.ok(
    sizes.every((size) => size <= 1000),
    String(sizes),
  );
  assert.equal(sizes.length, 1 + 1 + 2 + 2 + 4);
  conn.destroy();
  await assert.rejects(conn.writeInPieces('x'.repeat(5000)), is('wire.closed'));
  other.destroy();
});
