/** The `postern` command: results on standard output, talk on standard error, sysexits codes, a next step in every error. */
import { exitCodeOf } from './exit-code.ts';
import { printableJson, printableLines } from '../base/printable.ts';
import { CommanderError } from 'commander';
import { asError, type PosternError } from '../base/error.ts';
import { scrub } from '../base/secret.ts';
import { accessRefused, isAccessRefused } from '../server/ownership.ts';
import { jsonAsStarted, nameHome } from './command-name.ts';
import { requireFilled, requireKnown } from './command-words.ts';
import { endTalk, shownLine } from './context.ts';
import { releaseSignals } from './early-signals.ts';
import { cliError, ofAct } from './errors.ts';
import { program } from './program.ts';
import { homeOption, renamed } from './renamed.ts';
import { commandLine } from './started-as.ts';

/** Runs one command to its end and sets the exit code. Never rejects. */
export async function run(argv: readonly string[]): Promise<void> {
  const json = argv.includes('--json');
  process.on('uncaughtException', (error) => crash(error, json));
  process.on('unhandledRejection', (error) => crash(error, json));
  // `postern audit show | head` closes the pipe early, and that is fine.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 74));
  // Talk that nobody can read is no reason to leave the work undone.
  process.stderr.on('error', () => undefined);
  // Our timers hold no process up, and a command that waits for a person may have nothing else.
  const underWay = setInterval(() => {}, HOUR_MS);
  try {
    const line = commandLine(argv);
    const { args, notes } = renamed(line?.slice(2) ?? []);
    // Next steps repeat the command as it can be typed: a link's name is in no argument.
    if (line) process.argv.splice(2, Infinity, ...args);
    nameHome(homeOption(args));
    const root = program();
    root.hook('preAction', (_root, action) => {
      requireFilled(action);
      // `serve` takes them itself.
      if (action.name() !== 'serve') releaseSignals();
    });
    if (!args.some((word) => ['--json', '--quiet', '-q'].includes(word)))
      for (const note of notes) process.stderr.write(`postern: ${note}\n`);
    if (args.includes('--help')) requireKnown(root, args);
    if (line) await root.parseAsync(args, { from: 'user' });
    endTalk(true);
  } catch (error) {
    endTalk(false);
    if (error instanceof CommanderError) {
      // Help and version are no errors, and help shown for want of a command has said it all.
      if (error.exitCode === 0) return;
      const shown = error.code === 'commander.help' && !json;
      if (shown) process.exitCode = 64;
      else report(usageError(error), json);
      return;
    }
    // Whatever the operating system refuses is a matter of whose file it is, not a defect.
    const refused = [error, (error as Error | undefined)?.cause].find(isAccessRefused);
    report(refused ? accessRefused(refused.path, refused) : ofAct(asError(error)), json);
  } finally {
    clearInterval(underWay);
  }
}

const HOUR_MS = 3_600_000;

/** commander's complaint in our voice. */
function usageError({ code, message }: CommanderError): PosternError {
  if (code === 'commander.help') return cliError('cli.usage', 'no command was given');
  const plain = message
    .replace(/^error: /, '')
    .replace(/\n/g, ' ')
    .replace(/\.$/, '');
  return cliError('cli.usage', plain);
}

/** With --json the error is one object on standard error too: standard output holds results only. */
function report(error: PosternError, json: boolean): void {
  process.exitCode = exitCodeOf(error);
  if (json) {
    process.stderr.write(`${printableJson(scrub(JSON.stringify({ error: jsonAsStarted(error.toJSON()) })))}\n`);
    return;
  }
  process.stderr.write(`postern: ${shownLine(scrub(error.message))}\n`);
  if (error.hint !== '') process.stderr.write(`postern: next: ${shownLine(scrub(error.hint))}\n`);
  if (error.retryAt)
    process.stderr.write(`postern: this passes by itself; try again after ${error.retryAt.toISOString()}\n`);
  if (error.kind === 'bug' && error.cause instanceof Error)
    process.stderr.write(`${printableLines(scrub(error.cause.stack ?? ''))}\n`);
}

function crash(error: unknown, json: boolean): never {
  report(asError(error), json);
  process.exit(70);
}
