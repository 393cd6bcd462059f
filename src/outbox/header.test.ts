/** What is read of a header, refused of it, and written again. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openOutboxBed, octetsOf, type OutboxBed } from '../../test/bed/outbox.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError } from '../base/error.ts';
import { readAddressList } from '../protocol/mime/address-list.ts';
import type { Mailbox } from '../store/types.ts';
import { headerAddresses } from './header-addresses.ts';
import type { AcceptRequest } from './types.ts';

const ALICE = 'alice@contoso.test';
const INFO = 'info@contoso.test';
const CEO = 'ceo@contoso.test';

describe('who a message is from', () => {
  const clock = new ManualClock();
  let bed: OutboxBed;
  let local: OutboxBed;
  let mailbox: Mailbox;
  before(async () => {
    bed = await openOutboxBed({ clock });
    local = await openOutboxBed({ clock, localDomain: 'contoso.test' });
    mailbox = await bed.addMailbox('sales@contoso.test', { sendAs: [INFO, ALICE] });
  });
  after(() => Promise.all([bed.close(), local.close()]));

  const taken = async (header: string, change: Partial<AcceptRequest> = {}, where = bed): Promise<string> => {
    const text = `${header.replaceAll('\n', '\r\n')}\r\n\r\nhi\r\n`;
    const { message } = await where.outbox.accept(where.request(change), [Buffer.from(text)]);
    return (await octetsOf(where.outbox.body(message))).toString().split('\r\n\r\n')[0]!;
  };
  const refused = (header: string, change: Partial<AcceptRequest> = {}, error = 'outbox.sender') =>
    assert.rejects(taken(header, change), (thrown) => isError(thrown, error), header);
  const nobody = { envelope: { from: '', recipients: [{ address: 'bob@x.test' }] } };

  // RFC 5322 §3.6.2
  test('S5: From and Sender name the mailbox or what is declared for it, whichever way the message came', async () => {
    for (const source of ['smtp', 'http', 'sendmail', 'device'] as const) {
      for (const good of [
        `From: ${ALICE}`,
        `From: "A, B" <${ALICE}>`,
        `from : (me) Alice\n <${ALICE}>`,
        `From: ALICE@contoso.test`,
      ])
        await taken(good, { source });
      await refused(`From: ${CEO}`, { source });
      await refused(`From: ${ALICE}\nSender: ${CEO}`, { source });
      await refused(`From: ${ALICE}, ${CEO}\nSender: ${ALICE}`, { source });
      await refused(`From: ${ALICE}\nResent-From: ${CEO}`, { source });
    }
  });

  // RFC 5322 §3.4, §3.6
  test('S5: what readers take for two different addresses is refused', async () => {
    for (const twisted of [
      `From: ${CEO} <${ALICE}>`,
      `From: <${CEO}> <${ALICE}>`,
      `From: <${ALICE}> ${CEO}`,
      `From: <${CEO}`,
      `From: "${CEO} <${ALICE}>`,
      `From: (${CEO} <${ALICE}>`,
      `From: undisclosed: ${ALICE};`,
      `From: <@contoso.test:${ALICE}>`,
      'From:',
      'From: (only)',
      'From: <>',
      `From: ${ALICE} ${CEO}`,
    ])
      await assert.rejects(
        taken(twisted),
        (error) => isError(error, 'outbox.header') || isError(error, 'outbox.sender'),
        twisted,
      );
    for (const twice of [
      `From: ${ALICE}\nFrom: ${CEO}`,
      `From: ${ALICE}\nfrom : ${ALICE}`,
      `From: ${ALICE}\nSubject: a\nsubject: b`,
      'Date: x\nDate: y',
    ])
      await refused(twice, {}, 'outbox.header');
    await taken(`From: ${ALICE} <${ALICE}>`);
  });

  test('S5: several authors need a Sender; a missing From is added', async () => {
    const change = { mailbox, envelope: { from: INFO, recipients: [{ address: 'bob@x.test' }] } };
    await refused(`From: ${INFO}, ${ALICE}`, change, 'outbox.header');
    await refused(`From: ${INFO}, ${ALICE}\nSender: ${INFO}, ${ALICE}`, change, 'outbox.header');
    await taken(`From: ${INFO}, ${ALICE}\nSender: ${INFO}`, change);
    assert.match(await taken('Subject: x', change), /^Subject: x\r\nFrom: info@contoso\.test\r\n/);
    await refused(`From: ${INFO}`, {
      ...change,
      onlySender: 'sales@contoso.test',
      envelope: { ...change.envelope, from: 'sales@contoso.test' },
    });
  });

  // RFC 5321 §4.5.5
  test('S5: only reports and automatic answers have no sender, and speak for nobody else', async () => {
    await refused(`From: ${ALICE}`, nobody);
    await refused(`From: ${CEO}\nContent-Type: multipart/report; boundary=b`, nobody);
    await refused(`From: ${CEO}\nAuto-Submitted: auto-replied`, nobody);
    await refused(`From: ${ALICE}\nAuto-Submitted: no`, nobody);
    await taken(`From: ${ALICE}\nAuto-Submitted: auto-replied`, nobody);
    await taken(
      `From: ${ALICE}\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b`,
      nobody,
    );
    // As Postfix 3.7 and dma write them.
    const postfix =
      'Date: Sat, 21 Nov 2026 10:00:00 +0000 (UTC)\nFrom: MAILER-DAEMON@host.internal (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender\nTo: bob@x.test\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\tboundary="2B5.1/host.internal"\nMessage-Id: <20261121100000.2B5@host.internal>';
    await taken(postfix, nobody);
    await taken('From: MAILER-DAEMON <>\nContent-Type: multipart/report', nobody);
  });

  test('F2: a report of a local mail server comes from its mailbox, and says who wrote it', async () => {
    const from = 'From: MAILER-DAEMON@vm.contoso.test (Mail Delivery System)';
    for (const kind of ['Content-Type: multipart/report; boundary=b', 'Auto-Submitted: auto-replied'])
      assert.ok(
        (await taken(`${from}\n${kind}`, nobody)).startsWith(
          `From: Mail Delivery System <${ALICE}>\r\nX-Original-${from}\r\n${kind}\r\n`,
        ),
      );
    const dma = await taken('From: MAILER-DAEMON <>\nContent-Type: multipart/report', nobody);
    assert.ok(dma.startsWith(`From: MAILER-DAEMON <${ALICE}>\r\nX-Original-From: MAILER-DAEMON <>\r\n`));
    const missing = await taken('Content-Type: multipart/report; boundary=b', nobody);
    assert.match(missing, /^From: Mail Delivery System <alice@contoso\.test>\r$/m);
    const local = await taken('From: root (Anacron)\nAuto-Submitted: auto-generated', nobody);
    assert.match(local, /^From: "root \(Anacron\)" <alice@contoso\.test>\r$/m);
    // With a sender it is mail as any other.
    await refused(`${from}\nAuto-Submitted: auto-replied`);
  });

  // RFC 5322 §2.2
  test('a name that a local user was given brings no control characters into From', async () => {
    const header = await taken('Subject: x', { authorName: 'Al\r\nBcc: \u0000ice\u007f' });
    assert.match(header, /^From: "?AlBcc: ice"? <alice@contoso\.test>$/m);
  });

  // RFC 6531 §3.3, RFC 6152 §3
  test('a header with octets above 127 needs SMTPUTF8, a text with them 8BITMIME, and what is ASCII neither', async () => {
    const needs = async (text: string): Promise<readonly boolean[]> => {
      const { message } = await bed.outbox.accept(bed.request(), [Buffer.from(text)]);
      return [message.smtputf8, message.eightBit];
    };
    assert.deepEqual(await needs('Subject: x\r\n\r\nhi\r\n'), [false, false]);
    assert.deepEqual(await needs('Subject: ü\r\n\r\nhi\r\n'), [true, true]);
    assert.deepEqual(await needs('Subject: x\r\n\r\nhü\r\n'), [false, true]);
  });

  test('B2: names without a domain are completed; an author who is nobody’s address gives way to the sender', async () => {
    const cron = 'From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> true';
    assert.match(await taken(cron), /^From: "root \(Cron Daemon\)" <alice@contoso\.test>\r\nTo: root\r\n/);
    assert.match(
      await taken(cron, {}, local),
      /^From: "root \(Cron Daemon\)" <alice@contoso\.test>\r\nTo: root@contoso\.test\r\n/,
    );
    assert.match(
      await taken('From: Alice <alice>\nCc: Bob <bob>, "x, y" <carol>', {}, local),
      /^From: Alice <alice@contoso\.test>\r\nCc: Bob <bob@contoso\.test>,\r\n "x, y" <carol@contoso\.test>\r\n/,
    );
    assert.match(await taken('From: ceo'), /^From: ceo <alice@contoso\.test>\r\n|^From: alice@contoso\.test\r\n/);
    await assert.rejects(
      local.outbox.accept(local.request({ envelope: { from: ALICE, recipients: [{ address: 'root' }] } }), []),
      (error) => isError(error, 'outbox.address'),
    );
  });

  // RFC 5322 §4.5
  test('A1b, A1f: space before a colon is part of a field and does not leave; what is no field is refused', async () => {
    await refused(`From : ${CEO}\nSubject: x`);
    await refused(`From \t: ${CEO}\nSubject: x`);
    assert.match(await taken(`From \t: ${ALICE}\nX-A : b`), /^From: alice@contoso\.test\r\nX-A: b\r\n/);
    for (const line of ['From\x0b: ', 'From\xa0: ', 'From\n : ', 'no field\nFrom: '])
      await refused(`${line}${CEO}`, {}, 'outbox.header');
    // The header that leaves is our own, in front of what was meant as text.
    assert.match(await taken(`\nFrom: ${CEO}`), /^From: alice@contoso\.test\r\nMessage-ID: [^\r]*\r\nDate: [^\r]*$/);
  });

  test('B3: the line of an mbox in front of the header is left out', async () => {
    for (const line of ['From 1234abcd Mon Sep 17 00:00:00 2001', '>From alice Mon Sep 17 00:00:00 2001'])
      assert.match(await taken(`${line}\nFrom: ${ALICE}\nSubject: x`), /^From: alice@contoso\.test\r\nSubject: x\r\n/);
    await refused(`Subject: x\nFrom alice Mon Sep 17`, {}, 'outbox.header');
  });

  // RFC 5322 §2.2
  test('B4: a header line that is none is an error that says which', async () => {
    for (const [header, line] of [
      ['Hello world', 1],
      [`From: ${ALICE}\nSubject: a\n b\nno field`, 4],
      [' indented', 1],
      [`From: ${ALICE}\n: x`, 2],
      [`From: ${ALICE}\nBad name: x`, 2],
    ] as const)
      await assert.rejects(
        taken(header),
        (error: Error) => isError(error, 'outbox.header') && error.message.startsWith(`line ${line} `),
        header,
      );
  });

  test('B9: an empty Message-ID or Date is replaced, not kept beside another', async () => {
    for (const empty of ['Message-ID:', 'Message-ID: ', 'Message-ID: \n  \n\t', 'Date: \n ', 'message-id :']) {
      const header = await taken(`${empty}\nFrom: ${ALICE}`);
      assert.equal(header.match(/^message-id *:/gim)?.length, 1, header);
      assert.match(header, /^Message-ID: <\S+@contoso\.test>$/m);
      assert.equal(header.match(/^date *:/gim)?.length, 1, header);
      assert.match(header, /^Date: \w/m);
    }
  });

  test('Q4: a Message-ID that programs write is kept as it stands, however odd', async () => {
    for (const id of [
      'no brackets@x',
      '<a@x> <b@x>',
      '<<a@x>>',
      '<a>b@x>',
      '<drücker@x.test>',
      `<${'x'.repeat(900)}@x.test>`,
    ])
      assert.ok((await taken(`From: ${ALICE}\nMessage-ID: ${id}`)).includes(`\r\nMessage-ID: ${id}\r\n`), id);
  });

  test('Q4: a Message-ID with a control character, or longer than a line, is refused', async () => {
    for (const id of [
      '<a\x1b[2J@x.test>',
      '<a\x7f@x.test>',
      '<a\x01@x.test>',
      `<${'x'.repeat(998)}>`,
      `<${'x'.repeat(600)}\n ${'x'.repeat(600)}>`,
    ])
      await refused(`From: ${ALICE}\nMessage-ID: ${id}`, {}, 'outbox.header');
  });

  // RFC 5322 §3.6.6
  test('B5: who resends a message is checked, and may leave its author only by sendmail', async () => {
    const resent = `Resent-From: ${ALICE}\nResent-To: new@x.test\nResent-Bcc: hidden@x.test\nFrom: far@x.test\nTo: list@x.test`;
    await refused(resent);
    const header = await taken(resent, { source: 'sendmail', dropBcc: true });
    assert.ok(!header.includes('hidden') && header.includes('From: far@x.test'), header);
    await refused(resent.replace(ALICE, CEO), { source: 'sendmail' });
  });

  test('S14: an octet 0 is refused, in the header and in the text', async () => {
    for (const text of [`From: ${ALICE}\r\nSubject: a\0b\r\n\r\nhi\r\n`, `From: ${ALICE}\r\n\r\nhi\0\r\n`])
      await assert.rejects(bed.outbox.accept(bed.request(), [Buffer.from(text)]), (error) =>
        isError(error, 'outbox.nul'),
      );
  });

  // RFC 5321 §4.5.3.1.3
  test('B7: a local part is as long as a path may be', async () => {
    const reply = `reply+${'A'.repeat(80)}@reply.github.test`;
    await taken(`From: ${ALICE}\nTo: ${reply}`, { envelope: { from: ALICE, recipients: [{ address: reply }] } });
    const long = `${'a'.repeat(247)}@x.test`;
    await taken(`From: ${ALICE}`, { envelope: { from: ALICE, recipients: [{ address: long }] } });
    await refused(
      `From: ${ALICE}`,
      { envelope: { from: ALICE, recipients: [{ address: `a${long}` }] } },
      'outbox.address',
    );
  });
});

// RFC 5322 §3.6.6
test('B5: the newest resending says whom a message goes to', () => {
  const fields = [
    'Received: by x',
    'Resent-From: alice@x.test',
    'Resent-To: one@x.test, Two <two@x.test>',
    'Resent-Bcc: three@x.test',
    'Resent-From: older@x.test',
    'Resent-To: older@x.test',
    'From: far@x.test',
    'To: list@x.test',
    'Bcc: secret@x.test',
  ];
  const read = (all: readonly string[]) => headerAddresses(Buffer.from(`${all.join('\r\n')}\r\n\r\n`));
  assert.deepEqual(read(fields), { from: 'alice@x.test', recipients: ['one@x.test', 'two@x.test', 'three@x.test'] });
  assert.deepEqual(read(fields.slice(6)), { from: 'far@x.test', recipients: ['list@x.test', 'secret@x.test'] });
});

// RFC 5322 §3.4
test('lists of addresses are read as RFC 5322 has them', () => {
  const read = (text: string) => readAddressList(text);
  const one = (text: string) => read(text).addresses.map(({ name, address }) => [name, address]);
  assert.deepEqual(one('Pete <pete@silly.test> (his host)'), [['Pete', 'pete@silly.test']]);
  assert.deepEqual(one('A Group:Chris Jones <c@public.example>, joe@example.org;, x@y.test')[0], [
    'Chris Jones',
    'c@public.example',
  ]);
  assert.deepEqual(
    one('"Joe \\"Q\\" Public" <john.q@x.test>, , <"a b"@x.test>, Zoë <zoë@ü.test>, x@[127.0.0.1]').slice(0, 3),
    [
      ['Joe "Q" Public', 'john.q@x.test'],
      ['', '"a b"@x.test'],
      ['Zoë', 'zoë@ü.test'],
    ],
  );
  assert.deepEqual(one('=?utf-8?q?a?= <a@x.test>'), [['=?utf-8?q?a?=', 'a@x.test']]);
  for (const wrong of [
    'a@b@c',
    '"a"b@x',
    'a"b"@x',
    'a@"b"',
    '<a@x',
    'a@x>',
    'a\\b@x',
    '(a',
    '"a',
    'a: b: c;',
    'g: a@x.test',
    '<a@x>, <b@x',
    '<a@x,b@x>',
  ])
    assert.notEqual(read(wrong).problem, undefined, wrong);
});
