/** `postern service status`: what the unit says, what systemd says where it runs, and what the server itself says. */
import { existsSync } from 'node:fs';
import { asError, isError } from '../../base/error.ts';
import { lines } from '../../base/lines.ts';
import { shellWord } from '../../base/shell.ts';
import { readConfig } from '../../server/config.ts';
import { type Home, homeOf } from '../../server/home.ts';
import { installedUnits, type InstalledUnit } from '../../server/systemd/installed.ts';
import type { UnitFacts } from '../../server/systemd/unit.ts';
import type { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { ownCommand } from '../service-plan.ts';
import { Subcommand } from '../subcommand.ts';
import { hasManager, run, systemctl } from '../systemctl.ts';
import { askReadiness } from './ready.ts';

export function status(): Subcommand {
  return new Subcommand('status', 'whether the service is installed, serves this installation, and runs')
    .option('--system', 'of the machine; default: whichever is installed')
    .option('--root <folder>', 'look below this folder')
    .remark(`The exit code is 0 when it runs, 69 when something is wrong with it. Where systemd does not run, as in a container, what counts is whether the
server is up, whatever started it.`)
    .example('postern service status')
    .run(async (context, options: StatusOptions) => {
      const home = homeOf(process.env, context.options.home);
      const units = installedUnits(process.env, options.root).filter(
        ({ scope }) => options.system !== true || scope === 'system',
      );
      const unit = units.find((one) => one.home === home.state) ?? units[0];
      const managed = hasManager(unit?.scope ?? 'system', process.env);
      if (!unit && managed) {
        const up = (await readiness(context)).type === 'ready';
        throw cliError(
          'cli.service',
          `no service of Postern is installed${up ? '; postern serve is up all the same' : ''}`,
          { hint: 'postern service install' },
        );
      }
      const active =
        unit && managed ? (await run(systemctl(unit.scope, 'is-active', 'postern.service'))).output : undefined;
      const server = active === undefined || active === 'active' ? await readiness(context) : undefined;
      const problems = lines(
        ...(unit ? problemsOf(unit, home.state) : []),
        active !== undefined && active !== 'active' && `the service is ${active}`,
        (server?.type === 'not-ready' || (server?.type === 'down' && managed)) && server.says,
        !managed && server?.type === 'down' && `systemd does not run here: ${startWith(unit ?? usual(home))}`,
        !managed &&
          server?.type === 'unknown' &&
          `systemd does not run here, and ${server.says}: nobody can tell whether it is up`,
      );
      context.result(
        {
          scope: unit?.scope ?? null,
          unit: unit?.path ?? null,
          home: unit?.home ?? null,
          user: unit?.user ?? null,
          command: unit?.command ?? null,
          systemd: managed,
          active: active ?? null,
          ready: server?.says ?? null,
          problems,
        },
        [
          ...(unit ? unitLines(unit, home) : ['unit       none']),
          `state      ${lines(active, server?.says).join(', ')}`,
          ...(managed ? [] : ['note       systemd does not run here']),
          ...problems.map((problem) => `wrong      ${problem}`),
        ],
      );
      if (problems.length > 0) process.exitCode = NOT_RUNNING;
      if (active !== undefined && active !== 'active')
        context.say(`its log: ${unit?.scope === 'user' ? 'journalctl --user' : 'journalctl'} -u postern -n 50`);
    });
}

interface StatusOptions {
  readonly system?: true;
  readonly root?: string;
}

/** EX_UNAVAILABLE of sysexits.h. */
const NOT_RUNNING = 69;

function unitLines(unit: InstalledUnit, home: Home): readonly string[] {
  return lines(
    `unit       ${unit.path} (${unit.scope})`,
    `home       ${unit.home ?? 'not said'}${unit.home === home.state ? ', this installation' : ''}`,
    unit.user !== undefined && `runs as    ${unit.user}`,
    `command    ${unit.command.map(shellWord).join(' ')}`,
  );
}

function problemsOf(unit: InstalledUnit, home: string): readonly string[] {
  const missing = unit.command.find((part) => part.startsWith('/') && !existsSync(part));
  return lines(
    unit.home !== home &&
      `it serves ${unit.home ?? 'another installation'}, not ${home}: postern service install${unit.scope === 'system' ? ' --system' : ''} --replace`,
    missing !== undefined &&
      `${missing} is not there any more (was Node or Postern moved?): postern service install again`,
  );
}

type Started = Pick<UnitFacts, 'command' | 'environment' | 'home' | 'config'>;

/** What starts this installation where no unit does. */
const usual = ({ state, config }: Home): Started => ({
  command: [...ownCommand(), 'serve'],
  environment: {},
  home: state,
  config,
});

/** A command with its environment as a shell takes it: whatever starts programs on a machine without systemd knows neither. */
export function startLine({ command, environment, home, config }: Started): string {
  const known = { ...environment, ...(home && { POSTERN_HOME: home }), ...(config && { POSTERN_CONFIG: config }) };
  const variables = Object.entries(known).map(([name, value]) => `${name}=${value}`);
  return ['env', ...variables, ...command].map(shellWord).join(' ');
}

const startWith = (started: Started): string =>
  `have whatever starts programs on this machine run \`${startLine(started)}\``;

/** `unknown`: it cannot be asked. */
interface Readiness {
  readonly type: 'ready' | 'not-ready' | 'down' | 'unknown';
  readonly says: string;
}

/** What `/readyz` says. */
async function readiness(context: Context): Promise<Readiness> {
  const config = readConfig(homeOf(process.env, context.options.home), process.env);
  const { console } = config;
  if (console.port === 0) return { type: 'unknown', says: 'its console has no fixed port to ask' };
  const answer = await askReadiness(config).catch(asError);
  if (isError(answer)) {
    const says = 'answeredBy' in answer.detail ? answer.message : `nothing answers at ${console.host}:${console.port}`;
    return { type: 'down', says };
  }
  if (answer.status === 200) return { type: 'ready', says: 'ready' };
  return { type: 'not-ready', says: `not ready: ${answer.reasons.join('; ') || answer.status}` };
}
