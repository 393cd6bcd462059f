/** As whom a mailbox may send. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maySendAs, sendersOf } from './senders.ts';

test('itself and what is declared, in any case, and nobody else', () => {
  const plain = { address: 'alice@contoso.test', settings: {} };
  const more = { address: 'alice@contoso.test', settings: { sendAs: ['Sales@contoso.test'] } };
  assert.deepEqual(sendersOf(plain), ['alice@contoso.test']);
  assert.deepEqual(sendersOf(more), ['alice@contoso.test', 'Sales@contoso.test']);
  assert.equal(maySendAs(plain, 'ALICE@contoso.test'), true);
  assert.equal(maySendAs(more, 'sales@CONTOSO.test'), true);
  assert.equal(maySendAs(plain, 'sales@contoso.test'), false);
  assert.equal(maySendAs(more, ''), false);
});
