/** Names without a domain, in an envelope. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { completeRecipient, completeSender, localName } from './local-name.ts';

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

test('programs of this machine write one user in three ways, others in one', () => {
  const own = { localDomain: 'Host.test', localHosts: ['box'], mayBe: (one: string) => one === 'ops@host.test' };
  const name = (address: string, rules: Parameters<typeof localName>[1] = own) =>
    localName({ address, isLocal: !address.includes('@') }, rules);
  assert.deepEqual(
    ['root', 'root@box', 'root@HOST.test'].map((one) => name(one)),
    ['root', 'root', 'root'],
  );
  assert.equal(name('ops@host.test'), undefined, 'somebody has that address');
  assert.equal(name('root@other.test'), undefined);
  assert.equal(name('root@box', { localDomain: 'host.test' }), undefined, 'no program of this machine');
});
