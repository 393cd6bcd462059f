/** Reports and complaints as servers write them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readReturned } from './returned.ts';

const crlf = (text: string): Buffer => Buffer.from(text.replaceAll('\n', '\r\n'));

const exchange = crlf(`From: <postmaster@contoso.test>
To: <alice@contoso.test>
Message-ID: <ndr-1@prod.outlook.test>
In-Reply-To: <mine@contoso.test>
Subject: Undeliverable: hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="frontier"

--frontier
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain

Your message couldn't be delivered.
--inner--
--frontier
Content-Type: message/delivery-status

Reporting-MTA: dns;BN8PR01.prod.outlook.test
Received-From-MTA: dns;smtp.office365.com
Arrival-Date: Sat, 21 Nov 2026 10:00:00 +0000

Final-Recipient: rfc822;nobody@fabrikam.test
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound;
 Recipient not found by SMTP address lookup

Original-Recipient: rfc822;late@fabrikam.test
Final-Recipient: rfc822;other@fabrikam.test
Action: delayed
Status: 4.4.7

--frontier
Content-Type: message/rfc822

From: alice@contoso.test
Message-ID: <original@contoso.test>
Subject: hello

hi
--frontier--
`);

// RFC 3464 §2.3.3
test('a report of Exchange: who, what, why, about which message', () => {
  assert.deepEqual(readReturned(exchange), {
    type: 'report',
    reportId: '<ndr-1@prod.outlook.test>',
    reporter: 'BN8PR01.prod.outlook.test',
    feedback: undefined,
    envelopeId: undefined,
    about: ['<original@contoso.test>', '<mine@contoso.test>'],
    recipients: [
      {
        address: 'nobody@fabrikam.test',
        action: 'failed',
        status: '5.1.10',
        diagnostic: '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup',
      },
      { address: 'late@fabrikam.test', action: 'delayed', status: '4.4.7', diagnostic: undefined },
    ],
  });
});

test('a complaint in the form of RFC 5965', () => {
  const returned = readReturned(
    crlf(`From: <abuse@example.test>
Message-ID: <arf@example.test>
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

This is an email abuse report.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Rcpt-To: <user@example.test>

--b
Content-Type: text/rfc822-headers

Message-ID: <original@contoso.test>
--b--
`),
  );
  assert.equal(returned?.type, 'complaint');
  assert.deepEqual(returned.about, ['<original@contoso.test>']);
  assert.deepEqual([returned.feedback, returned.recipients[0]?.address], ['abuse', 'user@example.test']);
});

test('ordinary mail is neither, whatever it attaches', () => {
  assert.equal(readReturned(crlf('Subject: x\n\nAction: failed\n')), undefined);
  assert.equal(
    readReturned(crlf('Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nx\n--b--\n')),
    undefined,
  );
  // Somebody forwards a report: what is inside the attached message is not about us.
  const forwarded = Buffer.concat([
    crlf('Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n'),
    exchange,
    crlf('\n--b--\n'),
  ]);
  assert.equal(readReturned(forwarded), undefined);
});

test('cut anywhere and broken anyhow it does not throw', () => {
  fc.assert(
    fc.property(fc.nat(exchange.length), fc.nat(exchange.length), fc.uint8Array({ maxLength: 8 }), (cut, at, noise) => {
      const broken = Buffer.from(exchange);
      Buffer.from(noise).copy(broken, Math.min(at, broken.length - noise.length));
      readReturned(broken.subarray(0, cut));
    }),
    { numRuns: 300 },
  );
});

test('A79: a report is about a bounded number of messages, whatever it names', () => {
  const part = (n: number): string => `--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <m${n}@contoso.test>\n`;
  const originals = Array.from({ length: 1000 }, (_, n) => part(n)).join('\n');
  const report = `Content-Type: multipart/report; boundary=b\nMessage-ID: <r@x.test>\n\n--b\nContent-Type: message/delivery-status\n
Reporting-MTA: dns; x.test\n\nFinal-Recipient: rfc822; bob@x.test\nAction: failed\nStatus: 5.1.1\n\n${originals}\n--b--\n`;
  const { about } = readReturned(crlf(report))!;
  assert.deepEqual([about.length, about[0]], [50, '<m0@contoso.test>']);
});
