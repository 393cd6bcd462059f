/**
 * SMTP submission after sign-in while there is nobody behind it to take mail. A program that is told so in answer to AUTH asks its user
 * for a new password (Thunderbird does, upon 454 too); told in answer to MAIL it shows the words, or tries again later.
 */
import { isError, type Kind, type PosternError } from '../../base/error.ts';
import { outside } from '../../base/outside.ts';
import { SMTP_WAITING } from '../../base/replies.ts';
import { isAnnounceable, isUnreadable, MAX_BAD_COMMANDS, MAX_COMMANDS, oneLine } from '../sign-in.ts';
import type { Conn } from '../wire/conn.ts';
import { chunkOf, commandWords, ehloReply } from './command-line.ts';

export interface WaitingOptions {
  readonly hostname: string;
  /** Most octets of a line. */
  readonly lineOctets: number;
  readonly signal: AbortSignal;
  /** EHLO lines the path behind can honour. */
  extensions(): Promise<readonly string[]>;
  /** Looks for somebody to take mail, before a MAIL is answered. Gives what is in the way. Must not reject. */
  retry(): Promise<PosternError | undefined>;
}

/**
 * Refuses mail with a temporary reply until `retry` finds nothing in the way: resolves then with `taken`, and the MAIL is the next line of
 * `conn`; with `closed` when the connection is over.
 * @throws wire.* when the connection breaks; the signal's reason
 */
export async function serveWaiting(
  conn: Conn,
  failure: PosternError,
  options: WaitingOptions,
): Promise<'taken' | 'closed'> {
  const { hostname, lineOctets, signal } = options;
  let inTheWay = failure;
  let bad = 0;
  const last = async (text: string): Promise<'closed'> => {
    await conn.write(`${text}\r\n`);
    return 'closed';
  };
  const refuse = (): Promise<void> => conn.write(`${SMTP_WAITING} ${notTaken(inTheWay)}\r\n`);
  try {
    for (let commands = 0; ;) {
      const octets = await conn.line(lineOctets, signal);
      if (octets === undefined) return 'closed';
      if (++commands > MAX_COMMANDS || bad >= MAX_BAD_COMMANDS)
        return await last(`421 4.7.0 ${hostname} too many commands; connect again later`);
      const line = octets.toString('latin1');
      const { verb, argument } = commandWords(line);
      switch (verb) {
        case 'MAIL': {
          const found = await options.retry();
          signal.throwIfAborted();
          if (found === undefined) {
            conn.putBack(`${line}\r\n`);
            return 'taken';
          }
          inTheWay = found;
          await refuse();
          break;
        }
        case 'BDAT': {
          // Its octets come whatever the answer is (RFC 3030 §2).
          const size = chunkOf(argument)?.octets;
          if (size === undefined) return await last('501 5.5.4 BDAT and a number of octets was expected');
          for await (const _ of conn.stream(size, signal));
          await refuse();
          break;
        }
        case 'EHLO': {
          const lines = [hostname, ...(await options.extensions()).filter(isSent)];
          await conn.write(`${ehloReply(lines)}\r\n`);
          break;
        }
        case 'HELO':
          await conn.write(`250 ${hostname}\r\n`);
          break;
        case 'NOOP':
        case 'RSET':
          await conn.write('250 2.0.0 OK\r\n');
          break;
        case 'QUIT':
          return await last(`221 2.0.0 ${hostname} see you`);
        case 'AUTH':
        case 'STARTTLS':
          bad += 1;
          await conn.write(`503 5.5.1 ${verb} comes before the sign-in, which is done\r\n`);
          break;
        default:
          await refuse();
      }
    }
  } catch (error) {
    if (isUnreadable(error)) return last(`500 5.5.2 ${error.message}`);
    if (isError(error, 'wire.timeout')) return last(`421 4.4.2 ${hostname} nothing was received for too long`);
    throw error;
  }
}

/** What Postern does by itself for mail in its outbox; nobody but its sender tries this message again. */
const BY_ITSELF = /^(?:(?:or )?wait|Postern .*tries again by itself)$/;
const HOW_LONG = /^(?:this (?:passes|does not pass) by itself|the provider does not say why)/;
const PASSES: ReadonlySet<string> = new Set(['later', 'garbled', 'limit', 'bug'] satisfies Kind[]);

/** What a person has to do comes first: some programs show two hundred characters of a reply. */
function notTaken(error: PosternError): string {
  const { hint, kind, message } = outside(error);
  const more = hint.split('; ').filter((part) => !BY_ITSELF.test(part));
  const about = (parts: readonly string[]): string =>
    parts.length === 0 ? message : `${message} (${parts.join('; ')})`;
  if (PASSES.has(kind)) return oneLine(`not sent, send it again in a few minutes: ${about(more)}`);
  const todo = more.find((part) => part !== PASSWORD_RIGHT && !HOW_LONG.test(part));
  // When it is put right, it may be sent again: that says how long this lasts.
  const rest = more.filter((part) => part !== todo && part !== LASTS);
  const first = todo === undefined ? 'send it again when this is put right' : `${todo}, then send it again`;
  return oneLine(`not sent; ${first}: ${about(rest)}`);
}

const LASTS = 'this does not pass by itself';
const PASSWORD_RIGHT = 'the app password is right';

function isSent(line: string): boolean {
  return isAnnounceable(line) && !/^(?:AUTH|STARTTLS)\b/i.test(line);
}
