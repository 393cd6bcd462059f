/** What happens to a message that a person or an application sends, whichever way it came: by SMTP or by Graph. */
import { randomUUID } from 'node:crypto';
import { parseAddresses } from '../../protocol/mime/address.ts';
import { fieldOf, parseMessage, type Part } from '../../protocol/mime/part.ts';
import type { Place } from '../faults/types.ts';
import type { TokenVerdict } from '../token.ts';
import type { MailSite } from './site.ts';
import type { Mailbox, MailStore } from './store.ts';

/** Whoever has signed in, and to which mailbox. */
export interface Sender {
  readonly mailbox: Mailbox;
  readonly verdict: TokenVerdict & { readonly ok: true };
}

export interface Letter {
  readonly place: Place & ('smtp' | 'graph');
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

/** Whether Sent Items has a message with the same Message-ID, whoever put it there. */
export function keepsCopyOf({ sent }: Mailbox, raw: Buffer): boolean {
  const id = messageIdOf(raw);
  return id !== undefined && sent.messages.some((message) => messageIdOf(message.raw) === id);
}

/** Delivers, at once or as late as the limits want, and keeps a copy in Sent Items. Gives the queue's id. */
export function post(site: MailSite, sender: Sender, letter: Letter): string {
  const { mail, clock, faults, ledger } = site;
  const { address: mailbox, sent } = sender.mailbox;
  const spot = { place: letter.place, addresses: [mailbox, letter.from, ...letter.recipients] };
  const passed = faults.bite('sent-fields-removed', spot) ? withoutUnknownFields : (raw: Buffer) => raw;
  const raw = passed(letter.raw);
  for (const tell of mail.takers) tell({ place: letter.place, recipients: letter.recipients, raw });
  const deliver = (): void => {
    const outside = letter.recipients.filter((address) => !mail.deliver(address, raw));
    if (outside.length > 0) mail.outside.push({ from: letter.from, to: outside, raw, at: clock.now() });
  };
  const late = ledger.takeMessage(sender.mailbox.address);
  if (late === 0) deliver();
  else clock.after(late, deliver);
  // Exchange keeps a copy by itself, which is why programs that append their own end up with two.
  const copy = 'copy' in letter ? letter.copy : letter.raw;
  const saving = faults.bite('sent-copy-late', spot);
  const save = (): void => void (copy && sent.add(passed(copy), clock.now(), ['\\Seen']));
  if (saving) clock.after(saving.value * 1000, save);
  else save();
  return randomUUID();
}

function withoutUnknownFields(raw: Buffer): Buffer {
  const { body, fields } = parseMessage(raw);
  const kept = fields.filter(({ name }) => !name.startsWith('x-')).map(({ end, start }) => raw.subarray(start, end));
  const last = fields.at(-1)?.end ?? 0;
  return Buffer.concat([...kept, raw.subarray(last, body), raw.subarray(body)]);
}
