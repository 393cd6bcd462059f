/** The mail a fresh tenant holds: small, but with what programs trip over. */
import { mailDate } from '../../base/mail-date.ts';
import type { Mailbox, MailStore } from './store.ts';

const HOUR = 3_600_000;

/** Adds alice, bob and the shared mailbox of sales (open to alice), each with mail. @param applications client ids with access as themselves */
export function addSampleMail(mail: MailStore, now: number, applications: readonly string[] = []): void {
  const alice = mail.addMailbox('alice@contoso.test', { applications });
  mail.addMailbox('bob@contoso.test', { applications });
  mail.addMailbox('sales@contoso.test', { delegates: ['alice@contoso.test'], applications });
  samples.forEach(({ to, seen, fields, body }, index) => {
    const at = now - (samples.length - index) * HOUR;
    const head = [...fields, `Date: ${mailDate(at)}`, 'MIME-Version: 1.0'];
    const raw = Buffer.from(`${head.join('\n')}\n${body}`.replaceAll('\n', '\r\n'));
    mail.deliver(to, raw, { at, flags: seen ? ['\\Seen'] : [] });
  });
  alice.sent.add(
    Buffer.from(
      'From: Alice Andersson <alice@contoso.test>\r\nTo: bob@contoso.test\r\nSubject: Lunch\r\nMessage-ID: <lunch-0@contoso.test>\r\n\r\nAt noon?\r\n',
    ),
    now - HOUR,
    ['\\Seen'],
  );
}

/** The mailbox of a magic address, made when somebody first asks for it. */
export function addFaultMailbox(
  mail: MailStore,
  address: string,
  now: number,
  applications: readonly string[],
): Mailbox {
  const mailbox = mail.addMailbox(address, { applications });
  for (const subject of ['Welcome', 'This mailbox meets a fault']) {
    const head = [...fields(BOB, address, subject, subject.toLowerCase().replaceAll(' ', '-')), 'MIME-Version: 1.0'];
    mailbox.inbox.add(Buffer.from(`${head.join('\n')}\n${TEXT}${subject}.\n`.replaceAll('\n', '\r\n')), now);
  }
  return mailbox;
}

interface Sample {
  readonly to: string;
  readonly seen?: boolean;
  readonly fields: readonly string[];
  /** From the first MIME field on. */
  readonly body: string;
}

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
const SALES = 'sales@contoso.test';
const TEXT = 'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n';
const fields = (from: string, to: string, subject: string, id: string, ...more: string[]): string[] => [
  `From: ${from}`,
  `To: ${to}`,
  `Subject: ${subject}`,
  `Message-ID: <${id}@contoso.test>`,
  ...more,
];

const samples: readonly Sample[] = [
  {
    to: ALICE,
    seen: true,
    fields: fields('Bob Berger <bob@contoso.test>', ALICE, 'Quarterly plan', 'plan-1'),
    body: `${TEXT}The plan is ready. Could you read it before Friday?\n`,
  },
  {
    to: ALICE,
    fields: fields(
      'Bob Berger <bob@contoso.test>',
      ALICE,
      'Re: Quarterly plan',
      'plan-3',
      'In-Reply-To: <plan-2@contoso.test>',
      'References: <plan-1@contoso.test> <plan-2@contoso.test>',
    ),
    body: `${TEXT}Thank you!\n> I have read it.\n.\nThe line above is one dot.\n`,
  },
  {
    to: ALICE,
    fields: fields(
      '=?utf-8?Q?Zo=C3=AB?= <zoe@fabrikam.test>',
      ALICE,
      '=?utf-8?B?R3LDvMOfZSBhdXMgS8O2bG4g4piA?=',
      'zoe-1',
    ),
    body: `${TEXT}Grüße aus Köln ☀\n`,
  },
  {
    to: ALICE,
    fields: fields('News <news@fabrikam.test>', ALICE, 'What is new', 'news-1', 'List-Id: <news.fabrikam.test>'),
    body: 'Content-Type: multipart/alternative; boundary="alt"\n\n--alt\nContent-Type: text/plain; charset=us-ascii\n\nNews in text.\n--alt\nContent-Type: text/html; charset=us-ascii\n\n<p>News in <b>HTML</b>.</p>\n--alt--\n',
  },
  {
    to: ALICE,
    fields: fields('"Berger, Bob" <bob@contoso.test>', ALICE, 'Invoice 4711', 'invoice-1'),
    body: `Content-Type: multipart/mixed; boundary="mix"\n\n--mix\nContent-Type: text/plain; charset=us-ascii\n\nSee the attachment.\n--mix\nContent-Type: application/pdf; name="invoice.pdf"\nContent-Disposition: attachment; filename="invoice.pdf"\nContent-Transfer-Encoding: base64\n\n${Buffer.from('%PDF-1.4\n%%EOF\n').toString('base64')}\n--mix--\n`,
  },
  {
    to: ALICE,
    fields: fields('machine@contoso.test', ALICE, 'Report with long lines', 'long-1'),
    body: `Content-Type: text/plain; charset=us-ascii\n\n${'0123456789'.repeat(99)}\nend\n`,
  },
  {
    to: BOB,
    fields: fields(
      'Alice Andersson <alice@contoso.test>',
      BOB,
      'Re: Quarterly plan',
      'plan-2',
      'In-Reply-To: <plan-1@contoso.test>',
      'References: <plan-1@contoso.test>',
    ),
    body: `${TEXT}I have read it.\n`,
  },
  {
    to: BOB,
    fields: fields('Alice Andersson <alice@contoso.test>', BOB, 'Lunch', 'lunch-0'),
    body: `${TEXT}At noon?\n`,
  },
  {
    to: SALES,
    fields: fields('customer@fabrikam.test', SALES, 'Question about an order', 'order-1'),
    body: `${TEXT}When will it arrive?\n`,
  },
  {
    to: SALES,
    seen: true,
    fields: fields('customer@fabrikam.test', SALES, 'Thank you', 'order-2'),
    body: `${TEXT}It has arrived.\n`,
  },
];
