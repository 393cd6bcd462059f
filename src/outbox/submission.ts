/** Mail that programs hand over by SMTP: transactions into the outbox, our refusals in SMTP's words. */
import { asError, type PosternError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { replyTo } from '../base/replies.ts';
import { serveMail } from '../protocol/smtp/receive.ts';
import { replyText } from '../protocol/sign-in.ts';
import { sameAddress } from './address.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import type { Mailbox } from '../store/types.ts';
import type { MessageSource } from '../store/types-outbox.ts';
import { maySendAs } from '../access/senders.ts';
import { completeRecipient, completeSender } from './local-name.ts';
import type { Outbox } from './types.ts';

export interface SubmissionSession {
  /** As it is set up now: what it may send as can change while a program stays. */
  mailbox(): Mailbox;
  /** Id of the app password or device rule. */
  readonly principal: string;
  readonly source: Extract<MessageSource, 'smtp' | 'device'>;
  readonly hostname: string;
  readonly sessionId: string;
  /** Network address of the program or device. */
  readonly remoteAddress: string;
  /** The one address it may be from, in the envelope and in its header; otherwise whatever the mailbox may send as. */
  readonly onlySender?: string;
  /** Refuses a message before it is taken: a device's quota. Gives what takes that back when the message is not taken. @throws */
  admit?(recipients: number): Promise<() => Promise<void>>;
  /** Told when a message begins and when it is answered. */
  underWay?(is: boolean): void;
}

export interface SubmissionDeps {
  readonly outbox: Outbox;
  readonly log: Log;
}

/** Octets of a command line; RFC 5321 §4.5.3.1.4 asks for 512, DSN parameters and UTF-8 want more. */
const LINE_OCTETS = 4096;

/** Serves until the program leaves; octets of mail taken. @throws wire.*, the signal's reason */
export function serveSubmission(
  { outbox, log }: SubmissionDeps,
  conn: Conn,
  session: SubmissionSession,
  signal: AbortSignal,
): Promise<{ readonly octets: number }> {
  const { principal, source, hostname, onlySender, sessionId, remoteAddress } = session;
  // As on every line about a session; the rule of a device is what a person looks for.
  const who = {
    sessionId,
    protocol: 'smtp',
    remoteAddress,
    ...(source === 'device' ? { rule: principal.replace('device ', '') } : {}),
  };
  const refuse = (error: unknown, what: string): string => {
    const failure = asError(error);
    const facts = { ...who, mailbox: session.mailbox().address, code: failure.code, hint: failure.hint };
    if (failure.kind === 'bug') log.error({ ...facts, err: failure }, `${what}: ${failure.message}`);
    else if (failure.code === 'wire.closed') log.info(facts, `${what}: ${failure.message}`);
    else log.warn(facts, `${what}: ${failure.message}`);
    return replyOf(failure);
  };
  const { localDomain } = outbox;
  const senderOf = (address: string): string =>
    completeSender(address, {
      localDomain,
      instead: onlySender ?? session.mailbox().address,
      mayBe: (whole) =>
        onlySender === undefined ? maySendAs(session.mailbox(), whole) : sameAddress(whole, onlySender),
    });
  const recipientOf = (address: string): string => completeRecipient(address, localDomain);
  return serveMail(conn, {
    hostname,
    maxOctets: outbox.maxOctets,
    lineOctets: LINE_OCTETS,
    signal,
    ...(session.underWay && { underWay: session.underWay }),
    async mail({ address }) {
      try {
        await outbox.checkOpen(session.mailbox());
        outbox.checkSender(session.mailbox(), senderOf(address), onlySender);
        return '250 2.1.0 sender OK';
      } catch (error) {
        return refuse(error, 'a sender was refused');
      }
    },
    async rcpt({ address }, count) {
      try {
        await outbox.checkRecipient(session.mailbox(), recipientOf(address), count);
        return '250 2.1.5 recipient OK';
      } catch (error) {
        return refuse(error, 'a recipient was refused');
      }
    },
    async message({ from, recipients }, octets) {
      const mailbox = session.mailbox();
      let giveBack: (() => Promise<void>) | undefined;
      try {
        giveBack = await session.admit?.(recipients.length);
        const { message, replayed } = await outbox.accept(
          {
            mailbox,
            source,
            principal,
            remoteAddress: session.remoteAddress,
            checked: true,
            ...(onlySender === undefined ? {} : { onlySender }),
            envelope: {
              from: senderOf(from.address),
              recipients: recipients.map(({ address, notify, orcpt }) => ({
                address: recipientOf(address),
                ...(notify === undefined ? {} : { notify }),
                ...(orcpt === undefined ? {} : { orcpt }),
              })),
              smtputf8: from.smtputf8,
              eightBit: from.eightBit,
              ...(from.ret === undefined ? {} : { ret: from.ret }),
              ...(from.envid === undefined ? {} : { envid: from.envid }),
            },
          },
          octets,
        );
        // Known under its key, it was counted the first time.
        if (replayed) await giveBack?.();
        const { id, size } = message;
        log.info({ ...who, mailbox: mailbox.address, id, size, recipients: recipients.length }, 'message accepted');
        return `250 2.0.0 ${replayed ? 'known as' : 'queued as'} ${id}`;
      } catch (error) {
        await giveBack?.().catch((failed: unknown) => {
          log.debug({ ...who, code: asError(failed).code }, 'what a message would have used of a quota stays used');
        });
        // The connection broke in the middle of the message: nobody reads the answer.
        return refuse(error, 'a message was not taken');
      }
    },
  });
}

export function replyOf(error: PosternError): string {
  // A defect's own words are for the log.
  const text = error.kind === 'bug' ? 'an internal error, the log has more; try again' : replyText(error);
  return `${replyTo(error).smtp} ${text}`;
}
