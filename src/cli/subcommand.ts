/** A command of ours: its examples are part of its help, and what it does gets the command's context. */
import { Command } from 'commander';
import type { Instance } from '../server/instance.ts';
import { Context } from './context.ts';

export class Subcommand extends Command {
  constructor(name: string, description: string) {
    super(name);
    this.description(description);
  }

  /** A paragraph below the options. */
  remark(text: string): this {
    return this.addHelpText('after', `\n${text}`);
  }

  /** @param lines as they are typed */
  example(...lines: readonly string[]): this {
    return this.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}\n`).join('')}`);
  }

  addCommands(...commands: readonly Command[]): this {
    for (const command of commands) this.addCommand(command);
    return this;
  }

  /** @param work gets the arguments and, after them, the options: as they were declared here, which its types repeat */
  run(work: (context: Context, ...given: never[]) => void | Promise<void>): this {
    return this.action((...given: unknown[]) => work(new Context(this), ...(given as never[])));
  }

  /** The same with the installation open. */
  runWithInstance(work: (context: Context, instance: Instance, ...given: never[]) => Promise<void>): this {
    return this.run((context, ...given) => context.withInstance((instance) => work(context, instance, ...given)));
  }
}
