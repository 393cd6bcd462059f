/** Who a finished message is from and to, as its own header says: the envelope where none is given. */
import addressparser from 'nodemailer/lib/addressparser';
import { isAddress, sameAddress } from './address.ts';
import { outboxError } from './errors.ts';

export interface HeaderAddresses {
  /** Of `From`; several are possible, the first counts. */
  readonly from: string | undefined;
  /** Of `To`, `Cc` and `Bcc`, each once. */
  readonly recipients: readonly string[];
}

/** @param octets the header @throws outbox.address */
export function headerAddresses(octets: Uint8Array): HeaderAddresses {
  const fields = Buffer.from(octets)
    .toString('utf8')
    .split(/\r?\n(?![ \t])/);
  const of = (...names: readonly string[]): readonly string[] =>
    fields.flatMap((field) => {
      const colon = field.indexOf(':');
      if (!names.includes(field.slice(0, colon).trim().toLowerCase())) return [];
      return readAddresses(field.slice(colon + 1).replace(/\r?\n/g, '')).map(({ address }) => address);
    });
  return { from: of('from')[0], recipients: [...new Set(of('to', 'cc', 'bcc'))] };
}

/** @param octets the header @throws outbox.sender when `From` or `Sender` names somebody else */
export function checkAuthors(octets: Uint8Array, allowed: string): void {
  for (const field of Buffer.from(octets)
    .toString('utf8')
    .split(/\r?\n(?![ \t])/)) {
    const [, name, value] = /^(from|sender)[ \t]*:([^]*)$/i.exec(field) ?? [];
    if (name === undefined) continue;
    for (const { address } of readAddresses(value!.replace(/\r?\n/g, '')))
      if (!sameAddress(address, allowed))
        throw outboxError('outbox.sender', `the only sender allowed here is ${allowed}, and ${name} names ${address}`, {
          hint: `set the device’s sender address to ${allowed}`,
        });
  }
}

/** `Zoë <zoe@x.test>, bob@x.test`, groups taken apart (RFC 5322 §3.4). @throws outbox.address */
export function readAddresses(text: string): readonly { readonly name: string; readonly address: string }[] {
  if (/[\r\n\0]/.test(text)) throw noAddress(text);
  return addressparser(text, { flatten: true }).map(({ name, address }) => {
    if (isAddress(address)) return { name, address };
    throw noAddress(address === '' ? name : address);
  });
}

function noAddress(text: string): Error {
  const shown = text.replace(/[^\x21-\x7e]+/g, ' ').slice(0, 100);
  return outboxError('outbox.address', `${shown === '' ? 'an empty text' : shown} is not an address mail can go to`, {
    detail: { address: shown },
  });
}
