/** Reports to the sender: RFC 3464 in RFC 6522, composed here, handed to the outbox as mail of its own. */
import { shellWord } from '../../base/shell.ts';
import { mailDate } from '../../base/mail-date.ts';
import { trimEndOf } from '../../base/text.ts';
import { idField } from '../../protocol/mime/field.ts';
import { createHash, randomBytes } from 'node:crypto';
import { isAscii } from 'node:buffer';
import type { Clock } from '../../base/clock.ts';
import type { Store } from '../../store/types.ts';
import type { OutboxMessage, Recipient } from '../../store/types-outbox.ts';
import type { Outbox } from '../types.ts';

export interface ReportDeps {
  readonly store: Pick<Store, 'mailboxes'>;
  readonly outbox: Pick<Outbox, 'accept' | 'body' | 'events'>;
  readonly clock: Clock;
  /** Our name in the report. */
  readonly hostname: string;
}

/** RFC 3464 §2.3.3: given up, not yet, or handed to a server that itself does not report. */
export type ReportKind = 'failed' | 'delayed' | 'relayed';

/** Octets of the header that are looked for in a message's first chunk. */
const HEADER_OCTETS = 64 * 1024;
/** A message up to this comes back whole where nobody said RET (RFC 3461 §4.3 leaves it open): Postfix's bounce_size_limit. */
const SMALL_OCTETS = 50_000;
/** With RET=FULL up to this; a report is held in memory, and a larger one is often refused. */
const FULL_OCTETS = 1_048_576;

const KINDS = {
  failed: {
    notify: 'FAILURE',
    state: 'refused',
    subject: 'Not delivered',
    words: 'This message could not be delivered to everybody. It was not delivered to:',
    after: 'It will not be tried again by itself.',
    status: '5.0.0',
  },
  delayed: {
    notify: 'DELAY',
    state: 'pending',
    subject: 'Delayed',
    words: 'This message has not been delivered yet to:',
    after: 'Nothing needs to be done: it is tried again, and you hear when it is given up.',
    status: '4.0.0',
  },
  relayed: {
    notify: 'SUCCESS',
    state: 'delivered',
    subject: 'Sent',
    words: 'This message was handed to the provider, which may not report any further, for:',
    after: 'You asked to be told.',
    status: '2.0.0',
  },
} as const satisfies Record<ReportKind, unknown>;

/** Of recipients who may have it all the same: an attempt ended without an answer (RFC 3463 §3.5, X.4.2). */
const DOUBT = {
  subject: 'Possibly not delivered',
  words: 'It is not known whether this message was delivered. It may have been delivered to:',
  after: 'It will not be tried again by itself. Before you send it again, ask whether it has arrived.',
  status: '5.4.2',
} as const;

/**
 * Tells the sender what became of a message, for the recipients whom it asked so for (RFC 3461 §4.1; without a word: failures).
 * Said again it is taken once. Reports are never reported (RFC 5321 §6.1).
 * @throws outbox.*, store.*, vault.*
 */
export async function report(deps: ReportDeps, message: OutboxMessage, kind: ReportKind): Promise<void> {
  const { outbox, store } = deps;
  if (message.envelopeFrom === '' || message.source === 'report') return;
  const { notify: wish, state } = KINDS[kind];
  const concerned = message.recipients.filter(
    (one) => one.state === state && (one.notify?.includes(wish) ?? kind === 'failed'),
  );
  if (concerned.length === 0) return;
  const mailbox = await store.mailboxes.opened(message.mailbox);
  if (!mailbox) return;
  // Tried again by hand and failed again, it is reported again.
  const failures = await outbox.events({ messageId: message.id, types: ['failed'], limit: 1000 });
  const idempotencyKey = `${kind} ${message.id} ${failures.length}`;
  const octets = compose(message, kind, concerned, await originalOf(outbox, message, kind), deps);
  await outbox.accept(
    {
      mailbox,
      envelope: { from: '', recipients: [{ address: message.envelopeFrom, notify: ['NEVER'] }] },
      source: 'report',
      principal: 'report',
      idempotencyKey,
      fingerprint: createHash('sha256').update(idempotencyKey).digest('hex'),
    },
    [octets],
  );
}

/** What of the message a report has with it: all of it, or its header. */
export interface Original {
  readonly type: 'message/rfc822' | 'text/rfc822-headers';
  readonly octets: Buffer;
}

/** RFC 6522 multipart/report of three parts: words, fields, the message it is about or its header. */
export function compose(
  message: OutboxMessage,
  kind: ReportKind,
  concerned: readonly Recipient[],
  original: Original,
  { clock, hostname }: Pick<ReportDeps, 'clock' | 'hostname'>,
): Buffer {
  const doubtful = kind === 'failed' ? concerned.filter(({ mayHaveArrived }) => mayHaveArrived !== undefined) : [];
  const certain = concerned.filter((one) => !doubtful.includes(one));
  const { status, subject: usual } = KINDS[kind];
  const about = certain.length === 0 ? DOUBT.subject : usual;
  const boundary = `=_${randomBytes(12).toString('hex')}`;
  const date = mailDate(clock.now());
  const arrived = mailDate(message.createdAt);
  const header = Buffer.from(headerText(original.octets), 'latin1').toString('utf8');
  const subject = /^Subject:[ \t]*((?:.*)(?:\r\n[ \t].*)*)/im.exec(header)?.[1]?.replace(/\r\n/g, '') ?? '';
  // What is no message id, or too long for a line, is left out: a report that is refused is told to nobody.
  const answered = idField('In-Reply-To', message.messageId.match(/<[!-;=?-~]{1,900}>/g)?.slice(0, 1) ?? []);
  const words = [
    ...paragraph(KINDS[kind].words, KINDS[kind].after, certain),
    ...paragraph(DOUBT.words, DOUBT.after, doubtful),
  ];
  const fields = concerned.map((one) => {
    const { address, mayHaveArrived, orcpt, reply = '' } = one;
    const uncertain = doubtful.includes(one);
    const least = uncertain ? DOUBT.status : status;
    return [
      ...(orcpt === undefined ? [] : [`Original-Recipient: ${orcpt}`]),
      `Final-Recipient: ${/[^\x20-\x7e]/.test(address) ? 'utf-8' : 'rfc822'}; ${address}`,
      `Action: ${kind}`,
      `Status: ${/\b([245]\.\d{1,3}\.\d{1,3})\b/.exec(reply)?.[1]?.replace(/^./, least.slice(0, 1)) ?? least}`,
      ...(/^[245]\d\d/.test(reply) ? [`Diagnostic-Code: smtp; ${oneLine(reply)}`] : []),
      // RFC 3464 §2.4: an extension; nothing in the standard's own fields says "failed, and may be there all the same".
      ...(uncertain ? [`X-Postern-May-Have-Arrived: ${oneLine(mayHaveArrived!)}`] : []),
    ].join('\r\n');
  });
  const text = [
    `From: Mail Delivery System <postmaster@${hostname}>`,
    `To: ${message.envelopeFrom}`,
    `Subject: ${about}: ${clipped(subject === '' ? message.messageId : subject)}`,
    `Date: ${date}`,
    `Message-ID: <${randomBytes(16).toString('hex')}@${hostname}>`,
    ...(answered === '' ? [] : [answered.trimEnd()]),
    'Auto-Submitted: auto-replied',
    `X-Postern-Message: ${message.id}`,
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    '',
    ...words,
    'See its whole story with:',
    '',
    `  postern outbox show ${shellWord(message.id)}`,
    '',
    `--${boundary}`,
    'Content-Type: message/delivery-status',
    '',
    `Reporting-MTA: dns; ${hostname}`,
    ...(message.dsn.envid === undefined ? [] : [`Original-Envelope-Id: ${oneLine(message.dsn.envid)}`]),
    `Arrival-Date: ${arrived}`,
    '',
    fields.join('\r\n\r\n'),
    '',
    `--${boundary}`,
    `Content-Type: ${original.type}`,
    `Content-Transfer-Encoding: ${isAscii(original.octets) ? '7bit' : '8bit'}`,
    '',
    '',
  ];
  return Buffer.concat([Buffer.from(text.join('\r\n')), original.octets, Buffer.from(`\r\n--${boundary}--\r\n`)]);
}

function paragraph(said: string, then: string, recipients: readonly Recipient[]): readonly string[] {
  if (recipients.length === 0) return [];
  const each = recipients.map(({ address, mayHaveArrived, reply = 'no reason was given' }) =>
    [`  ${address}`, ...(said === DOUBT.words ? [`the answer was lost: ${mayHaveArrived ?? ''}`] : []), reply].join(
      '\r\n    ',
    ),
  );
  return [said, '', ...each, '', then, ''];
}

/** RFC 3461 §4.3: RET is about failures; of what is only late or relayed the header says enough. */
async function originalOf(outbox: Pick<Outbox, 'body'>, message: OutboxMessage, kind: ReportKind): Promise<Original> {
  const { ret } = message.dsn;
  const most = kind !== 'failed' || ret === 'HDRS' ? 0 : ret === 'FULL' ? FULL_OCTETS : SMALL_OCTETS;
  const whole = message.size <= most;
  const pieces: Uint8Array[] = [];
  for await (const octets of outbox.body(message)) {
    pieces.push(octets);
    if (!whole) break;
  }
  const octets = Buffer.concat(pieces);
  if (whole) return { type: 'message/rfc822', octets };
  return { type: 'text/rfc822-headers', octets: Buffer.from(trimEndOf(headerText(octets), '\r\n'), 'latin1') };
}

/** As octets, up to the empty line or as far as they are looked at. */
function headerText(octets: Buffer): string {
  const begin = octets.toString('latin1', 0, HEADER_OCTETS);
  const end = begin.indexOf('\r\n\r\n');
  return end === -1 ? begin : begin.slice(0, end + 2);
}

/** Characters, so that octets of any of them fit a line of 998 (RFC 5322 §2.1.1) with what stands before. */
const MAX_SUBJECT = 200;

function clipped(subject: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is meant
  const line = subject.replaceAll(/[\x00-\x1f\x7f]+/g, ' ');
  if (line.length <= MAX_SUBJECT) return line;
  // Before a word, so that an encoded one is not cut in two.
  const end = line.lastIndexOf(' ', MAX_SUBJECT);
  return `${line.slice(0, end > 0 ? end : MAX_SUBJECT).toWellFormed()} …`;
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 900);
}
