/** Talking to systemd, where it runs. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export type Scope = 'system' | 'user';

/** Whether the manager that would run the service is there: containers and images that are being built have none. */
export function hasManager(scope: Scope, env: Readonly<Record<string, string | undefined>>): boolean {
  if (!existsSync('/run/systemd/system')) return false;
  if (scope === 'system') return true;
  const runtime = env['XDG_RUNTIME_DIR'] || `/run/user/${process.getuid?.() ?? 0}`;
  return existsSync(join(runtime, 'systemd', 'private'));
}

export interface Ran {
  readonly code: number;
  readonly output: string;
}

const COMMAND_MS = 90_000;

/** Runs `systemctl` or `loginctl` to its end; what they say belongs to the person. Never rejects. */
export function run(command: readonly string[]): Promise<Ran> {
  const [program, ...args] = command;
  return new Promise((resolve) => {
    execFile(program!, args, { timeout: COMMAND_MS, encoding: 'utf8' }, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`.trim();
      if (!error) return resolve({ code: 0, output });
      resolve({ code: typeof error.code === 'number' ? error.code : 1, output: output || error.message });
    });
  });
}

export const systemctl = (scope: Scope, ...args: readonly string[]): readonly string[] => [
  'systemctl',
  ...(scope === 'user' ? ['--user'] : []),
  ...args,
];
