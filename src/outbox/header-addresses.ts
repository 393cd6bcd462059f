/** Who a finished message is from and to, as its own header says: the envelope where none is given. */
import { readAddressList } from '../protocol/mime/address-list.ts';
import { type Field, MAX_HEADER, newestResending, readFields, valuesOf } from '../protocol/mime/header-fields.ts';
import { isAddress, noAddress, shown } from './address.ts';
import { outboxError } from './errors.ts';

export interface HeaderAddresses {
  /** Of `Sender` or `From`, or of those who resend it; several are possible, the first counts. A local name stays one. */
  readonly from: string | undefined;
  /** Of `To`, `Cc` and `Bcc`, or of the newest resending (RFC 5322 §3.6.6), each once. Local names stay local. */
  readonly recipients: readonly string[];
  /** They are those of a resending that does not say by whom, which RFC 5322 §3.6.6 demands: it may be none that was meant. */
  readonly isResentByNobody?: true;
}

/** @param octets the header, of at most {@link MAX_HEADER} @throws outbox.header, outbox.address */
export function headerAddresses(octets: Uint8Array): HeaderAddresses {
  if (octets.length > MAX_HEADER) throw outboxError('outbox.header', `the header has more than ${MAX_HEADER} octets`);
  const fields = readFields(Buffer.from(octets).toString('latin1'));
  if ('problem' in fields)
    throw outboxError('outbox.header', `line ${fields.line} of the message ${fields.problem}`, {
      detail: { line: fields.line },
    });
  const resent = newestResending(fields);
  const isResent = resent.some(({ name }) => RESENT_TO.includes(name));
  const of = (from: readonly Field[], ...names: readonly string[]): readonly string[] =>
    names.flatMap((name) => valuesOf(from, name).flatMap((value) => addressesOf(value)));
  const written = of(fields, 'from');
  return {
    from:
      (isResent ? of(resent, 'resent-sender', 'resent-from')[0] : undefined) ??
      (written.length > 1 ? of(fields, 'sender')[0] : undefined) ??
      written[0],
    ...(isResent && !resent.some(({ name }) => name === 'resent-from') ? { isResentByNobody: true } : {}),
    recipients: [...new Set(isResent ? of(resent, ...RESENT_TO) : of(fields, 'to', 'cc', 'bcc'))],
  };
}

const RESENT_TO = ['resent-to', 'resent-cc', 'resent-bcc'];

/** `Zoë <zoe@x.test>, bob@x.test`, groups taken apart (RFC 5322 §3.4). @throws outbox.address */
export function readAddresses(text: string): readonly { readonly name: string; readonly address: string }[] {
  const list = read(text);
  return list.map(({ name, address, isLocal }) => {
    if (!isLocal && isAddress(address)) return { name, address };
    const wrong = shown(address === '' ? name : address);
    // `Doe, John <doe@x.test>` are two entries by RFC 5322 §3.4, and nobody called Doe was meant.
    if (isLocal && list.some((one) => one.name !== ''))
      throw outboxError('outbox.address', `${wrong} in ${shown(text)} is not an address mail can go to`, {
        hint: QUOTE_NAMES,
        detail: { address: wrong },
      });
    throw noAddress(wrong);
  });
}

/** As {@link readAddresses}, with names that have no domain yet. @throws outbox.address */
export function addressesOf(text: string): readonly string[] {
  return read(text).flatMap(({ address, isLocal }) => {
    if (address === '') return [];
    if (isAddress(isLocal ? `${address}@local` : address)) return [address];
    throw noAddress(address);
  });
}

function read(text: string) {
  if (/[\r\n\0]/.test(text)) throw noAddress(text);
  const { addresses, problem } = readAddressList(text);
  if (problem === undefined) return addresses;
  throw outboxError('outbox.address', `${shown(text)} is no list of addresses: ${problem}`, { hint: QUOTE_NAMES });
}

const QUOTE_NAMES =
  'put a name that has more than words between quotation marks: "Doe, John" <doe@example.com>; over HTTP name and address can be given apart: {"name": "Doe, John", "address": "doe@example.com"}';
