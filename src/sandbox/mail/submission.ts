/** What happens to a message that a person or an application sends, whichever way it came: by SMTP or by Graph. */
import { randomUUID } from 'node:crypto';
import { parseAddresses } from '../../protocol/mime/address.ts';
import { fieldOf, parseMessage, type Part } from '../../protocol/mime/part.ts';
import type { TokenVerdict } from '../token.ts';
import type { MailSite } from './site.ts';
import type { Mailbox, MailStore } from './store.ts';

/** Whoever has signed in, and to which mailbox. */
export interface Sender {
  readonly mailbox: Mailbox;
  readonly verdict: TokenVerdict & { readonly ok: true };
}

export interface Letter {
  /** Envelope sender. */
  readonly from: string;
  readonly recipients: readonly string[];
  /** As recipients get it. */
  readonly raw: Buffer;
  /** As Sent Items keeps it; `raw` unless given, undefined for no copy. */
  readonly copy?: Buffer | undefined;
}

/** SendAs belongs to the mailbox that is signed in to, not to who signed in: an application has none of its own. */
export function maySendAs(mail: MailStore, { mailbox }: Sender, address: string): boolean {
  const other = mail.find(address);
  return other !== undefined && (other === mailbox || other.delegates.has(mailbox.address));
}

/** Addresses of a header field. */
export function addressesOf(message: Part, field: string): readonly string[] {
  return message.fields
    .filter(({ name }) => name === field)
    .flatMap(({ value }) => parseAddresses(value))
    .flatMap((each) => (each.type === 'mailbox' && each.domain !== '' ? [`${each.local}@${each.domain}`] : []));
}

/** The first author in From that the sender may not send as. */
export function foreignAuthor(mail: MailStore, sender: Sender, raw: Buffer): string | undefined {
  return addressesOf(parseMessage(raw), 'from').find((address) => !maySendAs(mail, sender, address));
}

export function messageIdOf(raw: Buffer): string | undefined {
  return fieldOf(parseMessage(raw), 'message-id');
}

/** Delivers, at once or as late as the limits want, and keeps a copy in Sent Items. Gives the queue's id. */
export function post(site: MailSite, sender: Sender, letter: Letter): string {
  const { mail, clock, ledger } = site;
  const deliver = (): void => {
    const outside = letter.recipients.filter((address) => !mail.deliver(address, letter.raw));
    if (outside.length > 0) mail.outside.push({ from: letter.from, to: outside, raw: letter.raw, at: clock.now() });
  };
  const late = ledger.takeMessage(sender.mailbox.address);
  if (late === 0) deliver();
  else clock.after(late, deliver);
  // Exchange keeps a copy by itself, which is why programs that append their own end up with two.
  const copy = 'copy' in letter ? letter.copy : letter.raw;
  if (copy) sender.mailbox.sent.add(copy, clock.now(), ['\\Seen']);
  return randomUUID();
}
