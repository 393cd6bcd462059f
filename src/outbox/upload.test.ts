/** Attachments ahead of their message: durable when said to be, whole, and bounded. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { octetsOf, openOutboxBed } from '../../test/bed/outbox.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { storeError } from '../store/errors.ts';
import { UploadRoom } from './upload-room.ts';
import { takeUpload, uploadOctets } from './upload.ts';

const facts = { principal: 'key_1', filename: 'a.bin', contentType: 'application/octet-stream', maxOctets: 300_000 };

async function bed(t: TestContext) {
  const clock = new ManualClock();
  const { store, vault, outbox, close } = await openOutboxBed({ clock });
  t.after(close);
  return { store, vault, clock, outbox, room: new UploadRoom() };
}

async function* pieces(octets: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < octets.length; at += 7_000) yield octets.subarray(at, at + 7_000);
}

test('what was taken is there whole, for a day', async (t) => {
  const deps = await bed(t);
  const octets = randomBytes(300_000);
  const upload = await takeUpload(deps, facts, pieces(octets));
  assert.deepEqual([upload.size, upload.filename, upload.principal], [300_000, 'a.bin', 'key_1']);
  assert.equal(upload.expiresAt - upload.createdAt, 86_400_000);
  assert.ok((await octetsOf(uploadOctets(deps, upload))).equals(octets));
});

test('one octet too many, or a last piece that cannot be written down, and it was not taken', async (t) => {
  const deps = await bed(t);
  await assert.rejects(takeUpload(deps, facts, pieces(randomBytes(300_001))), { code: 'outbox.too-large' });
  const inserted = t.mock.method(deps.store.uploads, 'insert');
  t.mock.method(deps.store.outbox, 'addChunks', () =>
    Promise.reject(storeError('store.unavailable', 'the database is away')),
  );
  await assert.rejects(takeUpload(deps, facts, pieces(Buffer.from('small'))), { code: 'store.unavailable' });
  assert.equal(inserted.mock.callCount(), 0);
});

test('A62: the uploads of a key are bounded in number and octets, kept and arriving; what is broken off leaves nothing', async (t) => {
  const deps = { ...(await bed(t)), room: new UploadRoom({ count: 3, octets: 1_000_000 }) };
  const { store, outbox, clock } = deps;
  const take = (octets: number, principal = 'key_1') =>
    takeUpload(deps, { ...facts, principal, maxOctets: 900_000 }, pieces(Buffer.alloc(octets)));
  const tooMany = { code: 'outbox.too-many-uploads' };
  const first = await take(600_000);
  await assert.rejects(take(600_000), tooMany);
  // What is arriving counts as well, while it does.
  const arriving = Promise.withResolvers<void>();
  const slow = takeUpload(
    deps,
    facts,
    (async function* () {
      yield Buffer.alloc(290_000);
      await arriving.promise;
      throw new Error('the client went away');
    })(),
  );
  await new Promise((turn) => setImmediate(turn));
  await assert.rejects(take(200_000), tooMany);
  assert.equal((await take(600_000, 'key_2')).size, 600_000);
  arriving.resolve();
  await assert.rejects(slow, /went away/);
  await take(200_000);
  await take(1);
  await assert.rejects(take(1), tooMany);
  assert.deepEqual(await store.uploads.held('key_1', clock.now()), { count: 3, octets: 800_001 });
  await store.uploads.remove(first.id);
  await take(300_000);
  // Nothing of what was refused or broken off is left for the sweep.
  await clock.advance(7 * 3_600_000);
  assert.equal((await outbox.tidy()).orphans, 0);
  await clock.advance(86_400_000);
  assert.deepEqual(await store.uploads.held('key_1', clock.now()), { count: 0, octets: 0 });
});

test('A74: uploads that are opened together and end one after another keep to the bound of their key', async (t) => {
  const deps = { ...(await bed(t)), room: new UploadRoom({ count: 100, octets: 1_000_000 }) };
  const gates = Array.from({ length: 20 }, () => Promise.withResolvers<void>());
  const begun: Promise<void>[] = [];
  const all = gates.map(({ promise }) => {
    const opened = Promise.withResolvers<void>();
    begun.push(opened.promise);
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(1);
      opened.resolve();
      await promise;
      yield Buffer.alloc(149_999);
    }
    return takeUpload(deps, facts, body());
  });
  await Promise.all(begun);
  const results: string[] = [];
  for (const [index, { resolve }] of gates.entries()) {
    resolve();
    results.push(
      await all[index]!.then(
        () => 'kept',
        (error: { code: string }) => error.code,
      ),
    );
  }
  assert.deepEqual([...new Set(results.slice(6))], ['outbox.too-many-uploads']);
  assert.deepEqual(await deps.store.uploads.held('key_1', deps.clock.now()), { count: 6, octets: 900_000 });
  // Two processes do not know of each other's, the table does.
  const others = { ...deps, room: new UploadRoom({ count: 100, octets: 1_200_000 }) };
  const mine = { ...deps, room: new UploadRoom({ count: 100, octets: 1_200_000 }) };
  const both = await Promise.allSettled(
    [mine, others].map((one) => takeUpload(one, facts, pieces(Buffer.alloc(200_000)))),
  );
  assert.deepEqual(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  assert.equal((await deps.outbox.tidy()).orphans, 0);
});

test('what one upload has finished counts at once for another that arrives', async () => {
  // The table of a database that other processes use as well: it has not been asked since both were opened.
  const table = { held: () => Promise.resolve({ count: 0, octets: 0 }), insert: () => Promise.resolve(true) };
  const room = new UploadRoom({ count: 10, octets: 1000 });
  const one = await room.open(table, 'key_1', 0);
  const other = await room.open(table, 'key_1', 0);
  one.add(600);
  await one.keep({ size: 600 } as Parameters<typeof one.keep>[0]);
  other.add(400);
  assert.throws(() => other.add(1), { code: 'outbox.too-many-uploads' });
});
