/** Reports go straight into the sender's own inbox by IMAP, which works when sending does not. */
import { asError } from '../../base/error.ts';
import type { Clock } from '../../base/clock.ts';
import { ImapSession } from '../../protocol/imap/session.ts';
import { append } from '../../protocol/imap/verb/append.ts';
import { fetch, headerFields } from '../../protocol/imap/verb/fetch.ts';
import { uidSearch } from '../../protocol/imap/verb/search.ts';
import { select } from '../../protocol/imap/verb/select.ts';
import { fieldOf, parseMessage } from '../../protocol/mime/part.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import { sameAddress } from '../address.ts';
import { forAll, outcomeOfFailure, silent } from './judge.ts';
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
      const imap = new ImapSession(conn, endpoint);
      try {
        const { status, text } = (await isThere(imap, message.messageId, signal))
          ? ({ status: 'OK', text: 'it is in the inbox already' } as const)
          : await append(imap, { mailbox: 'INBOX' }, { octets: message.size, data: job.body() }, { signal });
        const reply = silent(`${status} ${text}`);
        if (status !== 'OK') return { type: 'closed', code: 'outbox.route-closed', reply };
        return { type: 'sent', reply, recipients: forAll(recipients, 'delivered', reply.text), dsnPassedOn: true };
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

/** Reports to the mailbox itself, ours and those of a local mail server, go where it reads them: providers refuse them often. */
export function isForInbox({ envelopeFrom, mailbox, recipients, source }: OutboxMessage): boolean {
  if (source === 'report') return true;
  return envelopeFrom === '' && recipients.every(({ address }) => sameAddress(address, mailbox));
}

/**
 * Its Message-ID is one of ours, with 128 random bits that nobody knew before it was there. A search finds those too whose id
 * contains it (RFC 9051 §6.4.4), so that the field is compared.
 */
async function isThere(imap: ImapSession, messageId: string, signal: AbortSignal): Promise<boolean> {
  await select(imap, { verb: 'EXAMINE', mailbox: 'INBOX' }, { signal });
  const text = messageId.replace(/^<|>$/g, '');
  const found = (await uidSearch(imap, { type: 'header', field: 'Message-ID', text }, { signal })) ?? [];
  if (found.length === 0) return false;
  const set = found.slice(-MAX_COPIES).join(',');
  const { messages } = await fetch(imap, set, [{ type: 'UID' }, MESSAGE_ID], { uid: true, signal });
  return messages.some((one) => {
    const header = one.section(MESSAGE_ID);
    return header !== undefined && fieldOf(parseMessage(header), 'message-id')?.trim() === messageId;
  });
}

const MESSAGE_ID = headerFields('MESSAGE-ID');
const MAX_COPIES = 200;
