/** What is held of a message while it comes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Secret } from '../base/secret.ts';
import { openStore } from '../store/open.ts';
import { environmentKey } from '../vault/key-source.ts';
import { openVault } from '../vault/open.ts';
import { BodyWriter, CHUNK_OCTETS, partOf } from './body.ts';
import { OctetCheck } from './header.ts';

async function dataKey() {
  const store = await openStore('sqlite::memory:', { clock: new ManualClock() });
  const vault = await openVault(store.settings, environmentKey(new Secret(randomBytes(32).toString('base64url'))));
  const { key } = await vault.newDataKey('message/1');
  await store.close();
  return key;
}

test('A36: octets that come one by one take as much memory as they are, not a buffer each', async () => {
  const writer = new BodyWriter(await dataKey(), 1_000_000, () => Promise.resolve());
  for (let n = 0; n < 100_000; n++) await writer.add(Buffer.from('x'));
  const { octets, pieces } = writer.held;
  assert.equal(pieces, 1);
  assert.ok(octets <= 200_000, `${octets}`);
  assert.equal(writer.end().size, 100_000);
});

test('A36: however a message is cut, what is written is what came', async () => {
  const key = await dataKey();
  const whole = randomBytes(CHUNK_OCTETS * 2 + 1000);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 300_000 })), { maxLength: 60 }),
      async (cuts) => {
        const chunks: Buffer[] = [];
        const writer = new BodyWriter(key, 10_000_000, async (number, data) => {
          chunks.push(Buffer.from(key.open(partOf(number, false), data)));
        });
        let at = 0;
        for (const cut of cuts) await writer.add(whole.subarray(at, (at += cut)));
        const { rest, size } = writer.end();
        chunks.push(Buffer.from(key.open(partOf(rest.number, true), rest.data)));
        const came = whole.subarray(0, at);
        assert.ok(Buffer.concat(chunks).equals(came));
        assert.equal(size, came.length);
      },
    ),
    { numRuns: 50 },
  );
});

// RFC 6152
test('octets above 127 are seen wherever they come, and stay seen', () => {
  const check = new OctetCheck();
  const seen = ['plain\r\n', 'Zoë\r\n', 'plain\r\n'].map((text) => {
    check.look(Buffer.from(text));
    return check.eightBit;
  });
  assert.deepEqual(seen, [false, true, true]);
});
