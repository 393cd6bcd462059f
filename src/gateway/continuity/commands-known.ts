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

/**
 * What a command takes, one letter for each argument: `a` atom, `s` quoted string, `l` literal, `p` list, `L` list with a literal in
 * it. A server that takes fewer than these would leave a literal over; what follows a command without any some skip, literals included.
 */
const ARGUMENTS = {
  nothing: /^$/,
  mailbox: /^[asl]$/,
  'two-mailboxes': /^[asl]{2}$/,
  'mailbox-options': /^[asl]p?$/,
  'mailbox-items': /^[asl]p$/,
  'set-mailbox': /^a[asl]$/,
  keys: /^[aslpL]+$/,
  message: /^[asl]p?s?l$/,
  pairs: /^[pL]$/,
} as const;
type Arguments = keyof typeof ARGUMENTS;

/** One row for each command: what it means, and what it takes where that is known. What is missing here passes, and its session is nobody else's afterwards. */
const COMMANDS: ReadonlyMap<string, ReadonlySet<Trait | Arguments>> = new Map(
  Object.entries({
    APPEND: 'traceless slow message',
    AUTHENTICATE: 'never',
    CAPABILITY: 'repeatable nothing',
    CHECK: 'repeatable passing in-mailbox nothing',
    CLOSE: 'traceless passing slow nothing',
    COMPRESS: 'never',
    COPY: 'traceless numbered slow set-mailbox',
    CREATE: 'traceless mailbox',
    DELETE: 'traceless mailbox',
    ENABLE: 'known',
    EXAMINE: 'repeatable passing leaves-mailbox mailbox-options',
    EXPUNGE: 'traceless passing slow nothing',
    FETCH: 'repeatable passing numbered in-mailbox',
    GETACL: 'traceless',
    GETMETADATA: 'traceless',
    GETQUOTA: 'traceless mailbox',
    GETQUOTAROOT: 'traceless mailbox',
    ID: 'repeatable pairs',
    IDLE: 'repeatable in-mailbox nothing',
    LANGUAGE: 'never',
    LIST: 'repeatable passing two-mailboxes',
    LOGIN: 'never',
    LOGOUT: 'leaves-mailbox nothing',
    LSUB: 'repeatable two-mailboxes',
    MOVE: 'traceless numbered slow set-mailbox',
    MYRIGHTS: 'traceless mailbox',
    NAMESPACE: 'repeatable nothing',
    NOOP: 'repeatable passing nothing',
    NOTIFY: 'never',
    RENAME: 'traceless two-mailboxes',
    SEARCH: 'repeatable passing numbered in-mailbox slow keys',
    SELECT: 'repeatable passing leaves-mailbox mailbox-options',
    SORT: 'traceless numbered slow',
    STARTTLS: 'never',
    STATUS: 'repeatable passing mailbox-items',
    STORE: 'traceless passing numbered',
    SUBSCRIBE: 'traceless mailbox',
    THREAD: 'traceless numbered slow',
    // The first word of the next ones.
    UID: 'passing',
    'UID COPY': 'traceless in-mailbox slow set-mailbox',
    'UID EXPUNGE': 'traceless in-mailbox slow',
    'UID FETCH': 'repeatable in-mailbox',
    'UID MOVE': 'traceless in-mailbox slow set-mailbox',
    'UID SEARCH': 'repeatable may-number in-mailbox slow keys',
    'UID SORT': 'traceless may-number in-mailbox slow',
    'UID STORE': 'traceless in-mailbox',
    'UID THREAD': 'traceless may-number in-mailbox slow',
    UNAUTHENTICATE: 'never',
    UNSELECT: 'traceless nothing',
    UNSUBSCRIBE: 'traceless mailbox',
  }).map(([verb, traits]) => [verb, new Set(traits.split(' ') as (Trait | Arguments)[])]),
);
const NUMBER_ARGUMENT = /[ (][\d*][\d*:,]*(?=[ )]|$)/;
const MAX_REPEATED = 8192;

const has = (verb: string, trait: Trait | Arguments): boolean => COMMANDS.get(verb)?.has(trait) === true;

/** Undefined where it is not known what it takes. */
export function argumentsOf(verb: string): RegExp | undefined {
  for (const trait of COMMANDS.get(verb) ?? []) if (trait in ARGUMENTS) return ARGUMENTS[trait as Arguments];
  return undefined;
}

/** True for a command of which it is known where it may have literals. */
export function mayHaveLiterals(verb: string): boolean {
  return !has(verb, 'nothing') && argumentsOf(verb) !== undefined;
}

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
