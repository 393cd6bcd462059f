/** Asking the person: only on a terminal, never for what an option could have said. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Secret } from '../base/secret.ts';
import { cliError } from './errors.ts';

/** One line typed or piped in; without a terminal the next line of standard input. @throws cli.needs-terminal at its end */
export async function askLine(question: string): Promise<string> {
  process.stderr.write(question);
  const lines = createInterface({ input: process.stdin, terminal: false });
  try {
    for await (const line of lines) return line;
  } finally {
    lines.close();
    process.stdin.pause();
  }
  throw cliError('cli.needs-terminal', 'nothing was typed in');
}

/** A secret from a file, from standard input (`-`), or typed unseen. Never from an argument: other users can read those. */
export async function readSecret(file: string | undefined, what: string): Promise<Secret> {
  if (file !== undefined) return new Secret(readText(file, what).replace(/\r?\n$/, ''));
  if (!process.stdin.isTTY) {
    throw cliError('cli.needs-terminal', `the ${what} is missing`, {
      hint: `give a file that holds it, or - for standard input`,
    });
  }
  const { password, isCancel } = await import('@clack/prompts');
  const typed = await password({ message: what, output: process.stderr });
  if (isCancel(typed)) throw cliError('cli.usage', 'cancelled', { hint: 'nothing was changed' });
  return new Secret(typed);
}

/** @throws cli.usage */
export function readText(file: string, what: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw cliError(
      'cli.usage',
      `the ${what} file ${file} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`,
      {
        hint: 'check the path and that you may read it',
        cause,
      },
    );
  }
}
