import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import type { LogFields } from '../../base/log.ts';
import { protocolError } from '../errors.ts';
import { HandshakeFailures, reasonOf } from './handshake-failure.ts';

const REASONS = {
  'old-version': ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'],
  'no-common-cipher': [
    'ERR_SSL_NO_SHARED_CIPHER',
    'ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS',
    'ERR_SSL_NO_SUITABLE_KEY_SHARE',
    'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE',
  ],
  'certificate-refused': ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED'],
  'not-tls': ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_HTTP_REQUEST'],
  left: ['ECONNRESET', undefined],
  other: ['ERR_SSL_BAD_RECORD_TYPE'],
};

for (const [reason, codes] of Object.entries(REASONS))
  test(`B16: ${codes.join(', ')} is ${reason}`, () => {
    for (const code of codes) assert.equal(reasonOf(code), reason);
  });

test('B16: one line an hour for each address, protocol and reason, with how often it was; everything is counted', async () => {
  const clock = new ManualClock();
  const lines: LogFields[] = [];
  const counted: string[] = [];
  const nothing = (): void => undefined;
  const warn = (fields: LogFields): void => void lines.push(fields);
  const log = { debug: nothing, info: warn, warn, error: nothing, child: () => log };
  const failures = new HandshakeFailures({ clock, log, count: (...what) => void counted.push(what.join(' ')) });
  const failed = (reason: string) => protocolError('tls.program', 'failed', { detail: { reason, offered: 'TLS 1.0' } });
  for (let at = 0; at < 7; at++) failures.note('smtp', '192.0.2.1', failed('old-version'));
  failures.note('smtp', '192.0.2.2', failed('certificate-refused'));
  failures.note('imap', '192.0.2.1', failed('old-version'));
  failures.note('device', '192.0.2.1', failed('old-version'));
  failures.note('imap', '192.0.2.2', failed('left'));
  failures.note('pop3', '192.0.2.2', failed('not-tls'));
  failures.note('imap', '192.0.2.2', protocolError('wire.closed', 'gone'));
  assert.deepEqual(
    lines.map(({ remoteAddress, reason, times }) => [remoteAddress, reason, times]),
    [
      ['192.0.2.1', 'old-version', 1],
      ['192.0.2.2', 'certificate-refused', 1],
      ['192.0.2.1', 'old-version', 1],
      ['192.0.2.1', 'old-version', 1],
      ['192.0.2.2', 'left', 1],
      ['192.0.2.2', 'not-tls', 1],
    ],
  );
  assert.equal(counted.length, 12);
  // F7: what is advised fits what the program was doing.
  assert.match(String(lines[0]!['hint']), /listener for devices/);
  assert.match(String(lines[2]!['hint']), /tunnel/);
  assert.match(String(lines[3]!['hint']), /this same listener/);
  assert.match(String(lines[2]!['hint']), /if it uses STARTTLS, try “SSL\/TLS”/);
  assert.doesNotMatch(String(lines[3]!['hint']), /if it uses STARTTLS/);
  assert.match(String(lines[3]!['hint']), /outbox\.devices\.tls: plain/);
  await clock.advance(3_600_000);
  failures.note('smtp', '192.0.2.1', failed('old-version'));
  assert.equal(lines.at(-1)!['times'], 7);
});

test('F35: every failure has a line, with words that hold for all of its causes', () => {
  const lines: { readonly message: string; readonly fields: LogFields }[] = [];
  const nothing = (): void => undefined;
  const write = (fields: LogFields, message: string): void => void lines.push({ fields, message });
  const log = { debug: nothing, info: write, warn: write, error: nothing, child: () => log };
  const failures = new HandshakeFailures({ clock: new ManualClock(), log, count: nothing });
  for (const reason of Object.keys(REASONS)) {
    const cause = Object.assign(new Error('x'), { code: 'ERR_SSL_UNEXPECTED_MESSAGE' });
    failures.note('imap', '192.0.2.1', protocolError('tls.program', 'failed', { detail: { reason }, cause }));
  }
  assert.deepEqual(
    lines.map(({ fields }) => fields['reason']),
    Object.keys(REASONS),
  );
  assert.match(lines[1]!.message, /no cipher, key exchange or signature in common/);
  assert.match(lines.at(-1)!.message, /could not begin TLS \(ERR_SSL_UNEXPECTED_MESSAGE\)/);
});

test('Q2: a program in IPv6 that takes another address of its /64 each time has one line', () => {
  const lines: LogFields[] = [];
  const nothing = (): void => undefined;
  const warn = (fields: LogFields): void => void lines.push(fields);
  const log = { debug: nothing, info: warn, warn, error: nothing, child: () => log };
  const failures = new HandshakeFailures({ clock: new ManualClock(), log, count: nothing });
  const failed = protocolError('tls.program', 'failed', { detail: { reason: 'not-tls' } });
  for (let at = 1; at <= 3000; at++) failures.note('imap', `2001:db8:1:2::${at.toString(16)}`, failed);
  assert.equal(lines.length, 1);
  failures.note('imap', '2001:db8:1:3::1', failed);
  assert.equal(lines.length, 2);
});
