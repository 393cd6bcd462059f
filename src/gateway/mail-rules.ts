/** As whom relayed mail may be sent: what the outbox asks of a header, asked of one that only passes by. */
import { asciiLine } from '../base/ascii-line.ts';
import { shellWord } from '../base/shell.ts';
import { maySendAs } from '../access/senders.ts';
import { authorProblem } from '../protocol/mime/authors.ts';
import { readFields } from '../protocol/mime/header-fields.ts';
import type { Mailbox } from '../store/types.ts';
import type { RelayedMessage, SmtpRules } from './continuity/smtp-dialogue.ts';

/**
 * The mailbox and what is declared for it, in `MAIL FROM`, `From` and `Sender`; no sender only for reports. The rest of the header is
 * the provider's to judge: nothing here is added or changed. A message without From is left to it as well.
 */
export function mailRules(mailbox: Mailbox): SmtpRules {
  const mayBe = (address: string): boolean => maySendAs(mailbox, address);
  return {
    sender(address) {
      if (address === '' || mayBe(address)) return undefined;
      return refusal(`${mailbox.address} may not send as ${address}`, mailbox);
    },
    header(header, sender) {
      const fields = readFields(header.toString('latin1'), { skipUnreadable: true });
      if ('problem' in fields) return `554 5.6.0 line ${fields.line} of the message ${asciiLine(fields.problem, 400)}`;
      for (const name of ['from', 'sender'])
        if (fields.filter((field) => field.name === name).length > 1)
          return `554 5.6.0 the message has more than one ${name === 'from' ? 'From' : 'Sender'}`;
      const found = authorProblem(fields, { mayBe, nullSender: sender === '', localNames: 'refused' });
      if (!found) return undefined;
      if (found.type === 'header') return `554 5.6.0 ${asciiLine(found.problem, 400)}`;
      return refusal(found.problem, mailbox);
    },
  };
}

/** What the audit log keeps of a relayed message. */
export function relayedFacts({ from, to, recipients, octets, messageId, reply, taken }: RelayedMessage) {
  return {
    from,
    to,
    recipients,
    octets,
    ...(messageId === undefined ? {} : { messageId }),
    ...(taken ? {} : { reply: asciiLine(reply, 400) }),
  };
}

function refusal(text: string, { address }: Mailbox): string {
  return `550 5.7.60 ${asciiLine(text, 400)}; allow it with: postern mailbox set ${shellWord(address)} --send-as OTHER`;
}
