/** Reports go straight into the sender's own inbox by IMAP, which works when sending does not. */
import { asError } from '../../base/error.ts';
import type { Clock } from '../../base/clock.ts';
import { ImapCommands, quoted } from '../../protocol/imap/command.ts';
import { outcomeOfFailure, silent } from './judge.ts';
import type { SignInAt } from './smtp-route.ts';
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
  async send({ body, mailbox, message, recipients }: SendJob, signal: AbortSignal): Promise<Outcome> {
    if (!mailbox.protocols.includes('imap'))
      return { type: 'closed', code: 'oauth.not-granted', reply: silent(`${mailbox.address} has no IMAP`) };
    try {
      const { conn, endpoint } = await this.#signIn(mailbox, 'imap', signal);
      const imap = new ImapCommands(conn, endpoint.host);
      try {
        await imap.run('EXAMINE INBOX', signal);
        const id = quoted(message.messageId.replace(/^<|>$/g, ''));
        const { untagged } = await imap.run(`UID SEARCH HEADER Message-ID ${id}`, signal);
        const there = untagged.some((line) => /^SEARCH(?: \d+)+/i.test(line));
        const { status, text } = there
          ? ({ status: 'OK', text: 'it is in the inbox already' } as const)
          : await imap.run(`APPEND INBOX {${message.size}}`, signal, body());
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
