/** The words of a command line (RFC 5321 §2.4, §4.1.1): separated by space and, in practice, tab. Nothing else separates for any server. */

import { asciiUpper } from '../../base/case.ts';
import { trimEndOf } from '../../base/text.ts';

export interface CommandWords {
  /** In capitals; only letters of ASCII have two forms. */
  readonly verb: string;
  /** What follows, without space around it. */
  readonly argument: string;
}

/** @param line without its line end; one octet per character, or text */
export function commandWords(line: string): CommandWords {
  const [, verb = '', argument = ''] = /^[ \t]*([^ \t]*)[ \t]*(.*)$/s.exec(line) ?? [];
  return {
    verb: asciiUpper(verb),
    argument: trimEndOf(argument, ' \t'),
  };
}

/** The lines of a reply to EHLO (RFC 5321 §4.2.1), without the last CRLF. */
export function ehloReply(lines: readonly string[]): string {
  return lines.map((line, at) => `250${at === lines.length - 1 ? ' ' : '-'}${line}`).join('\r\n');
}

export interface Chunk {
  readonly octets: number;
  readonly last: boolean;
}

/** The argument of BDAT (RFC 3030 §2): at most 15 digits, so that every reader takes it for the same number; undefined when it is none. */
export function chunkOf(argument: string): Chunk | undefined {
  const found = /^([0-9]{1,15})(?:[ \t]+([Ll][Aa][Ss][Tt]))?$/.exec(argument);
  return found ? { octets: Number(found[1]), last: found[2] !== undefined } : undefined;
}
