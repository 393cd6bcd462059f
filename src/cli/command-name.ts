/** How this very copy of the command is called, and for which installation: lines that it prints are meant to be pasted. */
import { resolve } from 'node:path';
import { shellWord } from '../base/shell.ts';
import type { Home } from '../server/home.ts';

/** What started it from a checkout says how: its path, or `postern` where that is found on the PATH. */
const STARTED_AS = process.env['POSTERN_STARTED_AS'];
export const COMMAND =
  STARTED_AS === undefined || STARTED_AS === ''
    ? 'postern'
    : STARTED_AS === 'postern'
      ? STARTED_AS
      : shellWord(STARTED_AS);

export interface Form {
  readonly command: string;
  /** Folder of the installation, where a command line without it would mean another one. */
  readonly home?: string | undefined;
}

/** A process is one command on one installation. */
let form: Form = { command: COMMAND };

/**
 * From here on printed command lines name this installation. @param home of `--home`, as it was typed; a variable is still set where the
 * line is pasted, and needs no naming
 */
export function nameHome(home: string | undefined): void {
  form = { command: COMMAND, home: home === undefined || home === '' ? undefined : resolve(home) };
}

/** The name at the beginning of a command line, also after `sudo -u USER env …`, where something of ours follows. No path, and no user `postern`. */
const NAME = /(?<![\w./@-]|-u |-o )postern(?= (?:--[a-z]|[a-z][a-z-]+))/g;
/** What may follow it; anything else is a sentence about Postern. */
const FOLLOWS =
  /^postern (?:--|(?:init|serve|ready|service|discover|register|import|application|mailbox|password|client-config|outbox|suppression|sendmail|apikey|webhook|token|check|explain|update-data|support-bundle|events|notice|audit|compact|sandbox|completion|help)\b)/;
/** These have no installation: the sandbox’s has one only when it is started, and then nobody prints the line. */
const ANYWHERE = /^postern (?:--(?:version|help)|sandbox|completion|help)\b/;
/** What ends one command line in a text. */
const END = /[;,`\n]/;
/** The installation is named in the command, or before it, as for another user. */
const NAMED_WITHIN = /^[^;,`\n]* --home\b/;
/** Octets on each side of the name in which that is looked for: more than a command line with two paths has. */
const NEAR = 1024;

/**
 * Text for people with its command lines in the form that works where this was started from, on the installation that it is about. The one
 * place that names a home: what commands print and what the log has comes through here. What goes over the wire does not, because its
 * reader may be on another machine (docs/configuration.md).
 */
export function asStarted(text: string, { command, home }: Form = form): string {
  if (command === 'postern' && home === undefined) return text;
  return text.replace(NAME, (name, at: number) => {
    const follows = text.slice(at, at + NEAR);
    if (!FOLLOWS.test(follows)) return name;
    if (home === undefined || ANYWHERE.test(follows) || NAMED_WITHIN.test(follows)) return command;
    if (namedBefore(text.slice(Math.max(0, at - NEAR), at))) return command;
    return `${command} --home ${shellWord(home)}`;
  });
}

function namedBefore(text: string): boolean {
  const at = text.lastIndexOf('POSTERN_HOME=');
  return at !== -1 && !END.test(text.slice(at));
}

/** The same for whoever reads the log of a server: in another shell, where no variable names the installation. */
export function ofInstallation({ home }: { readonly home: Home }): (text: string) => string {
  const named = { command: COMMAND, home: home.namedBy === undefined ? undefined : home.state };
  return (text) => asStarted(text, named);
}

/** Where JSON has command lines or sentences with some; everything else in it is data and stays as it is. */
const SAYS: ReadonlySet<string> = new Set([
  'hint',
  'remedy',
  'run',
  'do',
  'next',
  'note',
  'notes',
  'commands',
  'passesWhen',
  'problems',
]);

/** {@link asStarted} for what a program reads: in the texts that are for people, and nowhere else. */
export function jsonAsStarted(value: unknown): unknown {
  return form.command === 'postern' && form.home === undefined ? value : spoken(value, false);
}

function spoken(value: unknown, says: boolean): unknown {
  if (typeof value === 'string') return says ? asStarted(value) : value;
  if (Array.isArray(value)) return value.map((one) => spoken(one, says));
  if (typeof value !== 'object' || value === null) return value;
  // Whatever makes JSON of itself does so first.
  if ('toJSON' in value && typeof value.toJSON === 'function') return spoken(value.toJSON(), says);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, spoken(one, SAYS.has(key))]));
}
