/** As whom relayed mail may be sent: what the outbox asks of a header, asked of one that only passes by. */
import { foldCase } from '../base/case.ts';
import { asciiLine } from '../base/ascii-line.ts';
import { shellWord } from '../base/shell.ts';
import { maySendAs, sendersOf } from '../access/senders.ts';
import { authorProblem } from '../protocol/mime/authors.ts';
import { readFields } from '../protocol/mime/header-fields.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Mailbox } from '../store/types.ts';
import type { RelayedMessage, SmtpRules } from './continuity/smtp-message.ts';

/**
 * The mailbox and what is declared for it, in `MAIL FROM`, `From` and `Sender`; no sender only for reports. Nothing is added or
 * changed, so that a header which another program could read in another way is refused: a line that is no field, an empty line at
 * its beginning. A message without From is left to the provider.
 * @param current the mailbox as it is set up now
 */
export function mailRules(current: () => Mailbox): SmtpRules {
  return {
    sender(address) {
      const mailbox = current();
      if (address === '' || maySendAs(mailbox, address)) return undefined;
      return refusal(`${mailbox.address} may not send as ${address}`, mailbox);
    },
    header(header, sender) {
      const mailbox = current();
      const mayBe = (address: string): boolean => maySendAs(mailbox, address);
      const text = header.toString('latin1');
      if (text.startsWith('\r\n')) return '550 5.6.0 the message begins with an empty line where its header should be';
      const fields = readFields(text, { mboxLine: 'refused' });
      if ('problem' in fields) return `550 5.6.0 line ${fields.line} of the message ${asciiLine(fields.problem, 400)}`;
      for (const name of ['from', 'sender'])
        if (fields.filter((field) => field.name === name).length > 1)
          return `550 5.6.0 the message has more than one ${name === 'from' ? 'From' : 'Sender'}`;
      const daemons = { own: (domain: string): boolean => isOwnMachine(mailbox, domain) };
      const found = authorProblem(fields, { mayBe, nullSender: sender === '', daemons, isReplaced: () => false });
      if (!found) return undefined;
      if (found.type === 'header') return `550 5.6.0 ${asciiLine(found.problem, 400)}`;
      return refusal(found.problem, mailbox);
    },
  };
}

/** Names that no domain of others can have (RFC 6761, RFC 6762, RFC 8375, and what ICANN keeps for private use). */
const PRIVATE = /^[^.]+$|\.(?:local|localdomain|localhost|internal|lan|home\.arpa|invalid)$/;

/** Whether a machine of this name is one of the mailbox's own, as far as a name says it. */
function isOwnMachine(mailbox: Mailbox, name: string): boolean {
  const domain = foldCase(name);
  return (
    PRIVATE.test(domain) ||
    sendersOf(mailbox).some((address) => {
      const own = foldCase(address.slice(address.lastIndexOf('@') + 1));
      return domain === own || domain.endsWith(`.${own}`);
    })
  );
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

function refusal(text: string, mailbox: Mailbox): string {
  return `550 5.7.60 ${asciiLine(text, 400)}; allow it with: postern mailbox set ${shellWord(rowOf(mailbox))} --send-as OTHER`;
}
