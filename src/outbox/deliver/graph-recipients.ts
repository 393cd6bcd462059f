/**
 * Graph sends to whom the header names and as whom it names, SMTP to and as whom the envelope names: the header is made to say what
 * the envelope says. Read by the parser that judged it when the message was accepted, and by no other.
 */
import type { Recipient } from '../../store/types-outbox.ts';
import { type AddressList, type ListedAddress, readAddressList } from '../../protocol/mime/address-list.ts';
import { type Field, headerEnd, readFields, valuesOf } from '../../protocol/mime/header-fields.ts';
import { sameAddress } from '../address.ts';

/** What the header says, as it was judged. */
export interface Named {
  readonly from: readonly ListedAddress[];
  readonly to: readonly ListedAddress[];
  readonly cc: readonly ListedAddress[];
  /** Recipients of the envelope whom neither To nor Cc names. */
  readonly bcc: readonly ListedAddress[];
  /** Undefined where it cannot be read. */
  readonly replyTo: readonly ListedAddress[] | undefined;
}

export type Addressing =
  | { readonly type: 'addressed'; readonly raw: Buffer; readonly named: Named }
  /** Graph would send it to others, or as others, than it is meant for. `reason`: a sentence without its full stop. */
  | { readonly type: 'misaddressed'; readonly reason: string };

/**
 * Gives the message with a Bcc of exactly those recipients that To and Cc do not name; Exchange takes it out before others see
 * it. A message whose To or Cc names anybody else cannot go this way, one that is resent (RFC 5322 §3.6.6) neither: Graph knows no
 * Resent-To, and would send it to its first addressees again.
 */
export function addressToAll(octets: Buffer, recipients: readonly Pick<Recipient, 'address'>[]): Addressing {
  const end = headerEnd(octets) ?? octets.length;
  const fields = readFields(octets.subarray(0, end).toString('latin1'));
  if ('problem' in fields) return misaddressed(`line ${fields.line} of the header ${fields.problem}`);
  const lists = new Map<string, readonly ListedAddress[]>();
  for (const name of ['from', 'to', 'cc']) {
    const { addresses, problem } = listIn(fields, name);
    if (problem !== undefined)
      return misaddressed(`${SHOWN[name]!} has ${problem}, which services read in different ways`);
    lists.set(name, addresses);
  }
  const [from, to, cc] = [lists.get('from')!, lists.get('to')!, lists.get('cc')!];
  const named = [...to, ...cc].filter(({ address }) => address !== '');
  const stranger = named.find(({ address }) => !recipients.some((one) => sameAddress(one.address, address)));
  if (stranger !== undefined)
    return misaddressed(
      `Microsoft Graph sends to everybody the header names, and ${stranger.address} is not to get this message`,
    );
  const bcc = recipients
    .filter(({ address }) => !named.some((one) => sameAddress(one.address, address)))
    .map(({ address }) => ({ name: '', address, isLocal: false }));
  const kept = fields.filter(({ name }) => name !== 'bcc' && name !== 'resent-bcc').map(({ raw }) => `${raw}\r\n`);
  const hidden = bcc.length === 0 ? '' : `Bcc: ${bcc.map(({ address }) => `<${address}>`).join(',\r\n ')}\r\n`;
  const header = Buffer.concat([Buffer.from(kept.join(''), 'latin1'), Buffer.from(`${hidden}\r\n`)]);
  const replyTo = listIn(fields, 'reply-to');
  return {
    type: 'addressed',
    raw: Buffer.concat([header, octets.subarray(end)]),
    named: { from, to, cc, bcc, replyTo: replyTo.problem === undefined ? replyTo.addresses : undefined },
  };
}

const SHOWN: Readonly<Record<string, string>> = { from: 'From', to: 'To', cc: 'Cc' };

function listIn(fields: readonly Field[], name: string): Pick<AddressList, 'addresses' | 'problem'> {
  const lists = valuesOf(fields, name).map((value) => readAddressList(value));
  return {
    addresses: lists.flatMap(({ addresses }) => addresses),
    problem: lists.find(({ problem }) => problem !== undefined)?.problem,
  };
}

const misaddressed = (reason: string): Addressing => ({ type: 'misaddressed', reason });
