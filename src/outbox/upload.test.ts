/** Attachments ahead of their message: durable when said to be, whole, and bounded. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { octetsOf, openOutboxBed } from '../../test/bed/outbox.ts';
import { ManualClock } from '../base/clock.ts';
import { storeError } from '../store/errors.ts';
import { takeUpload, uploadOctets } from './upload.ts';

const facts = { principal: 'key_1', filename: 'a.bin', contentType: 'application/octet-stream', maxOctets: 300_000 };

async function bed(t: TestContext) {
  const clock = new ManualClock();
  const { store, vault, close } = await openOutboxBed({ clock });
  t.after(close);
  return { store, vault, clock };
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
