/** Files that a process wrote under another name first and was ended before it could rename or remove them: some hold keys. */
import { lstatSync, readdirSync, rmSync, statSync } from 'node:fs';
import { MACHINE } from '../base/replace-file.ts';
import { basename, dirname, join } from 'node:path';

/**
 * `key.new-4711-0a1b2c7ee11a567032`: with the process, its machine and what nobody guesses. Of earlier versions: `key.empty-4711`,
 * `server.key.once-4711.new-4711`, `key.new-7ee11a567032`.
 */
const OURS =
  /\.(?:(?:new|empty)-\d{1,7}-(?=\d*[a-f])[0-9a-f]{18}|new-(?:\d{1,7}-)?(?=\d*[a-f])[0-9a-f]{12}|once-(\d{1,7})(?:\.new-\1)?|empty-\d{1,7})$/;
/** What looks like it may be somebody's own, such as `key.new-2026`: it is told, and left. */
const LEFT = /\.(?:new|once|empty)-([0-9a-f]+)(?:-([0-9a-f]+))?$/;
/** Such a file is there for milliseconds; its process may be one of another machine or container. */
const YOUNG_MS = 60_000;
/** Of Linux; an older version's random name has 12 characters. */
const LONGEST_PID = 7;

/** What lies beside this file in its place, whole or not; empty where the folder cannot be read. */
export function leftoversOf(path: string): readonly string[] {
  return namesIn(dirname(path))
    .filter((name) => name.startsWith(`${basename(path)}.`) && LEFT.test(name))
    .map((name) => join(dirname(path), name));
}

/** The same for every file of a folder. */
export function leftoversIn(folder: string): readonly string[] {
  return namesIn(folder)
    .filter((name) => LEFT.test(name))
    .map((name) => join(folder, name));
}

/** Removes those of them that have a name of ours and that no process still needs. @returns what was removed */
export function sweep(left: readonly string[], now: number): readonly string[] {
  return left.filter((path) => {
    try {
      if (!OURS.test(path) || !isOver(path, now)) return false;
      rmSync(path);
      return true;
    } catch {
      return false; // gone meanwhile, or not ours: `check` names it
    }
  });
}

function isOver(path: string, now: number): boolean {
  const { mtimeMs, ino, dev, nlink } = lstatSync(path);
  // The second name of a file that is in its place: whoever made it has only to remove it.
  if (nlink > 1) {
    const whole = statSync(path.replace(LEFT, ''), { throwIfNoEntry: false });
    if (whole?.ino === ino && whole.dev === dev) return true;
  }
  const [, pid = '', mark = MACHINE] = LEFT.exec(path) ?? [];
  const isKnown = mark.startsWith(MACHINE) && pid.length <= LONGEST_PID && /^\d+$/.test(pid);
  return now - mtimeMs > YOUNG_MS || (isKnown && !isAlive(Number(pid)));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
