/** Non-delivery reports to the sender: RFC 3464 in RFC 6522, composed here, put into the sender's own mailbox. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { ImapCommands } from '../../protocol/imap/command.ts';
import type { Mailbox } from '../../store/types.ts';
import type { OutboxMessage, Recipient } from '../../store/types-outbox.ts';
import type { AcceptRequest, Outbox } from '../types.ts';
import type { SignInAt } from './smtp-route.ts';

export interface ReportDeps {
  readonly outbox: Pick<Outbox, 'accept' | 'body'>;
  readonly clock: Clock;
  readonly signIn: SignInAt;
  /** Our name in the report. */
  readonly hostname: string;
  mailbox(address: string): Promise<Mailbox | undefined>;
}

/** Octets of the header that are looked for in a message's first chunk. */
const HEADER_OCTETS = 64 * 1024;
const APPEND_MS = 60_000;

/**
 * Tells the sender which recipients did not get a message. It goes straight into the sender's inbox by IMAP, which works when
 * sending does not; only where the mailbox has no IMAP it is mail of its own. Reports are never reported (RFC 5321 §6.1).
 * @throws outbox.*, gateway.*, store.*
 */
export async function reportFailure(deps: ReportDeps, message: OutboxMessage): Promise<void> {
  if (message.envelopeFrom === '' || message.source === 'report') return;
  const failed = message.recipients.filter(
    ({ state, notify }) => state === 'refused' && (notify === undefined || notify.includes('FAILURE')),
  );
  const mailbox = await deps.mailbox(message.mailbox);
  if (failed.length === 0 || !mailbox) return;
  const report = compose(message, failed, await headerOf(deps.outbox, message), deps);
  if (!mailbox.protocols.includes('imap')) {
    const request: AcceptRequest = {
      mailbox,
      envelope: { from: '', recipients: [{ address: message.envelopeFrom }] },
      source: 'report',
      principal: message.id,
    };
    await deps.outbox.accept(request, [report]);
    return;
  }
  const stop = new AbortController();
  const limit = deps.clock.after(APPEND_MS, () => stop.abort(new Error('the mailbox took too long')));
  try {
    const { conn, endpoint } = await deps.signIn(mailbox, 'imap', stop.signal);
    const imap = new ImapCommands(conn, endpoint.host);
    try {
      const octets = (async function* () {
        yield report;
      })();
      const { status, text } = await imap.run(`APPEND INBOX {${report.length}}`, stop.signal, octets);
      if (status !== 'OK') throw new Error(`the inbox did not take the report: ${text}`);
    } finally {
      imap.end();
    }
  } finally {
    limit.cancel();
  }
}

/** RFC 6522 multipart/report of three parts: words, fields, the header of what was not delivered. */
export function compose(
  message: OutboxMessage,
  failed: readonly Recipient[],
  header: string,
  { clock, hostname }: Pick<ReportDeps, 'clock' | 'hostname'>,
): Buffer {
  const boundary = `=_${randomBytes(12).toString('hex')}`;
  const date = new Date(clock.now()).toUTCString().replace('GMT', '+0000');
  const arrived = new Date(message.createdAt).toUTCString().replace('GMT', '+0000');
  const subject = /^Subject:[ \t]*((?:.*)(?:\r\n[ \t].*)*)/im.exec(header)?.[1]?.replace(/\r\n/g, '') ?? '';
  const words = failed.map(({ address, reply }) => `  ${address}\r\n    ${reply ?? 'no reason was given'}`);
  const fields = failed.map(({ address, orcpt, reply = '' }) =>
    [
      ...(orcpt === undefined ? [] : [`Original-Recipient: ${orcpt}`]),
      `Final-Recipient: ${/[^\x20-\x7e]/.test(address) ? 'utf-8' : 'rfc822'}; ${address}`,
      'Action: failed',
      `Status: ${/\b([45]\.\d{1,3}\.\d{1,3})\b/.exec(reply)?.[1]?.replace(/^4/, '5') ?? '5.0.0'}`,
      ...(/^[45]\d\d/.test(reply) ? [`Diagnostic-Code: smtp; ${oneLine(reply)}`] : []),
    ].join('\r\n'),
  );
  const text = [
    `From: Mail Delivery System <postmaster@${hostname}>`,
    `To: ${message.envelopeFrom}`,
    `Subject: Not delivered: ${subject === '' ? message.messageId : subject}`,
    `Date: ${date}`,
    `Message-ID: <${randomBytes(16).toString('hex')}@${hostname}>`,
    `In-Reply-To: ${message.messageId}`,
    'Auto-Submitted: auto-replied',
    `X-Postern-Message: ${message.id}`,
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    '',
    'This message could not be delivered to everybody. It was not delivered to:',
    '',
    ...words,
    '',
    'It will not be tried again by itself. See its whole story with:',
    '',
    `  postern outbox show ${message.id}`,
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
    'Content-Type: text/rfc822-headers',
    '',
    header.replace(/(?:\r\n)+$/, ''),
    '',
    `--${boundary}--`,
    '',
  ];
  return Buffer.from(text.join('\r\n'));
}

/** The message's own header, as far as its first octets reach. */
async function headerOf(outbox: Pick<Outbox, 'body'>, message: OutboxMessage): Promise<string> {
  for await (const octets of outbox.body(message)) {
    const begin = Buffer.from(octets.subarray(0, HEADER_OCTETS)).toString('utf8');
    const end = begin.indexOf('\r\n\r\n');
    return end === -1 ? begin : begin.slice(0, end + 2);
  }
  return '';
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 900);
}
