/** Replies whose exact code other people's servers and programs act on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replyTo } from './replies.ts';

test('by SMTP a full disk, a message too large and an address that is blocked are told apart (RFC 5321 §4.2.3, RFC 3463 §3.4, §3.8)', () => {
  assert.equal(replyTo({ code: 'store.full', kind: 'later' }).smtp, '452 4.3.1');
  assert.equal(replyTo({ code: 'outbox.too-large', kind: 'limit' }).smtp, '552 5.3.4');
  assert.equal(replyTo({ code: 'outbox.suppressed', kind: 'refused' }).smtp, '550 5.7.1');
});

test('by POP3 another session and a sign-in too soon have their own codes (RFC 2449 §8.1.1, §8.1.2)', () => {
  assert.equal(replyTo({ code: 'gateway.maildrop-in-use', kind: 'later' }).pop3, '-ERR [IN-USE]');
  assert.equal(replyTo({ code: 'gateway.login-delay', kind: 'later' }).pop3, '-ERR [LOGIN-DELAY]');
});
