/** Reports go straight into the sender's own inbox by IMAP, which works when sending does not. */
import { asError } from '../../base/error.ts';
import type { Clock } from '../../base/clock.ts';
import { bodyOf } from '../../protocol/imap/response.ts';
import { ImapSession, quoted } from '../../protocol/imap/session.ts';
import { fieldOf, parseMessage } from '../../protocol/mime/part.ts';
import { outcomeOfFailure, silent } from './judge.ts';
import type { SignInAt } from '../../upstream/upstream.ts';
import type { Outcome, Route, SendJob } from './types.ts';

export class InboxRoute implements Route {
  readonly name = 'inbox';
  readonly #signIn: SignInAt;
  readonly #clock: Clock;

  constructor(signIn: SignInAt, clock: Clock) {
    this.#signIn = signIn;
    this.#clock = clock;
  }

  /** Looks first whether it is there: an attempt that broke off may have put it there. */
  async send(job: SendJob, signal: AbortSignal): Promise<Outcome> {
    const { mailbox, message, recipients } = job;
    if (!mailbox.protocols.includes('imap'))
      return { type: 'closed', code: 'oauth.not-granted', reply: silent(`${mailbox.address} has no IMAP`) };
    try {
      const { conn, endpoint } = await this.#signIn(mailbox, 'imap', signal);
      const imap = new ImapSession(conn, endpoint.host);
      try {
        const { status, text } = (await isThere(imap, message.messageId, signal))
          ? ({ status: 'OK', text: 'it is in the inbox already' } as const)
          : await imap.run(`APPEND INBOX {${message.size}}`, { signal, literal: job.body() });
        const reply = silent(`${status} ${text}`);
        if (status !== 'OK') return { type: 'closed', code: 'outbox.route-closed', reply };
        const delivered = recipients.map(({ address }) => ({
          address,
          outcome: 'delivered' as const,
          reply: reply.text,
        }));
        return { type: 'sent', reply, recipients: delivered, dsnPassedOn: true };
      } finally {
        imap.end();
      }
    } catch (error) {
      signal.throwIfAborted();
      return outcomeOfFailure(asError(error), this.#clock.now(), mailbox);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Its Message-ID is one of ours, with 128 random bits that nobody knew before it was there. A search finds those too whose id
 * contains it (RFC 9051 §6.4.4), so that the field is compared.
 */
async function isThere(imap: ImapSession, messageId: string, signal: AbortSignal): Promise<boolean> {
  await imap.run('EXAMINE INBOX', { signal });
  const id = quoted(messageId.replace(/^<|>$/g, ''));
  const searched = await imap.run(`UID SEARCH HEADER Message-ID ${id}`, { signal });
  const uids = searched.responses.flatMap((one) => (one.type === 'search' ? one.numbers : [])).slice(-MAX_COPIES);
  if (uids.length === 0) return false;
  const section = 'HEADER.FIELDS (MESSAGE-ID)';
  const { responses } = await imap.run(`UID FETCH ${uids.join(',')} (UID BODY.PEEK[${section}])`, { signal });
  return responses.some((one) => {
    const header = one.type === 'fetch' ? bodyOf(one.items, section) : undefined;
    return header !== undefined && fieldOf(parseMessage(header), 'message-id')?.trim() === messageId;
  });
}

const MAX_COPIES = 200;
