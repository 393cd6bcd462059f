/** Graph sends to whom the header names, SMTP to whom the envelope names: the header is made to say what the envelope says. */
import type { Recipient } from '../../store/types-outbox.ts';
import { sameAddress } from '../address.ts';
import { headerAddresses } from '../header-addresses.ts';
import { headerEnd } from '../../protocol/mime/header-fields.ts';

export interface Misaddressed {
  readonly type: 'misaddressed';
  /** Named by To or Cc, but not to get the message. */
  readonly address: string;
}

/**
 * Gives the message with a Bcc of exactly those recipients that To and Cc do not name; Exchange takes it out before others see
 * it. A message that To or Cc addresses to somebody else besides cannot go this way.
 */
export function addressToAll(
  octets: Buffer,
  recipients: readonly Pick<Recipient, 'address'>[],
): { readonly type: 'addressed'; readonly raw: Buffer } | Misaddressed {
  const end = headerEnd(octets) ?? octets.length;
  const fields = octets
    .subarray(0, Math.max(0, end - 2))
    .toString('latin1')
    .split(/\r\n(?![ \t])/)
    .filter((field) => field !== '' && !/^bcc[ \t]*:/i.test(field));
  const open = Buffer.from(`${fields.join('\r\n')}\r\n`, 'latin1');
  // Graph has no idea of names without a domain, nor of who resends a message.
  const resent = fields.some((field) => /^resent-(?:to|cc|bcc)[ \t]*:/i.test(field));
  const named = resent ? [] : headerAddresses(open).recipients;
  const stranger = named.find((name) => !recipients.some(({ address }) => sameAddress(address, name)));
  if (stranger !== undefined) return { type: 'misaddressed', address: stranger };
  const hidden = recipients.filter(({ address }) => !named.some((name) => sameAddress(address, name)));
  const bcc = hidden.length === 0 ? '' : `Bcc: ${hidden.map(({ address }) => `<${address}>`).join(',\r\n ')}\r\n`;
  return { type: 'addressed', raw: Buffer.concat([open, Buffer.from(`${bcc}\r\n`), octets.subarray(end)]) };
}
