import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commonExtensions, imapAfterSignIn } from './capabilities.ts';

// RFC 9051 §7.1
test('Exchange’s capabilities after sign-in lose what belongs to signing in', () => {
  const exchange =
    'IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+ ENABLE IMAP4rev2';
  assert.equal(
    imapAfterSignIn(exchange.split(' ')).join(' '),
    'IMAP4 IMAP4rev1 UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+ ENABLE',
  );
});

test('nothing that leads out of the signed-in state is announced', () => {
  assert.deepEqual(imapAfterSignIn(['IMAP4rev1', 'STARTTLS', 'LOGINDISABLED', 'UNAUTHENTICATE', 'compress=deflate']), [
    'IMAP4rev1',
  ]);
});

// RFC 5321 §4.1.1.1
test('EHLO before sign-in has what all providers have, and the smallest SIZE', () => {
  const exchange = [
    'SIZE 157286400',
    'PIPELINING',
    'DSN',
    'ENHANCEDSTATUSCODES',
    'AUTH LOGIN XOAUTH2',
    '8BITMIME',
    'CHUNKING',
    'X-EXPS GSSAPI',
  ];
  const gmail = [
    'size 35882577',
    '8bitmime',
    'AUTH LOGIN',
    'ENHANCEDSTATUSCODES',
    'PIPELINING',
    'CHUNKING',
    'SMTPUTF8',
  ];
  assert.deepEqual(commonExtensions('smtp', [exchange, gmail]), [
    'SIZE 35882577',
    'PIPELINING',
    'ENHANCEDSTATUSCODES',
    '8BITMIME',
    'CHUNKING',
  ]);
  assert.deepEqual(commonExtensions('smtp', [['SIZE', 'SIZE 5'], ['SIZE 0']]).at(0), 'SIZE');
  assert.deepEqual(commonExtensions('smtp', [['SIZE 10'], ['PIPELINING']]), []);
  assert.deepEqual(commonExtensions('smtp', []), []);
});

test('parameters that differ are not announced', () => {
  assert.deepEqual(
    commonExtensions('smtp', [
      ['LIMITS RCPTMAX=10', 'DSN'],
      ['LIMITS RCPTMAX=20', 'DSN'],
    ]),
    ['DSN'],
  );
});

// RFC 2449 §5
test('CAPA before sign-in leaves out what is ours or works only before sign-in', () => {
  assert.deepEqual(
    commonExtensions('pop3', [['TOP', 'UIDL', 'SASL PLAIN XOAUTH2', 'USER', 'UTF8 USER', 'STLS', 'PIPELINING']]),
    ['TOP', 'UIDL', 'PIPELINING'],
  );
});
