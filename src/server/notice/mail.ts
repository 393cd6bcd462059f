/** Notices by mail, sent at once through a mailbox that works, other than the one they are about where there is a choice. */
import { printable } from '../../base/printable.ts';
import type { Clock } from '../../base/clock.ts';
import { asError, type PosternError } from '../../base/error.ts';
import { compose, type Composition } from '../../outbox/compose.ts';
import type { TokenSource } from '../../oauth/types.ts';
import { SmtpSender } from '../../protocol/smtp/send.ts';
import { isCatchAll } from '../../store/table/mailboxes.ts';
import type { Mailbox, Store } from '../../store/types.ts';
import { Upstream } from '../../upstream/upstream.ts';
import { serverError } from '../errors.ts';
import { surveyGrants } from '../../oauth/survey.ts';
import type { NoticeChannel, OutgoingNotice } from './channel.ts';
import { timeLimit } from '../../protocol/wire/time-limit.ts';

export interface MailDeps {
  readonly store: Store;
  readonly tokens: TokenSource;
  readonly clock: Clock;
  /** Our full domain name for EHLO. */
  readonly hostname?: string | undefined;
}

export interface MailOptions {
  readonly to: readonly string[];
  /** Only through this mailbox. */
  readonly from?: string | undefined;
  /** Whether the owner of a mailbox hears of what only they can do. */
  readonly owners?: boolean;
}

const OWNERS_MATTER: ReadonlySet<string> = new Set(['grant.needs-consent', 'grant.consent-ending']);

/** For one mailbox, sign-in included; Exchange may take half of it. */
const TIMEOUT_MS = 60_000;
/** Mailboxes tried before the rest of the day is waited for. */
const MAX_TRIED = 3;

export function mailChannel(deps: MailDeps, options: MailOptions): NoticeChannel {
  return {
    name: 'mail',
    async deliver(notice, signal) {
      // His mail still arrives; it is only his programs here that do not get at it.
      const owner = options.owners === true && notice.body.mailboxCount === 1 && OWNERS_MATTER.has(notice.body.type);
      const to = [...new Set([...options.to, ...(owner ? notice.body.mailboxes : [])])];
      const senders = await sendersFor(deps, options.from, notice);
      const failures: PosternError[] = [];
      for (const sender of senders.slice(0, MAX_TRIED)) {
        try {
          using limit = timeLimit(`the mail server of ${sender.address}`, TIMEOUT_MS, signal);
          return await submit(deps, sender, to, notice, limit.signal);
        } catch (error) {
          if (signal.aborted) throw signal.reason;
          failures.push(asError(error));
        }
      }
      const [first] = failures;
      throw serverError(
        'server.notice-delayed',
        first
          ? `no mailbox could send the notice: ${first.message}`
          : 'there is no working mailbox that may send the notice',
        first ? { cause: first } : {},
      );
    },
  };
}

/** Mailboxes whose grant works and that may send, those the notice is not about first. */
async function sendersFor(
  { store, clock }: MailDeps,
  from: string | undefined,
  { body }: OutgoingNotice,
): Promise<readonly Mailbox[]> {
  const { grants, mailboxes } = await surveyGrants(store, clock.now());
  // `*@domain` sends as nobody; an address that it opens can be named.
  const named = from === undefined ? undefined : await store.mailboxes.opened(from.toLowerCase());
  const candidates =
    from === undefined ? mailboxes.filter(({ address }) => !isCatchAll(address)) : named ? [named] : [];
  const usable = candidates.filter((mailbox) => {
    const health = grants.get(mailbox.grantId)?.health.type;
    return mailbox.protocols.includes('smtp') && (health === 'healthy' || health === 'at-risk');
  });
  const rank = ({ address, access, grantId }: Mailbox): number =>
    (body.mailboxes.includes(address) ? 4 : 0) +
    (grants.get(grantId)?.health.type === 'healthy' ? 0 : 2) +
    (access === 'own' ? 0 : 1);
  return usable.toSorted((a, b) => rank(a) - rank(b));
}

/** @throws what the sign-in may throw, server.notice-delayed */
async function submit(
  { tokens, clock, hostname }: MailDeps,
  sender: Mailbox,
  to: readonly string[],
  notice: OutgoingNotice,
  signal: AbortSignal,
): Promise<void> {
  const message = await written(sender.address, to, notice, clock.now());
  const upstream = new Upstream({ tokens, clock, upstreamMs: TIMEOUT_MS, ehloName: hostname });
  const { conn, endpoint, capabilities } = await upstream.signIn(sender, 'smtp', signal);
  const { host } = endpoint;
  try {
    const smtp = new SmtpSender(conn, host, capabilities);
    const sent = await smtp.send(
      {
        from: sender.address,
        recipients: to.map((address) => ({ address })),
        size: message.length,
        eightBit: false,
        smtputf8: false,
        body: [message],
      },
      signal,
    );
    if (sent.type === 'refused') {
      const reply = sent.reply.text;
      throw serverError('server.notice-delayed', `${host} did not take the notice: ${reply}`, { detail: { reply } });
    }
    // Unknown: it may have arrived, and twice would be once too often.
    smtp.end();
  } catch (error) {
    conn.destroy();
    throw error;
  }
}

async function written(from: string, to: readonly string[], notice: OutgoingNotice, now: number): Promise<Buffer> {
  const { body, status, id } = notice;
  const domain = from.split('@')[1] ?? 'localhost';
  const raised = `<${id}@${domain}>`;
  const message: Composition = {
    from: { name: 'Postern', address: from },
    to: to.map((address) => ({ name: '', address })),
    cc: [],
    replyTo: [],
    subject: `Postern: ${status === 'raised' ? '' : 'over: '}${shortened(printable(body.summary))}`,
    messageId: status === 'raised' ? raised : `<${id}.over@${domain}>`,
    ...(status === 'raised' ? {} : { inReplyTo: raised, references: [raised] }),
    // RFC 3834 §5: vacation programs leave it alone.
    headers: [{ name: 'Auto-Submitted', value: 'auto-generated' }],
    text: textOf(notice),
    attachments: [],
  };
  const pieces: Uint8Array[] = [];
  for await (const piece of compose(message, now)) pieces.push(piece);
  return Buffer.concat(pieces);
}

function shortened(text: string): string {
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function textOf({ body, status, at, id }: OutgoingNotice): string {
  const { summary, remedy, deadline, link, mailboxes, mailboxCount } = body;
  const many = mailboxCount > mailboxes.length ? [`  and ${mailboxCount - mailboxes.length} more`] : [];
  const lines =
    status === 'resolved'
      ? [
          `This is over since ${new Date(at).toUTCString()}:`,
          '',
          `  ${printable(summary)}`,
          '',
          'Nothing needs to be done.',
        ]
      : [
          `${printable(summary)}.`,
          '',
          `What to do: ${printable(remedy)}`,
          ...(link === undefined ? [] : ['', 'Or let the owner of the mailbox open this and sign in:', '', link]),
          ...(link?.startsWith('http:') ? ['(it opens on the machine that runs Postern only)'] : []),
          ...(deadline === undefined
            ? []
            : ['', `Mail stops, or has stopped, on ${new Date(deadline).toUTCString()}.`]),
        ];
  const concerned = mailboxes.length === 0 ? [] : ['', 'Mailboxes:', ...mailboxes.map((one) => `  ${one}`), ...many];
  return [
    ...lines,
    ...concerned,
    '',
    '-- ',
    `Postern, notice ${id}. You get it once; you also hear when it is over.`,
    '',
  ].join('\n');
}
