/** ENVELOPE and BODYSTRUCTURE of a message (RFC 3501 §7.4.2). Texts hold one octet per character. */
import { formatNstring, formatString } from '../imap/token.ts';
import { parseAddresses } from './address.ts';
import { fieldOf, parseParameters, type Parameters, type Part } from './part.ts';

export function envelope(part: Part): string {
  const text = (name: string): string => formatNstring(fieldOf(part, name));
  const from = addresses(part, 'from');
  const or = (name: string): string => {
    const own = addresses(part, name);
    return own === 'NIL' ? from : own;
  };
  const rest = ['to', 'cc', 'bcc'].map((name) => addresses(part, name));
  const list = [text('date'), text('subject'), from, or('sender'), or('reply-to'), ...rest];
  return `(${[...list, text('in-reply-to'), text('message-id')].join(' ')})`;
}

/** @param extended BODYSTRUCTURE when true, BODY when false */
export function bodyStructure(part: Part, extended: boolean): string {
  if (part.type === 'multipart') {
    const children = part.children.map((child) => bodyStructure(child, extended)).join('');
    const extension = extended ? ` ${parameters(part.parameters)} ${tail(part)}` : '';
    return `(${children} ${formatString(part.subtype)}${extension})`;
  }
  const basic = [
    formatString(part.type),
    formatString(part.subtype),
    parameters(part.parameters),
    formatNstring(fieldOf(part, 'content-id')),
    formatNstring(fieldOf(part, 'content-description')),
    formatString(fieldOf(part, 'content-transfer-encoding') ?? '7bit'),
    String(part.end - part.body),
  ];
  const inner = part.type === 'message' && part.subtype === 'rfc822' ? part.children[0] : undefined;
  if (inner) basic.push(envelope(inner), bodyStructure(inner, extended));
  if (inner || part.type === 'text') basic.push(String(lines(part)));
  if (extended) basic.push(formatNstring(fieldOf(part, 'content-md5')), tail(part));
  return `(${basic.join(' ')})`;
}

/** Disposition, language and location, which end every extended structure. */
function tail(part: Part): string {
  const disposition = fieldOf(part, 'content-disposition');
  const parsed = disposition === undefined ? undefined : parseParameters(disposition);
  const shown = parsed ? `(${formatString(parsed.value.toLowerCase())} ${parameters(parsed.parameters)})` : 'NIL';
  return `${shown} ${formatNstring(fieldOf(part, 'content-language'))} ${formatNstring(fieldOf(part, 'content-location'))}`;
}

function parameters(list: Parameters): string {
  if (list.length === 0) return 'NIL';
  return `(${list.map(([name, value]) => `${formatString(name)} ${formatString(value)}`).join(' ')})`;
}

function addresses(part: Part, name: string): string {
  const value = part.fields.filter((field) => field.name === name).map((field) => field.value);
  const list = parseAddresses(value.join(', ')).map((address) => {
    if (address.type === 'group-start') return `(NIL NIL ${formatString(address.name)} NIL)`;
    if (address.type === 'group-end') return '(NIL NIL NIL NIL)';
    const host = address.domain || '.MISSING-HOST-NAME.';
    return `(${formatNstring(address.name)} ${formatNstring(address.route)} ${formatString(address.local)} ${formatString(host)})`;
  });
  return list.length === 0 ? 'NIL' : `(${list.join('')})`;
}

function lines(part: Part): number {
  let count = 0;
  for (let at = part.raw.indexOf(10, part.body); at !== -1 && at < part.end; at = part.raw.indexOf(10, at + 1)) count++;
  return count;
}
