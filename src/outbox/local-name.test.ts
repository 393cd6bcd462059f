/** Names without a domain, in an envelope. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { completeRecipient, completeSender } from './local-name.ts';

test('a recipient gets the domain that is configured, and is refused without one', () => {
  assert.equal(completeRecipient('root', 'host.test'), 'root@host.test');
  assert.equal(completeRecipient('root@other.test', 'host.test'), 'root@other.test');
  assert.equal(completeRecipient('', undefined), '');
  assert.throws(
    () => completeRecipient('ro\u0000ot', undefined),
    (error) => isError(error, 'outbox.local-name') && error.message.includes('ro ot has no domain'),
  );
});

test('a completed sender that may not send is replaced; one that came with its domain is left to the check of senders', () => {
  const rules = {
    localDomain: 'host.test',
    instead: 'alice@contoso.test',
    mayBe: (one: string) => one === 'ops@host.test',
  };
  assert.equal(completeSender('root', rules), 'alice@contoso.test');
  assert.equal(completeSender('ops', rules), 'ops@host.test');
  assert.equal(completeSender('root@host.test', rules), 'root@host.test');
});
