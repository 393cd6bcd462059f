/** Blocks of bulk data: everything leaves once and in order, memory is used again only when nobody needs it any more. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { Gathering, RECORD_OCTETS } from './gathering.ts';

/** A receiver that takes one write when it is told to, as it is in memory at that moment. */
class Receiver extends Duplex {
  received: Buffer = Buffer.alloc(0);
  writes = 0;
  #finish: (() => void) | undefined;

  override _read(): void {
    // Nothing is read from it.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.writes += 1;
    this.#finish = () => {
      this.received = Buffer.concat([this.received, chunk]);
      done();
    };
  }

  /** @returns whether there was something to take */
  accept(): boolean {
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.();
    return finish !== undefined;
  }

  get socket(): Socket {
    return this as unknown as Socket;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function drained(receiver: Receiver): Promise<void> {
  for (let idle = 0; idle < 3;) {
    await turn();
    idle = receiver.accept() ? 0 : idle + 1;
  }
}

const silent = { blocked: () => undefined, flowing: () => undefined };

test('what arrives in one turn leaves as one write', async () => {
  const receiver = new Receiver();
  const gathering = new Gathering(receiver.socket, silent);
  const octets = randomBytes(4 * RECORD_OCTETS);
  for (let at = 0; at < octets.length; at += RECORD_OCTETS) gathering.add(octets.subarray(at, at + RECORD_OCTETS));
  assert.equal(gathering.waiting, true);
  await drained(receiver);
  assert.equal(receiver.writes, 1);
  assert.deepEqual(receiver.received, octets);
  assert.equal(gathering.waiting, false);
});

test('octets that were written into a lent room leave from there', async () => {
  const receiver = new Receiver();
  const gathering = new Gathering(receiver.socket, silent);
  const octets = randomBytes(3 * RECORD_OCTETS);
  for (let at = 0; at < octets.length; at += RECORD_OCTETS) {
    const room = gathering.lend();
    assert.ok(room.length >= RECORD_OCTETS);
    octets.copy(room, 0, at, at + RECORD_OCTETS);
    gathering.take(RECORD_OCTETS);
    gathering.settle();
  }
  await drained(receiver);
  assert.deepEqual(receiver.received, octets);
});

test('nobody else gets a room that a socket may still write into', async () => {
  const slow = new Gathering(new Receiver().socket, silent);
  const room = slow.lend();
  const receiver = new Receiver();
  const other = new Gathering(receiver.socket, silent);
  for (let n = 0; n < 100; n++) {
    other.add(Buffer.alloc(RECORD_OCTETS, 1));
    room.fill(2);
    await drained(receiver);
  }
  assert.equal(
    receiver.received.every((octet) => octet === 1),
    true,
  );
});

test('a slow receiver stops its sender, and lets it go on when half has gone', async () => {
  const heard: string[] = [];
  const receiver = new Receiver();
  const gathering = new Gathering(receiver.socket, {
    blocked: () => void heard.push('blocked'),
    flowing: () => void heard.push('flowing'),
  });
  let sent = 0;
  for (; !gathering.blocked; sent += RECORD_OCTETS) {
    gathering.add(Buffer.alloc(RECORD_OCTETS, 3));
    await turn();
  }
  assert.ok(sent <= 320 * 1024, `${sent} octets were taken`);
  assert.deepEqual(heard, ['blocked']);
  await drained(receiver);
  assert.deepEqual(heard, ['blocked', 'flowing']);
  assert.equal(receiver.received.length, sent);
});

test('many directions at once, in any order: each gets its own, whole and in order', async () => {
  const step = fc.record({
    who: fc.nat(2),
    what: fc.constantFrom('add', 'lend', 'lend-changed', 'send', 'flush', 'take', 'turn'),
    size: fc.oneof(fc.nat(300), fc.nat(RECORD_OCTETS), fc.constant(RECORD_OCTETS)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const ways = [0, 1, 2].map(() => {
        const receiver = new Receiver();
        return { receiver, gathering: new Gathering(receiver.socket, silent), sent: [] as Buffer[] };
      });
      for (const { who, what, size } of steps) {
        const { receiver, gathering, sent } = ways[who]!;
        const octets = randomBytes(size);
        if (what === 'turn') await turn();
        else if (what === 'take') receiver.accept();
        else if (what === 'flush') gathering.flush();
        else if (size === 0) continue;
        else {
          sent.push(octets);
          if (what === 'add') gathering.add(octets);
          else if (what === 'send') gathering.send(octets);
          else {
            const room = gathering.lend();
            octets.copy(room);
            if (what === 'lend') gathering.take(size);
            else {
              // The tap has left the first octet out.
              sent[sent.length - 1] = octets.subarray(1);
              gathering.add(room.subarray(1, size));
            }
            gathering.settle();
          }
        }
      }
      for (const { receiver, sent } of ways) {
        await drained(receiver);
        assert.ok(receiver.received.equals(Buffer.concat(sent)));
      }
    }),
    { numRuns: 300 },
  );
});
