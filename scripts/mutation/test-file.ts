/** Runs one test file in a process of its own, until the first test fails. */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import process from 'node:process';

export const root = resolve(import.meta.dirname, '../..');

export interface Run {
  readonly outcome: 'passed' | 'failed' | 'timed-out';
  readonly ms: number;
  /** The first test that failed, where one did. */
  readonly test: string | undefined;
}

/** A failure as TAP says it, unless it is one that is expected. */
const NOT_OK = /^\s*not ok \d+ - (?!.*# (?:TODO|SKIP))(.*)$/m;

export function runTestFile(file: string, env: NodeJS.ProcessEnv, limitMs: number): Promise<Run> {
  const begun = performance.now();
  return new Promise((done, fail) => {
    const args = ['--disable-warning=ExperimentalWarning', '--test-reporter=tap', join(root, file)];
    // In a group of its own: what the test started ends with it.
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...env, NODE_COMPILE_CACHE: join(root, '.cache/compile') },
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    let output = '';
    let outcome: Run['outcome'] | undefined;
    let test: string | undefined;
    const end = (how: Run['outcome']): void => {
      outcome ??= how;
      killGroup(child.pid);
    };
    const timer = setTimeout(() => end('timed-out'), limitMs);
    const interrupted = (): void => {
      killGroup(child.pid);
      process.exit(130);
    };
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    child.stdout.on('data', (piece: Buffer) => {
      output += piece.toString();
      test ??= NOT_OK.exec(output)?.[1];
      if (test !== undefined) end('failed');
      output = output.slice(output.lastIndexOf('\n') + 1);
    });
    child.on('error', fail);
    child.on('close', (code) => {
      clearTimeout(timer);
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      killGroup(child.pid);
      done({ outcome: outcome ?? (code === 0 ? 'passed' : 'failed'), ms: performance.now() - begun, test });
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}
