/** Whom a message is from by its own header. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import { authorOf, headerOf } from './author.ts';

const message = { envelopeFrom: 'envelope@x.test' } as OutboxMessage;

async function* inPieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size));
}

test('it is the address of From; the envelope’s where that cannot be read', async () => {
  const of = (text: string) => authorOf({ message, body: () => inPieces(text, 3) });
  assert.equal(await of('Subject: x\r\nFrom: A <a@x.test>\r\n\r\nFrom: b@x.test\r\n'), 'a@x.test');
  assert.equal(await of('Subject: x\r\n\r\nFrom: b@x.test\r\n'), 'envelope@x.test');
  assert.equal(await of('From: a@x.test'), 'envelope@x.test', 'a header without an end is none');
});

test('a header that is longer than any is not read on', async () => {
  let read = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    const line = Buffer.from(`X: ${'x'.repeat(60_000)}\r\n`);
    for (; read < 1_000; read++) yield line;
  }
  assert.equal(await headerOf(() => endless()), undefined);
  assert.ok(read < 100, `${read} pieces`);
});
