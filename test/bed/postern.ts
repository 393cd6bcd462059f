/** The real command, run as a person runs it: `node src/cli/main.ts …` in a home of its own. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Daemon, type Finished, INHERITED, runProgram, type RunOptions, startDaemon } from './process.ts';

const root = resolve(import.meta.dirname, '../..');
/** Arguments for Node that start the command. */
export const COMMAND: readonly string[] = ['--disable-warning=ExperimentalWarning', join(root, 'src/cli/main.ts')];

/** Runs `postern ARGS` to its end with this home. @throws with what it said, when it fails */
export function postern(home: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return runProgram(process.execPath, [...COMMAND, ...args], {
    ...options,
    env: { HOME: home, POSTERN_HOME: home, ...options.env },
  });
}

/** Starts `postern ARGS` and leaves it running. */
export function startPostern(
  home: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Daemon {
  return startDaemon(process.execPath, [...COMMAND, ...args], {
    env: { ...INHERITED, HOME: home, POSTERN_HOME: home, ...env },
  });
}

/** Resident memory of a process in bytes (proc(5)). */
export function residentBytes(pid: number): number {
  const row = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (!row) throw new Error(`no memory figure for process ${pid}`);
  return Number(row[1]) * 1024;
}
