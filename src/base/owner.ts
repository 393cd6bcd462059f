/** Whose the files of an installation are. */
import { chownSync, lstatSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Gives a file that root has just made to whose it should be: a command that root runs in the installation of another user must
 * leave nothing behind that this user cannot read any more. Does nothing for other users, who cannot give files away.
 * @param replaces the file that it is about to be renamed over: its owner stays; without one it is the owner of the folder
 */
export function giveToOwner(path: string, replaces?: string): void {
  if (process.geteuid?.() !== 0) return;
  const before = replaces === undefined ? undefined : lstatSync(replaces, { throwIfNoEntry: false });
  const { uid, gid } = before ?? lstatSync(dirname(path));
  const now = lstatSync(path);
  // A link's target may be anybody's.
  if (now.isSymbolicLink() || now.uid === uid) return;
  try {
    chownSync(path, uid, gid);
  } catch {
    // A container without CAP_CHOWN, a file system without owners: it stays root's, and whoever cannot read it is told.
  }
}
