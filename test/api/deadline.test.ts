/** A message whose time is over before it is taken is refused; one that was taken under a key before is given back. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiBed, type Call, openApiBed, SHOP } from '../bed/api.ts';

let bed: ApiBed;
before(async () => {
  bed = await openApiBed();
});
after(() => bed.stop());

const MINUTE = 60_000;

test('D29: an expiresAt that has passed is refused with a new Idempotency-Key too, and answered as before with a known one', async () => {
  const client = await bed.key();
  await client.ok('putTemplate', { params: { name: 'hi' }, json: { subject: 'Hi', text: 'Hi' } });
  const expiresAt = new Date(bed.clock.now() + MINUTE).toISOString();
  const hello = { from: SHOP, to: 'bob@x.test', subject: 'Hello', text: 'Hi', expiresAt };
  const rfc822 = `From: ${SHOP}\r\nTo: bob@x.test\r\n\r\nHi\r\n`;
  const calls: Readonly<Record<string, readonly [string, Call]>> = {
    json: ['sendMessage', { json: hello }],
    finished: ['sendMessage', { query: { expiresAt }, octets: { type: 'message/rfc822', body: rfc822 } }],
    merge: [
      'sendMerge',
      { json: { from: SHOP, template: { name: 'hi' }, expiresAt, merge: [{ to: 'a@x.test' }, { to: 'b@x.test' }] } },
    ],
  };
  const under = (name: string, key: string): [string, Call] => {
    const [operation, call] = calls[name]!;
    return [operation, { ...call, headers: { 'idempotency-key': `${name}-${key}` } }];
  };
  const first = new Map<string, string>();
  for (const name of Object.keys(calls)) {
    const { id, items } = await client.ok(...under(name, 'known'));
    first.set(name, id ?? items[0].id);
  }
  await bed.clock.advance(2 * MINUTE);
  for (const [name, call] of Object.entries(calls)) {
    const { id, items } = await client.ok(...under(name, 'known'));
    assert.equal(id ?? items[0].id, first.get(name), name);
    const [operation, asked] = under(name, 'new');
    assert.match((await client.fails(operation, asked, 400, 'api.request')).detail, /expiresAt has passed/);
    await client.fails(...call, 400, 'api.request');
  }
  // Of another principal it is another key, and a day later it is forgotten.
  const [operation, asked] = under('json', 'known');
  await (await bed.key()).fails(operation, asked, 400, 'api.request');
  await bed.clock.advance(24 * 60 * MINUTE);
  await client.fails(operation, asked, 400, 'api.request');
});
