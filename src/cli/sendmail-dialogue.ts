/** `sendmail -bs`: SMTP on standard input and output, each message through the mailbox of its own sender (RFC 5321). */
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { asError } from '../base/error.ts';
import { completeRecipient } from '../outbox/local-name.ts';
import { replyOf } from '../outbox/submission.ts';
import { type ReplyLine, serveMail } from '../protocol/smtp/receive.ts';
import { Conn } from '../protocol/wire/conn.ts';
import type { Instance } from '../server/instance.ts';
import { type Sending, whoSends } from './sendmail-sender.ts';

export interface DialogueOptions {
  /** `--mailbox`. */
  readonly mailbox: string | undefined;
  readonly localHosts: readonly string[];
  /** A local name as it is known here. */
  readonly local: (address: string) => string;
}

/** Octets of a command line; as on the gateway's port. */
const LINE_OCTETS = 4096;

/** Serves until QUIT or the end of the input. @throws wire.* */
export async function dialogue(instance: Instance, { mailbox, localHosts, local }: DialogueOptions): Promise<void> {
  const { outbox } = instance;
  // Of a socket nothing is asked here but that it is a stream.
  const conn = new Conn(Duplex.from({ readable: process.stdin, writable: process.stdout }) as Socket);
  const hostname = localHosts[0] ?? 'localhost';
  const to = (address: string): string => completeRecipient(local(address), outbox.localDomain);
  const sending = (from: string): Promise<Sending> =>
    whoSends(instance, { envelope: from === '' ? '' : local(from), header: undefined, mailbox });
  const answer = async (work: () => Promise<ReplyLine>): Promise<ReplyLine> =>
    work().catch((error: unknown) => replyOf(asError(error)));
  let now: Promise<Sending> | undefined;
  await conn.write(`220 ${hostname} ESMTP Postern ready\r\n`);
  await serveMail(conn, {
    hostname,
    maxOctets: outbox.maxOctets,
    lineOctets: LINE_OCTETS,
    mail: ({ address }) =>
      answer(async () => {
        now = sending(address);
        const { mailbox: own, sender } = await now;
        await outbox.checkOpen(own);
        outbox.checkSender(own, sender);
        return '250 2.1.0 sender OK';
      }),
    rcpt: ({ address }, count) =>
      answer(async () => {
        await outbox.checkRecipient((await now!).mailbox, to(address), count);
        return '250 2.1.5 recipient OK';
      }),
    message: ({ from, recipients }, octets) =>
      answer(async () => {
        const { mailbox: own, sender } = await now!;
        const { message } = await outbox.accept(
          {
            mailbox: own,
            source: 'sendmail',
            principal: `uid ${process.getuid?.() ?? 0}`,
            localHosts,
            envelope: {
              from: sender,
              recipients: recipients.map(({ address, notify, orcpt }) => ({
                address: to(address),
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
        return `250 2.0.0 queued as ${message.id}`;
      }),
  });
  conn.end();
}
