/** What the commands of IMAP and its extensions mean for a session that may have to go on at another server. */
import { isHiddenFromImap } from '../capabilities.ts';
import type { Command } from './commands.ts';

/** Arguments or answers are sequence numbers, or messages are named by them (RFC 9051 §6.4, RFC 5256, RFC 6851). */
const BY_NUMBER: ReadonlySet<string> = new Set(['FETCH', 'STORE', 'COPY', 'MOVE', 'SEARCH', 'SORT', 'THREAD']);
const NUMBER_ARGUMENT = /[ (][\d*][\d*:,]*(?=[ )]|$)/;

/** Would take the session where it cannot be followed, or cannot succeed any more. None of it is announced. */
const NEVER: ReadonlySet<string> = new Set([
  'AUTHENTICATE',
  'COMPRESS',
  'LANGUAGE',
  'LOGIN',
  'NOTIFY',
  'STARTTLS',
  'UNAUTHENTICATE',
]);

/** Read only, and no harm when done twice. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'CAPABILITY',
  'CHECK',
  'EXAMINE',
  'FETCH',
  'ID',
  'IDLE',
  'LIST',
  'LSUB',
  'NAMESPACE',
  'NOOP',
  'SEARCH',
  'SELECT',
  'STATUS',
  'UID FETCH',
  'UID SEARCH',
]);
const MAX_REPEATED = 8192;
/** The verbs, or their first words, that programs use most and that pass as long as nobody waits for news. */
const PASSING: ReadonlySet<string> = new Set([
  'CHECK',
  'CLOSE',
  'EXAMINE',
  'EXPUNGE',
  'FETCH',
  'LIST',
  'NOOP',
  'SEARCH',
  'SELECT',
  'STATUS',
  'STORE',
  'UID',
]);

/** Besides those: commands that leave the session as it was, but for the mailbox that is selected. */
const TRACELESS: ReadonlySet<string> = new Set([
  ...REPEATABLE,
  'APPEND',
  'CLOSE',
  'COPY',
  'CREATE',
  'DELETE',
  'EXPUNGE',
  'GETACL',
  'GETMETADATA',
  'GETQUOTA',
  'GETQUOTAROOT',
  'MOVE',
  'MYRIGHTS',
  'RENAME',
  'SORT',
  'STORE',
  'SUBSCRIBE',
  'THREAD',
  'UID COPY',
  'UID EXPUNGE',
  'UID MOVE',
  'UID SORT',
  'UID STORE',
  'UID THREAD',
  'UNSELECT',
  'UNSUBSCRIBE',
]);
/** Arguments that make a server add MODSEQ to its responses from then on (RFC 7162 §3.1). */
const MODSEQ = /\b(?:MODSEQ|CHANGEDSINCE|UNCHANGEDSINCE|HIGHESTMODSEQ)\b/i;
/** Parameters of SELECT that do so too, and make it send VANISHED. */
const AWARE = /\b(?:CONDSTORE|QRESYNC)\b/i;

/** Commands on which a good server may work for minutes without a word: it searches, sorts, copies, or stores. */
const SLOW: ReadonlySet<string> = new Set([
  'APPEND',
  'CLOSE',
  'COPY',
  'EXPUNGE',
  'MOVE',
  'SEARCH',
  'SORT',
  'THREAD',
  'UID COPY',
  'UID EXPUNGE',
  'UID MOVE',
  'UID SEARCH',
  'UID SORT',
  'UID THREAD',
]);

export function isSlow({ verb }: Command): boolean {
  return SLOW.has(verb);
}

export function byNumber({ verb, line }: Command): boolean {
  return BY_NUMBER.has(verb) || (/^UID (?:SEARCH|SORT|THREAD)$/.test(verb) && NUMBER_ARGUMENT.test(line));
}

/** @param word the first of the verb */
export function isPassing(word: string): boolean {
  return PASSING.has(word);
}

/** Whether it is known to ask for nothing more of the client than its literals, IDLE apart. */
export function isKnown(verb: string): boolean {
  return TRACELESS.has(verb) || verb === 'ENABLE';
}

export function isNever(verb: string): boolean {
  return NEVER.has(verb);
}

export function selects(verb: string): boolean {
  return verb === 'SELECT' || verb === 'EXAMINE';
}

/** Of those that may be sent again: whether it means messages of the mailbox that is selected. */
export function needsMailbox(verb: string): boolean {
  return /^(?:CHECK|FETCH|IDLE|SEARCH|UID .*)$/.test(verb);
}

/** Whether another mailbox, or none, is selected after it; CLOSE and UNSELECT, of which nobody hears more, apart. */
export function leavesMailbox(verb: string): boolean {
  return selects(verb) || verb === 'LOGOUT';
}

/** Whether it may be sent again when the server went away without a word of an answer. */
export function isRepeatable({ verb, line, segments }: Command): boolean {
  return REPEATABLE.has(verb) && segments.length === 1 && line.length <= MAX_REPEATED && !/[{]\d+\+?[}]$/.test(line);
}

/** Whether a session in which this whole command was given is, once nothing is selected, as it was after sign-in. */
export function leavesNoTrace(command: Command): boolean {
  const { verb, segments } = command;
  return (
    TRACELESS.has(verb) &&
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
