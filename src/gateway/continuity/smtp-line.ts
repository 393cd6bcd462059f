/** A command line of SMTP, read once for the gateway and the server: what is passed on is what was read (RFC 5321 §4.1.1). No I/O. */

/**
 * Commands that may pass. Others could change what later octets mean (STARTTLS, AUTH, BURL, XCLIENT, TURN), or have replies or
 * data of another form than is followed here.
 */
const KNOWN: ReadonlySet<string> = new Set('MAIL RCPT DATA BDAT RSET EHLO HELO NOOP QUIT VRFY EXPN HELP'.split(' '));

export interface CommandLine {
  /** In capitals. */
  readonly verb: string;
  /** One octet per character. */
  readonly argument: string;
  /** As it is passed on: every server ends it at the same place. */
  readonly octets: Buffer;
}

/** @param line with its line end @returns a reply to what may not pass */
export function readCommandLine(line: Buffer): CommandLine | string {
  const whole = line.toString('latin1');
  const text = whole.replace(/\r?\n$/, '');
  if (/[\r\0]/.test(text)) return '500 5.5.2 a line has a CR or NUL in it';
  const trimmed = text.trimStart();
  const end = trimmed.search(/\s/);
  const [name, argument] = end === -1 ? [trimmed, ''] : [trimmed.slice(0, end), trimmed.slice(end).trimStart()];
  const verb = name.toUpperCase();
  if (!KNOWN.has(verb)) return '502 5.5.1 this command is not available here';
  return { verb, argument, octets: whole.endsWith('\r\n') ? line : Buffer.from(`${text}\r\n`, 'latin1') };
}

/** The argument of BDAT (RFC 3030 §2): at most 15 digits, so that every reader takes it for the same number. */
export function chunkOf(argument: string): { readonly octets: number; readonly last: boolean } | undefined {
  const found = /^(\d{1,15})(?:[ \t]+(LAST))?[ \t]*$/i.exec(argument);
  return found ? { octets: Number(found[1]), last: found[2] !== undefined } : undefined;
}

/** Whether EHLO lines announce BDAT. */
export function hasChunking(capabilities: readonly string[]): boolean {
  return capabilities.some((line) => /^CHUNKING\b/i.test(line));
}

/** What becomes of a command. `cut`: its reply is the last word. */
export type Fate =
  | { readonly type: 'pass'; readonly octets: Buffer }
  | { readonly type: 'answer' | 'cut'; readonly reply: string }
  | { readonly type: 'hold'; readonly until: 'held' | 'full' };
