/** What every command gets: where the home is, how to speak, and how to open the installation. */
import { printable, printableJson } from '../base/printable.ts';
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { z } from 'zod';
import type { Validity } from '../access/validity.ts';
import { type Act, perform } from '../admin/act.ts';
import { asError, isError, type PosternError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { type Config, readConfig } from '../server/config.ts';
import { homeOf } from '../server/home.ts';
import { type Instance, openInstance } from '../server/instance.ts';
import { openLog, type ServerLog } from '../server/log.ts';
import { asStarted, jsonAsStarted, ofInstallation } from './command-name.ts';
import { withIsoTimes } from './iso-times.ts';

export interface GlobalOptions {
  readonly home?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Talk of a command with --json. */
const held: string[] = [];

/** After success what was held back is said; after a failure the error stands alone on standard error. */
export function endTalk(succeeded: boolean): void {
  const lines = held.splice(0);
  if (succeeded) for (const line of lines) process.stderr.write(`postern: ${shownLine(line)}\n`);
}

export class Context {
  readonly options: GlobalOptions;

  constructor(command: Command) {
    this.options = command.optsWithGlobals();
  }

  get json(): boolean {
    return this.options.json === true;
  }

  /** @throws server.config */
  config(): Config {
    return readConfig(homeOf(process.env, this.options.home), process.env);
  }

  /** Results: standard output, as one JSON value with --json, its moments as ISO 8601, otherwise as lines, each of which stays one. */
  result(value: unknown, lines: readonly string[]): void {
    if (this.json)
      process.stdout.write(
        `${printableJson(JSON.stringify(jsonAsStarted(withIsoTimes(value)), null, process.stdout.isTTY ? 2 : undefined))}\n`,
      );
    else if (lines.length > 0) process.stdout.write(`${lines.map(shownLine).join('\n')}\n`);
  }

  /** A list: what `facts` makes of each row with --json, otherwise a column for each heading, or a sentence when it is empty. */
  list<R>(
    rows: readonly R[],
    facts: (row: R) => unknown,
    columns: Readonly<Record<string, (row: R) => string>>,
    none: string,
  ): void {
    const cells = rows.map((row) => Object.values(columns).map((cell) => cell(row)));
    this.result(rows.map(facts), rows.length === 0 ? [] : table(Object.keys(columns), cells));
    if (rows.length === 0) this.say(none);
  }

  /** Talk: standard error, none with --quiet. With --json it is held back until the command has done its work ({@link endTalk}). */
  say(line: string): void {
    if (this.options.quiet === true) return;
    if (this.json) held.push(line);
    else this.ask(line);
  }

  /** What a person has to do now for the command to go on: said at once, whatever the options. */
  ask(line: string): void {
    process.stderr.write(`postern: ${shownLine(line)}\n`);
  }

  /** Opens the installation for one piece of work and closes it whatever happens. */
  async withInstance<T>(work: (instance: Instance) => Promise<T>): Promise<T> {
    const config = this.config();
    const instance = await openInstance({ config, log: this.commandLog(config), existing: true });
    try {
      return await work(instance);
    } finally {
      await instance.close();
    }
  }

  /** Performs an act as the system user who typed the command. @throws as {@link perform} */
  perform<I extends z.ZodType, O>(instance: Instance, act: Act<Instance, I, O>, input: z.input<I>): Promise<O> {
    return perform(act, instance, { type: 'system-user', name: userName() }, input);
  }

  /** Opens the installation for one act. @throws as {@link withInstance} and {@link perform} */
  act<I extends z.ZodType, O>(act: Act<Instance, I, O>, input: z.input<I>): Promise<O> {
    return this.withInstance((instance) => this.perform(instance, act, input));
  }

  /**
   * As {@link withInstance}, for commands that have something to say of an installation that does not open, too.
   * @throws server.not-initialised where there is nothing at all
   */
  async withInstanceOrError<T>(work: (instance: Instance | PosternError) => Promise<T>): Promise<T> {
    const config = this.config();
    const instance = await openInstance({ config, log: this.commandLog(config), existing: true }).catch(asError);
    if (isError(instance, 'server.not-initialised')) throw instance;
    if (isError(instance)) return work(instance);
    try {
      return await work(instance);
    } finally {
      await instance.close();
    }
  }

  /** A command speaks for itself: only warnings of the rooms below are worth a line. */
  commandLog(config: Config): Log {
    const level = config.log.level === 'debug' ? 'debug' : 'error';
    return openLog({ ...config.log, level }, undefined, asStarted);
  }

  serverLog(config: Config): ServerLog {
    return openLog(config.log, undefined, ofInstallation(config));
  }
}

/**
 * One line of ours as it is shown. What it holds of others, such as the reason of an API key, makes no lines of its own: those would look
 * like ours. Whoever has several lines gives each.
 */
export function shownLine(line: string): string {
  return asStarted(printable(line));
}

/** A container may run as a number that nobody has a name for. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.() ?? ''}`.trim();
  }
}

/** Rows as aligned columns under a heading. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const all = [heading, ...rows].map((row) => row.map(printable));
  const widths = heading.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

/** Of an app password or a key. */
export function validityText({
  state,
  expiresAt,
}: {
  readonly state: Validity;
  readonly expiresAt: number | undefined;
}): string {
  return state === 'valid' && expiresAt !== undefined ? `until ${when(expiresAt)}` : state;
}

/** A moment as people read it: UTC to the minute. */
export function when(at: number | undefined, never = 'never'): string {
  return at === undefined ? never : new Date(at).toISOString().slice(0, 16).replace('T', ' ');
}
