/** Replies of SMTP servers (RFC 5321 §4.2, §4.2.1): one reader for sign-in, sending and checks. */
import { REPLY_OCTETS, unexpected } from '../bearer-sign-in.ts';
import { protocolError } from '../errors.ts';
import type { Conn } from '../wire/conn.ts';

export interface ReplyLines {
  readonly code: number;
  readonly lines: readonly string[];
  /** As it came, lines joined by a space. */
  readonly text: string;
}

/** The longest EHLO reply seen has 20 lines. */
const MAX_LINES = 200;

/** @throws wire.closed, wire.syntax, wire.timeout, or the signal's reason */
export async function readReply(conn: Conn, host: string, signal: AbortSignal | undefined): Promise<ReplyLines> {
  const lines: string[] = [];
  for (;;) {
    const octets = await conn.line(REPLY_OCTETS, signal);
    if (octets === undefined) throw protocolError('wire.closed', `${host} closed the connection`, { detail: { host } });
    const line = octets.toString('utf8');
    const found = /^([2-5]\d\d)([ -]?)(.*)$/s.exec(line);
    if (!found || lines.length >= MAX_LINES) throw unexpected(host, line);
    lines.push(found[3]!);
    if (found[2] !== '-') return { code: Number(found[1]), lines, text: `${found[1]} ${lines.join(' ')}` };
  }
}
