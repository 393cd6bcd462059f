/** Words of the command line that were renamed: the old ones are understood for one release, and the new ones are told. */

/** What is registered at a provider is an application there too. */
const COMMANDS: ReadonlyMap<string, string> = new Map([['provider', 'application']]);
const OPTIONS: ReadonlyMap<string, string> = new Map([['--provider', '--application']]);
/** Options before the command that take a word of their own. */
const WITH_VALUE: ReadonlySet<string> = new Set(['--home']);

/** The folder of `--home`, wherever it stands before `--`: known before the command line is read, for what is wrong with it. */
export function homeOption(args: readonly string[]): string | undefined {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  const at = own.findLastIndex((word) => word === '--home' || word.startsWith('--home='));
  if (at === -1) return undefined;
  return own[at] === '--home' ? own[at + 1] : own[at]!.slice('--home='.length);
}

export interface Renamed {
  readonly args: readonly string[];
  /** What to say of each old word, once. */
  readonly notes: readonly string[];
}

/** @param args what follows the command's name; a program's arguments after `sendmail` and words after `--` are its own */
export function renamed(args: readonly string[]): Renamed {
  const notes = new Set<string>();
  const instead = (old: string, now: string | undefined): string => {
    if (now === undefined) return old;
    notes.add(`${old} is called ${now} now; the old word is understood until the next release`);
    return now;
  };
  const command = args.findIndex((word, at) => !word.startsWith('-') && !WITH_VALUE.has(args[at - 1] ?? ''));
  if (args[command] === 'sendmail') return { args, notes: [] };
  const end = args.indexOf('--');
  const changed = args.map((word, at) => {
    if (end !== -1 && at >= end) return word;
    const helped = args[command] === 'help' && at === command + 1;
    if (at === command || helped) return instead(word, COMMANDS.get(word));
    const [name = '', ...value] = word.split('=');
    return [instead(name, OPTIONS.get(name)), ...value].join('=');
  });
  return { args: changed, notes: [...notes] };
}
