/** `postern service`: this installation as a service of systemd. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../../base/folder.ts';
import { homeOf } from '../../server/home.ts';
import { shellWord } from '../../base/shell.ts';
import { readUnit, unitPath } from '../../server/systemd/installed.ts';
import { parseUnit } from '../../server/systemd/unit.ts';
import type { Context } from '../context.ts';
import { openDialogue } from '../dialogue.ts';
import { cliError } from '../errors.ts';
import { ownCommand, planService, type ServicePlan } from '../service-plan.ts';
import { hasManager, run, type Scope, systemctl } from '../systemctl.ts';
import { Subcommand } from '../subcommand.ts';
import { startLine, status } from './service-status.ts';

export function service(): Subcommand {
  return new Subcommand('service', 'this installation as a service of systemd: install, status, uninstall')
    .example(
      'postern service install              for you, without root',
      'postern service install --system     for the machine, running as the owner of the installation',
    )
    .addCommands(install(), status(), uninstall());
}

interface ServiceOptions {
  readonly system?: true;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly replace?: true;
  readonly root?: string;
  readonly credential?: string;
}

const ROOT = 'write below this folder, as when a system image is built; nothing is started';

function install(): Subcommand {
  return new Subcommand('install', 'run this installation as a service: what is here now is what it serves')
    .option('--system', 'of the machine (needs root); default: of you, without root')
    .option('--dry-run', 'only say what would be done')
    .option('-y, --yes', 'do it without asking')
    .option('--replace', 'where a service of another installation is there, have it serve this one')
    .option('--credential <name:file>', 'with key.source credential: the file of the master key')
    .option('--root <folder>', ROOT)
    .remark(`Nothing is moved or copied: the service uses this configuration, database and key, and runs as the owner of the installation, so
the commands you type go on working on the same mailboxes. Installing again brings the unit up to date and changes nothing else.`)
    .example('postern service install --dry-run', 'postern service install --system --yes')
    .run(async (context, options: ServiceOptions) => {
      const plan = await context.withInstance((instance) =>
        planService(instance, { ...options, scope: scopeOf(options), env: process.env }),
      );
      const unchanged = plan.before?.text === plan.text;
      for (const line of planLines(plan, unchanged)) context.say(line);
      if (!plan.managed && options.root === undefined)
        context.say(`systemd does not run here, so nothing ${options.dryRun ? 'would be' : 'is'} started`);
      if (options.dryRun) {
        context.result({ ...facts(plan), unchanged, done: false }, plan.text.trimEnd().split('\n'));
        return;
      }
      requireRoot(context, options, plan.scope, 'install');
      await agree(context, options, 'Do this?');
      if (!unchanged) {
        makeFolder(dirname(plan.path), 0o755);
        writeFileSync(plan.path, plan.text, { mode: 0o644 });
        context.say(`wrote ${plan.path}`);
      }
      const done = await carryOut(context, plan.commands);
      context.result({ ...facts(plan), unchanged, done: true, commands: done }, [
        `${unchanged ? 'unchanged' : 'installed'}: ${plan.path}`,
      ]);
      if (!plan.managed && options.root === undefined) {
        context.say(`by hand: ${startLine(parseUnit(plan.text))}`);
      }
      context.say(`next: postern service status${plan.scope === 'system' ? ' --system' : ''}`);
    });
}

function uninstall(): Subcommand {
  return new Subcommand('uninstall', 'stop the service and remove it; the installation stays as it is')
    .option('--system', 'of the machine (needs root); default: of you')
    .option('--dry-run', 'only say what would be done')
    .option('-y, --yes', 'do it without asking')
    .option('--root <folder>', ROOT)
    .example('postern service uninstall --yes')
    .run(async (context, options: ServiceOptions) => {
      const scope = scopeOf(options);
      const path = unitPath(scope, process.env, options.root);
      const unit = readUnit(scope, path);
      if (!unit) {
        context.result({ scope, unit: path, removed: false }, [`there is no ${path}`]);
        return;
      }
      const managed = options.root === undefined && hasManager(scope, process.env);
      const commands = managed ? [systemctl(scope, 'disable', '--now', 'postern.service')] : [];
      for (const line of [...commands.map((one) => one.join(' ')), `remove ${path}`]) context.say(`will: ${line}`);
      context.say(`stays: ${unit.home ?? 'the installation'}, with its mailboxes, app passwords and key`);
      if (options.dryRun) {
        context.result({ scope, unit: path, removed: false }, []);
        return;
      }
      requireRoot(context, options, scope, 'uninstall');
      await agree(context, options, 'Stop the service and remove it?');
      await carryOut(context, commands);
      rmSync(path);
      if (managed) await carryOut(context, [systemctl(scope, 'daemon-reload')]);
      context.result({ scope, unit: path, removed: true }, [`removed ${path}`]);
    });
}

const scopeOf = ({ system }: ServiceOptions): Scope => (system === true ? 'system' : 'user');

function planLines(plan: ServicePlan, unchanged: boolean): readonly string[] {
  const { providers, mailboxes, appPasswords, key, database } = plan.takesAlong;
  const named = mailboxes.length <= FEW ? ` (${mailboxes.join(', ')})` : '';
  return [
    `this installation: ${plan.home}, of ${plan.user}`,
    `  configuration ${plan.config}${existsSync(plan.config) ? '' : ' (not there: defaults)'}`,
    `  database ${database}: ${count(providers, 'provider')}, ${count(mailboxes.length, 'mailbox', 'mailboxes')}${mailboxes.length > 0 ? named : ''}, ${count(appPasswords, 'app password')}`,
    `  master key ${key}`,
    unchanged ? `${plan.path} is up to date` : `will ${plan.before ? 'rewrite' : 'write'} ${plan.path}`,
    ...plan.commands.map((command) => `will run ${command.join(' ')}`),
    ...plan.warnings.map((warning) => `careful: ${warning}`),
  ];
}

const FEW = 5;
const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`;

function facts(plan: ServicePlan): Record<string, unknown> {
  const { scope, path, user, home, config, takesAlong, text, warnings, managed } = plan;
  return { scope, unit: path, user, home, config, takesAlong, systemd: managed, warnings, text };
}

/** @throws cli.needs-terminal, cli.usage */
async function agree(context: Context, { yes }: ServiceOptions, question: string): Promise<void> {
  if (yes === true) return;
  const terminal = process.stdin.isTTY && process.stderr.isTTY && !context.json;
  if (!terminal)
    throw cliError('cli.needs-terminal', 'nothing was done: nobody agreed to it', {
      hint: 'add --yes, or --dry-run to only look',
    });
  const answer = await openDialogue(true).choose(
    { question, explanation: 'The lines above say what is done.', option: '--yes' },
    [
      { value: 'yes', label: 'yes' },
      { value: 'no', label: 'no' },
    ],
    'yes',
  );
  if (answer === 'no') throw cliError('cli.usage', 'stopped', { hint: 'nothing was changed' });
}

/** @throws cli.service, with the whole command as root types it: sudo forgets the variables and the path */
function requireRoot(context: Context, { root }: ServiceOptions, scope: Scope, verb: 'install' | 'uninstall'): void {
  if (scope !== 'system' || root !== undefined || process.geteuid?.() === 0) return;
  const { state, config } = homeOf(process.env, context.options.home);
  const variables = [`POSTERN_HOME=${state}`, `POSTERN_CONFIG=${config}`];
  const words = ['sudo', 'env', ...variables, ...ownCommand(), 'service', verb, '--system', '--yes'];
  throw cliError('cli.service', 'a service of the machine needs root', { hint: words.map(shellWord).join(' ') });
}

async function carryOut(
  context: Context,
  commands: ServicePlan['commands'],
): Promise<readonly { readonly command: string; readonly ok: boolean }[]> {
  const done: { command: string; ok: boolean }[] = [];
  for (const command of commands) {
    const text = command.join(' ');
    context.say(`running ${text}`);
    // One after the other: each needs what the one before did.
    const { code, output } = await run(command);
    done.push({ command: text, ok: code === 0 });
    if (code === 0) continue;
    if (command[0] === 'loginctl') {
      context.say(`${text} failed (${output}): until it works, the service ends when you log out`);
      continue;
    }
    throw cliError('cli.service', `${text} failed: ${output}`, {
      hint: 'journalctl -u postern -n 50 says why it does not start (with --user for a user service)',
    });
  }
  return done;
}
