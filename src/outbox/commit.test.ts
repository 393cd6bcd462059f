/** Which messages go together, and that each hears of its own end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storeError } from '../store/errors.ts';
import type { Insertion, NewMessage } from '../store/types-outbox.ts';
import { GroupCommit } from './commit.ts';

const MIB = 1024 * 1024;
const messageOf = (id: string, octets = 1): NewMessage =>
  ({ message: { id }, chunks: [{ number: 0, data: new Uint8Array(octets) }] }) as unknown as NewMessage;
const inserted = (messages: readonly NewMessage[]): Insertion[] =>
  messages.map(({ message: { id } }) => ({ id }) as never);

/** The first write waits until it is let go, so that the others gather. */
function gathering(write: (messages: readonly NewMessage[]) => Insertion[] = inserted) {
  const groups: number[] = [];
  const first = Promise.withResolvers<void>();
  const commit = new GroupCommit(async (messages) => {
    groups.push(messages.length);
    if (groups.length === 1) await first.promise;
    return write(messages);
  });
  return { commit, groups, go: first.resolve };
}

test('two hundred go together and no more; the first goes alone', async () => {
  const { commit, groups, go } = gathering();
  const all = Array.from({ length: 402 }, (_, n) => commit.add(messageOf(`m${n}`)));
  go();
  const ids = (await Promise.all(all)).map((one) => (one as unknown as { id: string }).id);
  assert.deepEqual(
    ids,
    Array.from({ length: 402 }, (_, n) => `m${n}`),
  );
  assert.deepEqual(groups, [1, 200, 200, 1]);
  await commit.idle();
});

test('a group is full at sixteen megabytes; one that is larger goes all the same', async () => {
  const { commit, groups, go } = gathering();
  const all = [1, 8 * MIB, 8 * MIB, 1, 20 * MIB, 1].map((octets, n) => commit.add(messageOf(`m${n}`, octets)));
  go();
  await Promise.all(all);
  assert.deepEqual(groups, [1, 2, 2, 1]);
});

test('a message that the database chokes on fails alone; a database that is away fails all that wait', async () => {
  const choking = gathering((messages) => {
    if (messages.some(({ message }) => message.id === 'bad')) throw new Error('too large');
    return inserted(messages);
  });
  const all = ['a', 'b', 'bad', 'c'].map((id) => choking.commit.add(messageOf(id)));
  choking.go();
  const ends = (await Promise.allSettled(all)).map(({ status }) => status);
  assert.deepEqual(ends, ['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);

  const away = gathering(() => {
    throw storeError('store.unavailable', 'away');
  });
  const waiting = ['a', 'b', 'c'].map((id) => away.commit.add(messageOf(id)));
  away.go();
  assert.ok((await Promise.allSettled(waiting)).every(({ status }) => status === 'rejected'));
  assert.deepEqual(away.groups, [1], 'whoever waits is not made to wait for the same answer');
});

test('what was written but may not be acknowledged is refused', async () => {
  let asked = 0;
  const commit = new GroupCommit(
    async (messages) => inserted(messages),
    () => {
      if (++asked % 2 === 0) throw storeError('store.unavailable', 'another database');
    },
  );
  await assert.rejects(commit.add(messageOf('a')), { code: 'store.unavailable' });
});
