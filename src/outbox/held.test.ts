/** A mailbox that is held, in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heldOf, heldText, releaseCommand } from './held.ts';

test('a held mailbox is told with its reason, and without one where none was given', () => {
  const held = { mailbox: 'shop@x.test', since: Date.UTC(2026, 10, 21, 9, 30, 15), by: 'alice' };
  const says = 'nothing of shop@x.test is sent: held since 2026-11-21 09:30 UTC by alice';
  assert.equal(heldText({ ...held, reason: '' }), says);
  assert.equal(heldText({ ...held, reason: 'wrong template' }), `${says}: wrong template`);
  assert.equal(releaseCommand({ ...held, reason: '' }), 'postern outbox release shop@x.test');
});

test('a mailbox that is not held, or is not there, is not held', () => {
  assert.equal(heldOf({ address: 'a@x.test', settings: {} }), undefined);
  assert.equal(heldOf(undefined), undefined);
});
