/** What the command was started as: `postern`, or a link called sendmail, mailq or newaliases. */
import { basename } from 'node:path';

const NAMES: Readonly<Record<string, readonly string[]>> = {
  sendmail: ['sendmail'],
  mailq: ['sendmail', '-bp'],
  newaliases: ['sendmail', '-bi'],
};
/** What waits: what mailq shows. */
const WAITING = ['outbox', 'list', '--state', 'queued'];

/**
 * The arguments as the commands know them. @param argv of the process: its second is the name it was started by, which no link was
 * resolved in; undefined when there is nothing to do
 */
export function commandLine(argv: readonly string[]): readonly string[] | undefined {
  const [node = '', script = '', ...given] = argv;
  const before = NAMES[basename(script)] ?? [];
  const args = [...before, ...given];
  // The parser's own `help` knows the first word alone, and takes an unknown one for none.
  const at = args.findIndex((word, n) => !word.startsWith('-') && args[n - 1] !== '--home');
  if (args[at] === 'help' && args.slice(at + 1).some((word) => !word.startsWith('-')))
    return [node, script, ...args.toSpliced(at, 1), '--help'];
  if (args[0] !== 'sendmail') return [node, script, ...args];
  const flags = classicFlags(args.slice(1));
  // The outbox delivers by itself: that is done as soon as it is asked for.
  if (flags.mode === 'i') return [node, script, 'sendmail', '-b', 'i'];
  if (flags.runsQueue && flags.kept.length === 0) return undefined;
  if (flags.mode === 'p') return [node, script, ...WAITING, ...flags.kept.filter((word) => word === '--json')];
  return [node, script, 'sendmail', ...flags.kept];
}

/** Flags that sendmail writes in ways no other command does: `-q30m`, `-V envid`, `-bp`, `-I`. */
function classicFlags(args: readonly string[]): {
  readonly kept: readonly string[];
  readonly mode: string | undefined;
  readonly runsQueue: boolean;
} {
  const kept: string[] = [];
  let mode: string | undefined;
  let runsQueue = false;
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    if (word === '--') {
      kept.push(...args.slice(at));
      break;
    }
    if (WITH_VALUE.has(word) && at + 1 < args.length) kept.push(word, args[++at]!);
    else if (word === '-V' && at + 1 < args.length) kept.push('--envelope-id', args[++at]!);
    else if (/^-V./.test(word)) kept.push('--envelope-id', word.slice(2));
    else if (IGNORED.test(word)) continue;
    else if (IGNORED_WITH_VALUE.get(word)?.test(args[at + 1] ?? '') === true) at++;
    else if (word === '-I' || word === '-bi') mode = 'i';
    else if (word === '-bp') mode = 'p';
    else if (word.startsWith('-q')) runsQueue = true;
    else kept.push(word);
  }
  return { kept, mode, runsQueue };
}

/** Hop count, log and configuration file, debugging, submission mode, protocol, error mode: of no meaning here. */
const IGNORED = /^-(?:h\d+|X.+|C.+|d[\d.,-]*|A[cm]|p[A-Za-z].*|e[mpqwe])$/;
const IGNORED_WITH_VALUE: ReadonlyMap<string, RegExp> = new Map([
  ['-h', /^\d+$/],
  ['-X', /./],
  ['-C', /./],
  ['-p', /^[A-Za-z]/],
  ['-e', /^[mpqwe]$/],
]);
/** Whose value, a word of its own, is nobody’s flag. */
const WITH_VALUE = new Set(
  '-f -r -F -N -R -B -O -L --sender --full-name --mailbox --notify --return --envelope-id --home'.split(' '),
);
