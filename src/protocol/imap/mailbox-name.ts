/** Mailbox names on the wire: modified UTF-7 (RFC 3501 §5.1.3). */
import { protocolError } from '../errors.ts';

/** A Unicode name as modified UTF-7. */
export function encodeMailboxName(name: string): string {
  return name.replace(/&|[^\x20-\x7e]+/g, (run) => {
    if (run === '&') return '&-';
    const bytes = Buffer.from(run, 'utf16le').swap16();
    return `&${bytes.toString('base64').replaceAll('=', '').replaceAll('/', ',')}-`;
  });
}

/** The Unicode name. @throws wire.syntax when the text is not modified UTF-7 */
export function decodeMailboxName(text: string): string {
  if (/[^\x20-\x7e]/.test(text)) throw malformed();
  const name = text.replace(/&([^-]*)(-?)/g, (_, shifted: string, end: string) => {
    if (end === '') throw malformed();
    if (shifted === '') return '&';
    if (!/^[A-Za-z0-9+,]+$/.test(shifted)) throw malformed();
    const bytes = Buffer.from(shifted.replaceAll(',', '/'), 'base64');
    if (bytes.length < 2 || bytes.length % 2 !== 0) throw malformed();
    return bytes.swap16().toString('utf16le');
  });
  return name;
}

function malformed(): Error {
  return protocolError('wire.syntax', 'a mailbox name is not modified UTF-7');
}
