/** Reads one IMAP command with its literals from the line. */
import { announcedLiteral, type Segment } from '../../protocol/imap/token.ts';
import type { Ledger } from '../limits.ts';
import type { Line } from './line.ts';
import { LINE_OCTETS } from './site.ts';

const LITERALS_BEFORE_SIGN_IN = 8192;
const LITERALS = 65_536;
const SEGMENTS = 1000;

/**
 * One command; continuation requests are sent on the way.
 * @param watch called while nothing has come yet; gives what is to be called when something has
 */
export async function readCommand(
  conn: Line,
  ledger: Ledger,
  state: { readonly signedIn: boolean; readonly goodbye: string; readonly watch: () => (() => void) | undefined },
): Promise<Segment[] | 'closed'> {
  const segments: Segment[] = [];
  let octets = 0;
  for (;;) {
    const unwatch = segments.length === 0 ? state.watch() : undefined;
    const line = await conn.line(LINE_OCTETS);
    unwatch?.();
    if (line === undefined) return 'closed';
    const text = line.toString('latin1');
    const literal = announcedLiteral(text);
    if (!literal) return [...segments, text];
    octets += literal.octets;
    const first = segments.length > 0 ? String(segments[0]) : text;
    const isAppend = /^[^ ]+ APPEND /i.test(first);
    const most = !state.signedIn ? LITERALS_BEFORE_SIGN_IN : isAppend ? ledger.limits.messageOctets : LITERALS;
    const fits = octets <= most && segments.length <= SEGMENTS;
    if (!fits || !ledger.reserve(literal.octets)) {
      const tag = /^[^ ]+/.exec(first)?.[0] ?? '*';
      const why = fits ? '[UNAVAILABLE] Insufficient system resources' : 'Message size exceeds fixed maximum size';
      await conn.write(`${tag} NO ${why}\r\n`);
      // A literal that does not wait is on its way already, and cannot be told from commands.
      if (!literal.waits) {
        await conn.write(state.goodbye);
        return 'closed';
      }
      segments.length = octets = 0;
      continue;
    }
    try {
      if (literal.waits) await conn.write('+ Ready for additional command text.\r\n');
      segments.push(literal.text, await conn.counted(literal.octets));
    } finally {
      ledger.release(literal.octets);
    }
  }
}
