/** Command lines as they are printed for people to paste. */

/** Means the same to every shell, quoted or not. */
const PLAIN = /^[\w@%+=:,./-]+$/;

/**
 * One argument of a command line for a POSIX shell: as it is where that is safe, otherwise in single quotes (POSIX.1-2017, Shell
 * Command Language §2.2.2). Every value in a printed command line passes through here; control characters cannot be pasted and
 * are left out.
 */
export function shellWord(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is meant
  const clean = text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, '');
  return PLAIN.test(clean) ? clean : `'${clean.replaceAll("'", String.raw`'\''`)}'`;
}

/** The command that gets a file or folder out of the way and loses nothing of it. */
export function moveAway(path: string): string {
  return `move it away: mv ${shellWord(path)} ${shellWord(`${path}.old`)}`;
}
