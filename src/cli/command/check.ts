/** `postern check`: what works, what does not, and what is wrong first. */
import { shellWord } from '../../base/shell.ts';
import { systemClock } from '../../base/clock.ts';
import { isError, type PosternError } from '../../base/error.ts';
import { AT_A_TIME, inOrder, type Started } from '../../check/in-order.ts';
import type { CheckOptions, CheckReport, Finding, Subject } from '../../check/types.ts';
import type { Config } from '../../server/config.ts';
import type { Instance } from '../../server/instance.ts';
import { installationFacts } from '../../server/installation-facts.ts';
import type { Mailbox } from '../../store/types.ts';
import { asStarted } from '../command-name.ts';
import type { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { onInterrupt } from '../interrupt.ts';
import { exitAsFound, nameOf, overview, tellCheck } from '../report.ts';
import { Subcommand } from '../subcommand.ts';
import { between } from '../value.ts';
import { findOpened } from '../../admin/find.ts';

interface ScopeOptions {
  readonly installation?: boolean;
  readonly details?: boolean;
  readonly fetch?: boolean;
  readonly timeout?: number;
}

export function check(): Subcommand {
  return new Subcommand('check', 'find out what is wrong: with a mailbox, or with this installation and every mailbox')
    .argument('[address]', 'a mailbox; without one the installation and all mailboxes')
    .option('--installation', 'leave the mailboxes out')
    .option('--details', 'every step of every mailbox, not only what is wrong')
    .option('--fetch', 'also fetch the newest message by IMAP; Exchange may send a read receipt for it')
    .option('--timeout <seconds>', 'for one connection (default: 45)', between(1, 600))
    .remark(`No setting is changed and nothing is sent. Of several mailboxes a summary is printed, and what is wrong. Four mailboxes are looked at at a time. A token is asked for again, because only that shows whether the consent holds. If that is refused, mailbox list says at risk until a renewal, which is due at once, or a later check succeeds.
The exit code is 0 when nothing failed (warnings are no failure), otherwise that of the first failure.`)
    .example('postern check alice@example.com', 'postern check', 'postern check --details', 'postern check --json')
    .run(async (context, address: string | undefined, options: ScopeOptions) => {
      if (address !== undefined && options.installation === true)
        throw cliError('cli.usage', '--installation leaves the mailboxes out, and one is named', {
          hint: `give one of them: postern check ${shellWord(address)}, or postern check --installation`,
        });
      using stop = onInterrupt(() => new Error('interrupted'));
      const screen = new Screen(context);
      const run = {
        signal: stop.signal,
        onStart: screen.begin,
        fetch: options.fetch === true,
        ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout * 1000 }),
      };
      if (address !== undefined) {
        await context.withInstance(async (instance) => {
          const report = await mailboxReport(instance, await findOpened(instance, address), run, screen);
          context.result(report, []);
          exitAsFound([report]);
        });
        return;
      }
      await context.withInstanceOrError(async (instance) => {
        const steps = options.details === true || options.installation === true;
        const shown = steps ? screen : new Screen(context, 'titles');
        const runs = { ...run, onStart: shown.begin };
        const reports = await everything(instance, context.config(), options.installation === true, runs, shown);
        const [installation, ...mailboxes] = reports;
        if (!steps) for (const text of overview(reports)) screen.line(text);
        context.result({ format: 1, installation, mailboxes }, []);
        exitAsFound(reports);
      });
    });
}

async function everything(
  instance: Instance | PosternError,
  config: Config,
  alone: boolean,
  run: CheckOptions,
  screen: Screen,
): Promise<readonly CheckReport[]> {
  const { checkInstallation } = await import('../../check/installation.ts');
  const facts = installationFacts(config, process.env);
  const subject: Subject = { type: 'installation', home: config.home.state };
  const reports = [await gather(subject, checkInstallation(instance, facts, systemClock, run), screen)];
  if (isError(instance)) return reports;
  const mailboxes = alone ? [] : await instance.store.mailboxes.list();
  const start = (mailbox: Mailbox): Started<CheckReport> => {
    const own = screen.waiting();
    return { result: mailboxReport(instance, mailbox, { ...run, onStart: own.begin }, own), turn: () => own.speak() };
  };
  for await (const report of inOrder(mailboxes, AT_A_TIME, start)) reports.push(report);
  return reports;
}

async function mailboxReport(
  instance: Instance,
  mailbox: Mailbox,
  run: CheckOptions,
  screen: Screen,
): Promise<CheckReport> {
  // Loaded here and not above: `serve` reads this file too and needs no HTTP client for it.
  const { checkMailbox } = await import('../../check/mailbox.ts');
  const subject: Subject = { type: 'mailbox', address: mailbox.address };
  return gather(subject, checkMailbox(instance, mailbox, run), screen);
}

async function gather(subject: Subject, steps: AsyncIterable<Finding>, screen: Screen): Promise<CheckReport> {
  screen.title(nameOf(subject));
  return tellCheck(subject, steps, (text) => screen.line(text));
}

/** Lines as they come; on a terminal also what is being done. Silent with --json, and where only titles are wanted. */
class Screen {
  readonly #context: Context;
  readonly #silent: boolean;
  readonly #titles: boolean;
  readonly #progress: boolean;
  /** What is said while others speak. */
  #kept: string[] | undefined;

  constructor(context: Context, how: 'steps' | 'waits' | 'titles' = 'steps') {
    this.#kept = how === 'waits' ? [] : undefined;
    this.#titles = how === 'titles';
    this.#context = context;
    this.#silent = context.json || this.#titles;
    this.#progress = !context.json && context.options.quiet !== true && process.stderr.isTTY;
  }

  readonly begin = (title: string): void => {
    if (this.#progress && !this.#titles && this.#kept === undefined) process.stderr.write(`\r\u001b[K  ${title} …`);
  };

  /** Another one for the same place, which keeps its lines until it is told to speak. */
  waiting(): Screen {
    return new Screen(this.#context, this.#titles ? 'titles' : 'waits');
  }

  speak(): void {
    const kept = this.#kept ?? [];
    this.#kept = undefined;
    for (const text of kept) this.line(text);
  }

  /** What the next lines are about. */
  title(text: string): void {
    if (this.#titles && this.#progress) process.stderr.write(`\r\u001b[K  ${text} …`);
    this.line(text);
  }

  line(text: string): void {
    if (this.#silent) return;
    if (this.#kept !== undefined) return void this.#kept.push(text);
    if (this.#progress) process.stderr.write('\r\u001b[K');
    process.stdout.write(`${asStarted(text)}\n`);
  }
}
