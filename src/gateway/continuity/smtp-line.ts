/**
 * A command line of SMTP, read once for the gateway and the server (RFC 5321 §4.1.1): what is passed on is written again from what was
 * read, in one form that every server reads alike. No I/O.
 */
import { isUtf8 } from 'node:buffer';
import { type Chunk, chunkOf, commandWords } from '../../protocol/smtp/command-line.ts';
import { decodeXtext, isParameter, type Path, parsePath } from '../../protocol/smtp/envelope.ts';

/**
 * Commands that may pass. Others could change what later octets mean (STARTTLS, AUTH, BURL, XCLIENT, TURN), or have replies or
 * data of another form than is followed here.
 */
const KNOWN: ReadonlySet<string> = new Set('MAIL RCPT DATA BDAT RSET EHLO HELO NOOP QUIT VRFY EXPN HELP'.split(' '));
/**
 * Parameters that say how a message is carried, none of which names a sender (SUBMITTER does, and XVERP and XOORG change or vouch
 * for one): RFC 1870, 6152, 6531, 3461, 4954, 2852, 4865, 6710, 8689, and of RCPT RFC 3461, 7293.
 */
const PARAMETERS: Readonly<Record<'MAIL' | 'RCPT', ReadonlySet<string>>> = {
  MAIL: new Set('SIZE BODY SMTPUTF8 RET ENVID AUTH BY HOLDFOR HOLDUNTIL MT-PRIORITY REQUIRETLS'.split(' ')),
  RCPT: new Set('NOTIFY ORCPT RRVS'.split(' ')),
};
const KEYWORDS = { MAIL: 'FROM', RCPT: 'TO' } as const;
/** Servers differ in what they do with them; some end a line or a word there. */
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]/;
/** The same beyond ASCII, for readers that take a line for text. */
const TEXT_CONTROLS = /[\u0080-\u009f\u2028\u2029]/;
const PRINTABLE = /^[\x20-\x7e]*$/;

/** A command as it may pass; `chunk` is undefined where BDAT has no number. */
export type Command =
  | { readonly verb: 'MAIL' | 'RCPT'; readonly path: Path }
  | { readonly verb: 'BDAT'; readonly chunk: Chunk | undefined }
  | { readonly verb: string };

/** What was read of a line, and how it is passed on. BDAT is written by {@link chunkLine}, once it is known what goes with it. */
export type Line = Command & { readonly octets: Buffer };

/** @param line with its line end @param mayBe whom the program may say it is @returns a reply to what may not pass */
export function readCommandLine(line: Buffer, mayBe: (address: string) => boolean): Line | string {
  const text = line.toString('latin1').replace(/\r?\n$/, '');
  if (CONTROLS.test(text)) return '500 5.5.2 a line has a control character in it';
  const { verb, argument } = commandWords(text);
  if (!KNOWN.has(verb)) return '502 5.5.1 this command is not available here';
  const written = (words: string): Buffer => {
    const octets = Buffer.from(`${words}\r\n`);
    return octets.equals(line) ? line : octets;
  };
  switch (verb) {
    case 'MAIL':
    case 'RCPT': {
      const path = pathOf(verb, argument);
      if (path === undefined) return `501 5.5.4 ${verb} ${KEYWORDS[verb]}:<address> was expected`;
      const unknown = [...path.parameters.keys()].find((name) => !PARAMETERS[verb].has(name));
      if (unknown !== undefined) return `555 5.5.4 the parameter ${unknown.slice(0, 64)} is not available here`;
      if (!/^(?:"(?:[^"\\]|\\.)*"|[^\s"])*$/.test(path.address)) return `501 5.1.3 an address has no space in it`;
      // AUTH is not the program's to say; we write its value ourselves.
      const wrong = [...path.parameters].find(([name, value]) => name !== 'AUTH' && !isParameter(name, value));
      if (wrong !== undefined) return `501 5.5.4 ${wrong[0]} does not take this value`;
      const parameters = [...path.parameters].map(([name, value]) => {
        if (name === 'AUTH') return ` AUTH=${submitter(value, mayBe)}`;
        return value === undefined ? ` ${name}` : ` ${name}=${value}`;
      });
      return { verb, path, octets: written(`${verb} ${KEYWORDS[verb]}:<${path.address}>${parameters.join('')}`) };
    }
    case 'BDAT':
      return { verb, chunk: chunkOf(argument), octets: line };
    case 'DATA':
    case 'RSET':
    case 'QUIT':
      if (argument !== '') return `501 5.5.4 ${verb} takes no parameters`;
      return { verb, octets: written(verb) };
    case 'NOOP':
      return { verb, octets: written(verb) };
    case 'EHLO':
    case 'HELO':
      // The name of a machine as some old programs give it; nobody needs it (RFC 5321 §4.1.4).
      return {
        verb,
        octets: written(PRINTABLE.test(argument) ? `${verb} ${argument}`.trimEnd() : `${verb} localhost`),
      };
    default:
      if (!PRINTABLE.test(argument)) return `501 5.5.4 ${verb} takes printable ASCII here`;
      return { verb, octets: written(`${verb} ${argument}`.trimEnd()) };
  }
}

export function chunkLine({ octets, last }: Chunk): Buffer {
  return Buffer.from(`BDAT ${octets}${last ? ' LAST' : ''}\r\n`);
}

function pathOf(verb: 'MAIL' | 'RCPT', argument: string): Path | undefined {
  const octets = Buffer.from(argument, 'latin1');
  const text = octets.toString('utf8');
  return isUtf8(octets) && !TEXT_CONTROLS.test(text) ? parsePath(KEYWORDS[verb], text) : undefined;
}

/** Who submitted the message, which is for us to vouch for: anybody else is nobody (RFC 4954 §5). */
function submitter(value: string | undefined, mayBe: (address: string) => boolean): string {
  const address = decodeXtext(value ?? '')?.replace(/^<(.*)>$/, '$1');
  return address !== undefined && address !== '' && mayBe(address) ? value! : '<>';
}

/** Whether EHLO lines announce BDAT. */
export function hasChunking(capabilities: readonly string[]): boolean {
  return capabilities.some((line) => /^CHUNKING\b/i.test(line));
}

/** What becomes of a command. `cut`: its reply is the last word; `refused`: its message is; `kept`: it goes with what follows. */
export type Fate =
  | { readonly type: 'pass'; readonly octets: Buffer }
  | { readonly type: 'answer' | 'refused' | 'cut'; readonly reply: string }
  | { readonly type: 'kept' }
  | { readonly type: 'hold'; readonly until: 'held' | 'full' };
