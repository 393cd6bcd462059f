/** For programs that refuse to work as root, which is who continuous integration is: root becomes nobody for them. */
import { chownSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const NOBODY = 65534;
const NOGROUP = 65534;

/** The command as an ordinary user runs it; `folder` and all in it becomes that user's. Gives it unchanged when we are no root. */
export function asOrdinaryUser(folder: string, program: string, args: readonly string[]): [string, readonly string[]] {
  if (process.getuid?.() !== 0) return [program, args];
  chownSync(folder, NOBODY, NOGROUP);
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    chownSync(join(folder, name), NOBODY, NOGROUP);
  return ['setpriv', [`--reuid=${NOBODY}`, `--regid=${NOGROUP}`, '--clear-groups', program, ...args]];
}
