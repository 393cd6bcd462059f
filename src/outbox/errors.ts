/** Codes of the outbox room. */
import { errorRows, errorTable, type PosternError } from '../base/error.ts';
import { shellWord } from '../base/shell.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Mailbox } from '../store/types.ts';

export const outboxError = errorTable({
  misuse: {
    'outbox.address': 'an address is local@domain (RFC 5321 §4.1.2), without a display name or line breaks',
    'outbox.local-name':
      'give the whole address, or name the domain that completes such names in postern.yaml: outbox: { localDomain: example.com }',
    'outbox.no-recipients': 'name at least one recipient',
    'outbox.header': 'the header needs lines of `Name: value` and an empty line after them (RFC 5322 §2.2)',
    'outbox.bare-newline':
      'end lines with CRLF (RFC 5322 §2.1); programs that write LF alone can be piped through `postern sendmail`',
    'outbox.nul': 'send binary data as an attachment in base64; text has no octet 0',
    'outbox.idempotency-mismatch':
      'this Idempotency-Key belongs to another message; use a new key for every new message',
    'outbox.not-found': 'see what there is: postern outbox list',
    'outbox.too-late': 'a message can be changed as long as it waits; see postern outbox show ID',
    'outbox.template': 'docs/api.md describes what a template may contain; POST /v1/templates/preview tries one',
    'outbox.template-data': 'give the value in data, or wrap its place in {{#name}}…{{/name}}',
    'outbox.webhook-address':
      'webhooks go to public addresses by HTTPS; webhooks.allow in postern.yaml names private networks that are meant',
  },
  limit: {
    'outbox.too-many-recipients': 'hand the message over in parts, with fewer recipients each',
    'outbox.too-large': 'make the message smaller, or send a link to the attachment instead',
    'outbox.too-many-uploads':
      'remove what is not needed any more: DELETE /v1/uploads/ID; each upload is removed by itself a day after it was made',
    'outbox.device-quota': 'wait, or raise perHour of the rule under outbox.devices in postern.yaml',
  },
  refused: {
    'outbox.sender': 'send as the mailbox itself, or declare the address: postern mailbox set ADDRESS --send-as OTHER',
    'outbox.suppressed':
      'postern suppression list says since when and why; postern suppression remove ADDRESS lets it get mail again',
    'outbox.graph-refused': 'postern outbox show ID has the answer of Microsoft Graph',
  },
  later: {
    'outbox.idempotency-busy': 'a message with this Idempotency-Key is just being accepted; ask again in a second',
    'outbox.device-port':
      'see who has the port: ss -ltnp; or choose another one for outbox.devices.port in postern.yaml',
    'outbox.claim-lost':
      'another process looks after this message now and finds out whether it was sent; nothing needs to be done',
    'outbox.graph-unreachable': 'check that this machine reaches Microsoft Graph by HTTPS',
    'outbox.graph-unknown': 'the message is looked for among the sent ones before it is sent again',
    'outbox.webhook-failed':
      'the receiver has to answer 2xx within fifteen seconds; it is tried again until its deadline',
  },
});

/** `*@domain` stands for every address of its domain: which of them is it? */
export function patternAsSender({ address }: Pick<Mailbox, 'address'>, from: string): PosternError {
  return outboxError('outbox.sender', `${address} stands for every address of its domain and sends nothing`, {
    detail: { mailbox: address, from },
    hint: `name the mailbox that sends, such as SOMEBODY${address.slice(1)}`,
  });
}

/** An address that the mailbox does not declare. */
export function foreignSender(mailbox: Pick<Mailbox, 'address' | 'catchAll'>, from: string): PosternError {
  const { address, catchAll } = mailbox;
  const whom = catchAll === undefined ? '' : ` to every address that ${catchAll} opens`;
  return outboxError('outbox.sender', `${address} may not send as ${from}`, {
    detail: { mailbox: address, from },
    hint: `send as ${address}, or allow it${whom}: postern mailbox set ${shellWord(rowOf(mailbox))} --send-as ${shellWord(from)}`,
  });
}

/**
 * What became of a message, or of one attempt to send it: in `postern outbox show`, events, webhooks and notices. No command and no
 * request fails with these.
 */
export const OUTCOMES = errorRows({
  later: {
    'outbox.deferred':
      'the next server cannot take it just now; it is tried again until the deadline. postern outbox show ID has its reply',
    'outbox.not-sent': 'the attempt ended before the message was handed over; it is tried again',
    'outbox.route-closed':
      'this way out of the mailbox is shut: postern outbox show ID has the reply that says why. Another way is tried where there is one, and this one again until the deadline',
    'outbox.waiting':
      'mail of this mailbox waits longer than usual: postern outbox list --state queued, then postern outbox show ID',
    'outbox.paused':
      'what it is about rests until the time that is named: postern outbox list says why; postern outbox retry ID tries it at once',
  },
  refused: {
    'outbox.refused':
      'the next server refused the message or a recipient for good: postern outbox show ID has its reply, postern explain REPLY puts it into plain words',
    'outbox.unfit':
      'the way out of this mailbox cannot carry this message: postern outbox show ID says why; postern mailbox set ADDRESS --route smtp chooses another way',
    'outbox.expired':
      'it could not be sent before its deadline, and its sender got a report: postern outbox show ID has the last reply; send it again when that is corrected',
    'outbox.may-have-arrived':
      'the connection ended before the server said whether it took the message, and no copy was found: ask a recipient before you send it again',
    'outbox.failed':
      'mail of this mailbox was not delivered: postern outbox list --state failed, then postern outbox show ID',
  },
  misuse: {
    'outbox.no-route':
      'this mailbox has no way to send: postern mailbox set ADDRESS --route smtp, and postern mailbox reconsent ADDRESS where it has no consent for SMTP',
  },
});
