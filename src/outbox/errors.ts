/** Codes of the outbox room. */
import { type ErrorRow, errorTable, type PosternError } from '../base/error.ts';
import { shellWord } from '../base/shell.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Mailbox } from '../store/types.ts';

export const outboxError = errorTable({
  'outbox.address': {
    kind: 'misuse',
    hint: 'an address is local@domain (RFC 5321 §4.1.2), without a display name or line breaks',
  },
  'outbox.local-name': {
    kind: 'misuse',
    hint: 'give the whole address, or name the domain that completes such names in postern.yaml: outbox: { localDomain: example.com }',
  },
  'outbox.no-recipients': { kind: 'misuse', hint: 'name at least one recipient' },
  'outbox.too-many-recipients': {
    kind: 'limit',
    hint: 'hand the message over in parts, with fewer recipients each',
  },
  'outbox.sender': {
    kind: 'refused',
    hint: 'send as the mailbox itself, or declare the address: postern mailbox set ADDRESS --send-as OTHER',
  },
  'outbox.suppressed': {
    kind: 'refused',
    hint: 'postern suppression list says since when and why; postern suppression remove ADDRESS lets it get mail again',
  },
  'outbox.too-large': {
    kind: 'limit',
    hint: 'make the message smaller, or send a link to the attachment instead',
  },
  'outbox.too-many-uploads': {
    kind: 'limit',
    hint: 'remove what is not needed any more: DELETE /v1/uploads/ID; each upload is removed by itself a day after it was made',
  },
  'outbox.header': {
    kind: 'misuse',
    hint: 'the header needs lines of `Name: value` and an empty line after them (RFC 5322 §2.2)',
  },
  'outbox.bare-newline': {
    kind: 'misuse',
    hint: 'end lines with CRLF (RFC 5322 §2.1); programs that write LF alone can be piped through `postern sendmail`',
  },
  'outbox.nul': {
    kind: 'misuse',
    hint: 'send binary data as an attachment in base64; text has no octet 0',
  },
  'outbox.idempotency-mismatch': {
    kind: 'misuse',
    hint: 'this Idempotency-Key belongs to another message; use a new key for every new message',
  },
  'outbox.idempotency-busy': {
    kind: 'later',
    hint: 'a message with this Idempotency-Key is just being accepted; ask again in a second',
  },
  'outbox.device-quota': {
    kind: 'limit',
    hint: 'wait, or raise perHour of the rule under outbox.devices in postern.yaml',
  },
  'outbox.device-port': {
    kind: 'later',
    hint: 'see who has the port: ss -ltnp; or choose another one for outbox.devices.port in postern.yaml',
  },
  'outbox.not-found': { kind: 'misuse', hint: 'see what there is: postern outbox list' },
  'outbox.too-late': {
    kind: 'misuse',
    hint: 'a message can be changed as long as it waits; see postern outbox show ID',
  },
  'outbox.claim-lost': {
    kind: 'later',
    hint: 'another process looks after this message now and finds out whether it was sent; nothing needs to be done',
  },
  'outbox.graph-unreachable': { kind: 'later', hint: 'check that this machine reaches Microsoft Graph by HTTPS' },
  'outbox.graph-refused': { kind: 'refused', hint: 'postern outbox show ID has the answer of Microsoft Graph' },
  'outbox.graph-unknown': {
    kind: 'later',
    hint: 'the message is looked for among the sent ones before it is sent again',
  },
  'outbox.template': {
    kind: 'misuse',
    hint: 'docs/api.md describes what a template may contain; POST /v1/templates/preview tries one',
  },
  'outbox.template-data': { kind: 'misuse', hint: 'give the value in data, or wrap its place in {{#name}}…{{/name}}' },
  'outbox.webhook-address': {
    kind: 'misuse',
    hint: 'webhooks go to public addresses by HTTPS; webhooks.allow in postern.yaml names private networks that are meant',
  },
  'outbox.webhook-failed': {
    kind: 'later',
    hint: 'the receiver has to answer 2xx within fifteen seconds; it is tried again until its deadline',
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
export const OUTCOMES = {
  'outbox.deferred': {
    kind: 'later',
    hint: 'the next server cannot take it just now; it is tried again until the deadline. postern outbox show ID has its reply',
  },
  'outbox.not-sent': {
    kind: 'later',
    hint: 'the attempt ended before the message was handed over; it is tried again',
  },
  'outbox.route-closed': {
    kind: 'later',
    hint: 'this way out of the mailbox is shut: postern outbox show ID has the reply that says why. Another way is tried where there is one, and this one again until the deadline',
  },
  'outbox.refused': {
    kind: 'refused',
    hint: 'the next server refused the message or a recipient for good: postern outbox show ID has its reply, postern explain REPLY puts it into plain words',
  },
  'outbox.unfit': {
    kind: 'refused',
    hint: 'the way out of this mailbox cannot carry this message: postern outbox show ID says why; postern mailbox set ADDRESS --route smtp chooses another way',
  },
  'outbox.expired': {
    kind: 'refused',
    hint: 'it could not be sent before its deadline, and its sender got a report: postern outbox show ID has the last reply; send it again when that is corrected',
  },
  'outbox.may-have-arrived': {
    kind: 'refused',
    hint: 'the connection ended before the server said whether it took the message, and no copy was found: ask a recipient before you send it again',
  },
  'outbox.no-route': {
    kind: 'misuse',
    hint: 'this mailbox has no way to send: postern mailbox set ADDRESS --route smtp, and postern mailbox reconsent ADDRESS where it has no consent for SMTP',
  },
  'outbox.failed': {
    kind: 'refused',
    hint: 'mail of this mailbox was not delivered: postern outbox list --state failed, then postern outbox show ID',
  },
  'outbox.waiting': {
    kind: 'later',
    hint: 'mail of this mailbox waits longer than usual: postern outbox list --state queued, then postern outbox show ID',
  },
  'outbox.paused': {
    kind: 'later',
    hint: 'what it is about rests until the time that is named: postern outbox list says why; postern outbox retry ID tries it at once',
  },
} as const satisfies Readonly<Record<string, ErrorRow>>;
