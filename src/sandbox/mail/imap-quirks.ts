/** Whether a fault bites a session, and how faults bend FETCH responses. */
import type { Bite } from '../faults/board.ts';
import type { FaultId } from '../faults/catalogue.ts';
import type { Admitted } from './admission.ts';
import type { MailSite } from './site.ts';
import type { Message } from './store.ts';

/** A fault of the mailbox that is signed in to, if it bites. */
export function bites(
  { service, admitted }: { readonly service: MailSite; readonly admitted?: Admitted },
  fault: FaultId,
): Bite | undefined {
  return service.faults.bite(fault, { place: 'imap', addresses: admitted ? [admitted.mailbox.address] : [] });
}

export interface Quirks {
  /** BODYSTRUCTURE that breaks the grammar. */
  readonly malformed: boolean;
  /** Sizes that are estimates. */
  readonly estimated: boolean;
  /** The message that cannot be converted. */
  readonly unretrievable: Message | undefined;
}

export const NO_QUIRKS: Quirks = { malformed: false, estimated: false, unretrievable: undefined };

/** `"inline"` where a list has to be, and a list of two NILs where NIL has to be (MailKit issues 919, 1415, 1446). */
export function malform(bodyStructure: string): string {
  let first = true;
  return bodyStructure.replaceAll(/ NIL NIL NIL NIL\)/g, () => {
    const bent = first ? ' NIL "inline" NIL NIL)' : ' NIL (NIL NIL) NIL NIL)';
    first = false;
    return bent;
  });
}

/** A few hundred octets off, the same for every session. */
export function estimate(octets: number): number {
  return octets + 100 + (octets % 301);
}

const substitutes = new WeakMap<Message, Message>();

/** What Exchange gives instead of a message that it cannot convert (MailKit issue 1615). */
export function substitute(message: Message): Message {
  let other = substitutes.get(message);
  if (!other) {
    const raw = Buffer.from(
      'From: "Microsoft Exchange" <postmaster@contoso.test>\r\nSubject: Retrieval using the IMAP4 protocol failed for the following message: ' +
        `${message.uid}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset="us-ascii"\r\n\r\nThe server couldn't retrieve the following message.\r\n`,
    );
    substitutes.set(message, (other = { ...message, raw }));
  }
  return other;
}
