/** `postern sandbox fault` and `postern sandbox clock`: a running sandbox, made to fail and moved in time. */
import { InvalidArgumentError, Option } from 'commander';
import type { ActiveFault, Fault } from '../../sandbox/index.ts';
import { table } from '../context.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { count } from '../value.ts';

/** Where the control endpoint of `postern sandbox` listens unless told otherwise. */
const DEFAULT_CONTROL = 'http://127.0.0.1:2481/sandbox';

const control = (): Option =>
  new Option('--control <url>', 'control endpoint of the running sandbox, as it prints it')
    .env('POSTERN_SANDBOX')
    .default(DEFAULT_CONTROL);

export function fault(): Subcommand {
  return new Subcommand('fault', 'make the running sandbox fail on command')
    .example('postern sandbox fault set imap-throttled --times 1')
    .addCommands(list(), set(), clear());
}

interface ControlOptions {
  readonly control: string;
}

function list(): Subcommand {
  return new Subcommand('list', 'every fault there is, and those that are set')
    .addOption(control())
    .option('--set', 'only those that are set now')
    .addOption(
      new Option('--stage <stage>', 'only of this stage').choices([
        'authority',
        'imap',
        'pop3',
        'smtp',
        'graph',
        'network',
      ]),
    )
    .example('postern sandbox fault list --stage smtp')
    .run(async (context, options: ControlOptions & { readonly set?: boolean; readonly stage?: string }) => {
      const { faults } = await import('../../sandbox/index.ts');
      const running = await ask<{ active: readonly ActiveFault[] }>(options.control, 'GET', '/faults').catch(
        (error: unknown) => {
          // The list itself needs no sandbox.
          if (options.set === true) throw error;
          context.say('no sandbox is running at the control endpoint; these are the faults it would have');
          return { active: [] };
        },
      );
      const wanted = faults.filter(
        ({ id, stage }) =>
          (options.stage === undefined || stage === options.stage) &&
          (options.set !== true || running.active.some((each) => each.fault === id)),
      );
      context.result({ faults: wanted, active: running.active }, [
        ...(options.set === true ? [] : table(['FAULT', 'STAGE', 'WHAT'], wanted.map(row))),
        ...(running.active.length === 0 ? [] : ['', 'Set now:', ...running.active.map(line)]),
      ]);
      if (options.set === true && running.active.length === 0) context.say('no fault is set');
    });
}

interface SetOptions extends ControlOptions {
  readonly times?: number;
  readonly protocol?: string;
  readonly mailbox?: string;
  readonly probability?: number;
  readonly value?: number;
}

function set(): Subcommand {
  return new Subcommand('set', 'set a fault; without limits it applies to everybody, every time, until it is cleared')
    .argument('<fault>', 'its name, as in: postern sandbox fault list')
    .addOption(control())
    .option('--times <n>', 'how many times; then it is cleared', count)
    .addOption(new Option('--protocol <name>', 'only there').choices(['authority', 'graph', 'imap', 'pop3', 'smtp']))
    .option('--mailbox <address>', 'only for this mailbox')
    .option('--probability <p>', 'between 0 and 1', fraction)
    .option('--value <n>', 'the number that the fault takes: seconds, milliseconds, octets', count)
    .example('postern sandbox fault set access-token-expired --mailbox alice@contoso.test --times 1')
    .run(async (context, name: string, { control: url, ...limits }: SetOptions) => {
      const { faults } = await import('../../sandbox/index.ts');
      const active = await ask<ActiveFault>(url, 'POST', '/faults', { fault: name, ...limits });
      const known = faults.find(({ id }) => id === active.fault);
      const atOnce = known?.momentary === true;
      context.result(active, [atOnce ? `${name}: ${active.hits} connections` : line(active)]);
      // Some need a host name, a second sign-in or the like to be seen at all.
      if (known) context.say(`it bites at: ${known.bites}; then: ${known.does}`);
    });
}

function clear(): Subcommand {
  return new Subcommand('clear', 'clear one fault, or all of them')
    .argument('[fault]', 'its name, or the key of one order')
    .addOption(control())
    .example('postern sandbox fault clear')
    .run(async (context, name: string | undefined, options: ControlOptions) => {
      const path = name === undefined ? '/faults' : `/faults/${encodeURIComponent(name)}`;
      const done = await ask<{ cleared: number }>(options.control, 'DELETE', path);
      context.result(done, [`cleared: ${done.cleared}`]);
    });
}

export function clock(): Subcommand {
  return new Subcommand('clock', 'the time of the running sandbox, and how to move it')
    .example('postern sandbox clock advance 2h')
    .addCommands(show(), advance());
}

interface Time {
  readonly now: string;
  readonly aheadMs: number;
}

function show(): Subcommand {
  return new Subcommand('show', 'what time it is there')
    .addOption(control())
    .example('postern sandbox clock show')
    .run(async (context, options: ControlOptions) => {
      const now = await ask<Time>(options.control, 'GET', '/clock');
      context.result(now, [now.now]);
    });
}

function advance(): Subcommand {
  return new Subcommand('advance', 'let time pass there in a moment: tokens expire, sessions are cut, secrets run out')
    .argument('<duration>', 'for example 90s, 30m, 2h, 120d')
    .addOption(control())
    .option('--jump', 'all at once, as if the machine had been suspended')
    .example('postern sandbox clock advance 90m')
    .run(async (context, duration: string, options: ControlOptions & { readonly jump?: boolean }) => {
      const order = { advance: duration, jump: options.jump === true };
      const now = await ask<Time>(options.control, 'POST', '/clock', order);
      context.result(now, [now.now]);
    });
}

function fraction(text: string): number {
  const number = /^(?:0?\.\d{1,6}|[01](?:\.0{1,6})?)$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(number)) throw new InvalidArgumentError('give a number between 0 and 1, for example 0.1.');
  return number;
}

const row = ({ id, stage, title, value }: Fault): readonly string[] => [
  id,
  stage,
  value === undefined ? title : `${title} (--value: ${value.means}, ${value.default} unless given)`,
];

function line({ fault: name, key, hits, times, protocol, mailbox, probability, value }: ActiveFault): string {
  const limits = [
    ...(times === undefined ? [] : [times - hits === 1 ? 'once' : `${times - hits} times`]),
    ...(protocol === undefined ? [] : [`at ${protocol}`]),
    ...(mailbox === undefined ? [] : [`for ${mailbox}`]),
    ...(probability === undefined ? [] : [`with probability ${probability}`]),
    ...(value === undefined ? [] : [`value ${value}`]),
  ];
  return `${name}: ${limits.length === 0 ? 'always' : limits.join(', ')} (key ${key})`;
}

/** @throws cli.no-sandbox, cli.sandbox-refused */
async function ask<T>(control: string, method: string, path: string, body?: object): Promise<T> {
  if (!URL.canParse(control)) throw cliError('cli.usage', 'the control endpoint is no URL');
  let response: Response;
  try {
    response = await fetch(`${control.replace(/\/$/, '')}${path}`, {
      method,
      signal: AbortSignal.timeout(30_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
  } catch (cause) {
    throw cliError('cli.no-sandbox', `no sandbox answers at ${control}`, { cause });
  }
  const answer: unknown = await response.json();
  if (response.ok) return answer as T;
  const { error } = answer as { readonly error?: { readonly message?: string; readonly hint?: string } };
  const message = error?.message ?? `the sandbox answered ${response.status}`;
  throw cliError('cli.sandbox-refused', message, error?.hint === undefined ? {} : { hint: error.hint });
}
