/** What is wrong with the words of a command line before any command looks at them. */
import type { Command } from 'commander';
import { cliError } from './errors.ts';

/** The parser prints the help of the group where a word is no command of it. @throws cli.usage */
export function requireKnown(root: Command, args: readonly string[]): void {
  let command = root;
  let options = root.options;
  for (const [at, word] of args.entries()) {
    if (word === '--' || word === 'help' || command.commands.length === 0) return;
    const isValue = options.some((one) => one.required && at > 0 && [one.short, one.long].includes(args[at - 1]));
    if (isValue || word.startsWith('-')) continue;
    const child = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (!child) throw cliError('cli.usage', `unknown command '${word}'`);
    command = child;
    options = [...options, ...child.options];
  }
}

/**
 * An empty word is a variable that was not set: no name, and no value. Programs call sendmail with `-f ''` and `-F ''`, which mean
 * something. @throws cli.usage
 */
export function requireFilled(command: Command): void {
  if (command.name() === 'sendmail') return;
  const blank = command.args.findIndex((word) => word.trim() === '');
  const argument = command.registeredArguments[Math.min(blank, command.registeredArguments.length - 1)];
  if (blank !== -1) throw emptyWord(`<${argument?.name() ?? 'argument'}>`, command);
  for (let one: Command | null = command; one; one = one.parent)
    for (const option of one.options) {
      const name = option.attributeName();
      const value: unknown = one.getOptionValueSource(name) === 'cli' ? one.getOptionValue(name) : undefined;
      if (typeof value === 'string' && value.trim() === '') throw emptyWord(option.long ?? option.flags, command);
    }
}

function emptyWord(what: string, command: Command): Error {
  const path: string[] = [];
  for (let one: Command | null = command; one; one = one.parent) path.unshift(one.name());
  return cliError('cli.usage', `${what} is empty`, {
    hint: `a variable in the command may not be set; ${path.join(' ')} --help says what belongs there`,
  });
}
