/** What the commands of IMAP and its extensions mean for a session that may have to go on at another server. */
import { isHiddenFromImap } from '../capabilities.ts';
import type { Command } from './command.ts';

/** What a command means for following a session. */
type Trait =
  /** Read only, and no harm when done twice. */
  | 'repeatable'
  /** It leaves the session as it was, but for the mailbox that is selected; what is repeatable does so too. */
  | 'traceless'
  /** Arguments or answers are sequence numbers, or messages are named by them (RFC 9051 §6.4, RFC 5256, RFC 6851). */
  | 'numbered'
  /** It may name messages by their numbers among its arguments. */
  | 'may-number'
  /** It means messages of the mailbox that is selected. */
  | 'in-mailbox'
  /** Another mailbox, or none, is selected after it; CLOSE and UNSELECT, of which nobody hears more, apart. */
  | 'leaves-mailbox'
  /** A good server may work on it for minutes without a word: it searches, sorts, copies, or stores. */
  | 'slow'
  /** Programs use it most, and it passes as long as nobody waits for news. */
  | 'passing'
  /** Would take the session where it cannot be followed, or cannot succeed any more. Not announced. */
  | 'never'
  /** It asks for nothing more of the client than its literals, though it leaves a trace. */
  | 'known';

/** One row for each command. What is missing here passes, and its session is nobody else's afterwards. */
const COMMANDS: ReadonlyMap<string, ReadonlySet<Trait>> = new Map(
  Object.entries({
    APPEND: 'traceless slow',
    AUTHENTICATE: 'never',
    CAPABILITY: 'repeatable',
    CHECK: 'repeatable passing in-mailbox',
    CLOSE: 'traceless passing slow',
    COMPRESS: 'never',
    COPY: 'traceless numbered slow',
    CREATE: 'traceless',
    DELETE: 'traceless',
    ENABLE: 'known',
    EXAMINE: 'repeatable passing leaves-mailbox',
    EXPUNGE: 'traceless passing slow',
    FETCH: 'repeatable passing numbered in-mailbox',
    GETACL: 'traceless',
    GETMETADATA: 'traceless',
    GETQUOTA: 'traceless',
    GETQUOTAROOT: 'traceless',
    ID: 'repeatable',
    IDLE: 'repeatable in-mailbox',
    LANGUAGE: 'never',
    LIST: 'repeatable passing',
    LOGIN: 'never',
    LOGOUT: 'leaves-mailbox',
    LSUB: 'repeatable',
    MOVE: 'traceless numbered slow',
    MYRIGHTS: 'traceless',
    NAMESPACE: 'repeatable',
    NOOP: 'repeatable passing',
    NOTIFY: 'never',
    RENAME: 'traceless',
    SEARCH: 'repeatable passing numbered in-mailbox slow',
    SELECT: 'repeatable passing leaves-mailbox',
    SORT: 'traceless numbered slow',
    STARTTLS: 'never',
    STATUS: 'repeatable passing',
    STORE: 'traceless passing numbered',
    SUBSCRIBE: 'traceless',
    THREAD: 'traceless numbered slow',
    // The first word of the next ones.
    UID: 'passing',
    'UID COPY': 'traceless in-mailbox slow',
    'UID EXPUNGE': 'traceless in-mailbox slow',
    'UID FETCH': 'repeatable in-mailbox',
    'UID MOVE': 'traceless in-mailbox slow',
    'UID SEARCH': 'repeatable may-number in-mailbox slow',
    'UID SORT': 'traceless may-number in-mailbox slow',
    'UID STORE': 'traceless in-mailbox',
    'UID THREAD': 'traceless may-number in-mailbox slow',
    UNAUTHENTICATE: 'never',
    UNSELECT: 'traceless',
    UNSUBSCRIBE: 'traceless',
  }).map(([verb, traits]) => [verb, new Set(traits.split(' ') as Trait[])]),
);
const NUMBER_ARGUMENT = /[ (][\d*][\d*:,]*(?=[ )]|$)/;
const MAX_REPEATED = 8192;

const has = (verb: string, trait: Trait): boolean => COMMANDS.get(verb)?.has(trait) === true;
const isTraceless = (verb: string): boolean => has(verb, 'traceless') || has(verb, 'repeatable');

/** Arguments that make a server add MODSEQ to its responses from then on (RFC 7162 §3.1). */
const MODSEQ = /\b(?:MODSEQ|CHANGEDSINCE|UNCHANGEDSINCE|HIGHESTMODSEQ)\b/i;
/** Parameters of SELECT that do so too, and make it send VANISHED. */
const AWARE = /\b(?:CONDSTORE|QRESYNC)\b/i;

export function isSlow({ verb }: Command): boolean {
  return has(verb, 'slow');
}

export function byNumber({ verb, line }: Command): boolean {
  return has(verb, 'numbered') || (has(verb, 'may-number') && NUMBER_ARGUMENT.test(line));
}

/** @param word the first of the verb */
export function isPassing(word: string): boolean {
  return has(word, 'passing');
}

/** Whether it is known to ask for nothing more of the client than its literals, IDLE apart. */
export function isKnown(verb: string): boolean {
  return isTraceless(verb) || has(verb, 'known');
}

export function isNever(verb: string): boolean {
  return has(verb, 'never');
}

export function selects(verb: string): boolean {
  return verb === 'SELECT' || verb === 'EXAMINE';
}

/** Of those that may be sent again: whether it means messages of the mailbox that is selected. */
export function needsMailbox(verb: string): boolean {
  return has(verb, 'in-mailbox');
}

/** Whether another mailbox, or none, is selected after it. */
export function leavesMailbox(verb: string): boolean {
  return has(verb, 'leaves-mailbox');
}

/** Whether it may be sent again when the server went away without a word of an answer. */
export function isRepeatable({ verb, line, segments }: Command): boolean {
  return has(verb, 'repeatable') && segments.length === 1 && line.length <= MAX_REPEATED && !/[{]\d+\+?[}]$/.test(line);
}

/** Whether a session in which this whole command was given is, once nothing is selected, as it was after sign-in. */
export function leavesNoTrace(command: Command): boolean {
  const { verb, segments } = command;
  return (
    isTraceless(verb) &&
    !savesResult(command) &&
    !segments.some((segment) => typeof segment === 'string' && (MODSEQ.test(segment) || AWARE.test(segment)))
  );
}

/** Commands after which the server adds MODSEQ to its responses (RFC 7162 §3.1). */
export function knowsModSeq({ line }: Command): boolean {
  return MODSEQ.test(line);
}

/** State that lives in one session only: a saved result (RFC 5182), a search that is kept up to date (RFC 5267). */
export function savesResult({ verb, line }: Command): boolean {
  return (
    (verb.endsWith('SEARCH') || verb.endsWith('SORT')) && /\bRETURN \([^()]*\b(?:SAVE|UPDATE|CONTEXT)\b/i.test(line)
  );
}

/** The extensions an ENABLE names, without those that are not announced. */
export function visibleExtensions(line: string): string[] {
  return line.split(/ +/).filter((name, index) => index > 0 && name !== '' && !isHiddenFromImap(name));
}
