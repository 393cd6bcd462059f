/** What `postern service install` is about to do: the unit of this very installation, and what it takes along. */
import { lines } from '../base/lines.ts';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Config } from '../server/config.ts';
import { databaseFile } from '../server/installation-mark.ts';
import type { Instance } from '../server/instance.ts';
import { ownerOf } from '../server/ownership.ts';
import { type InstalledUnit, installedUnits, readUnit, unitPath } from '../server/systemd/installed.ts';
import { unitText } from '../server/systemd/unit.ts';
import { cliError } from './errors.ts';
import { hasManager, type Scope, systemctl } from './systemctl.ts';

export interface ServicePlan {
  readonly scope: Scope;
  readonly path: string;
  readonly text: string;
  /** What is at `path` now. */
  readonly before: InstalledUnit | undefined;
  readonly user: string;
  readonly home: string;
  readonly config: string;
  readonly takesAlong: {
    readonly providers: number;
    readonly mailboxes: readonly string[];
    readonly appPasswords: number;
    readonly key: string;
    readonly database: string;
  };
  /** Commands for systemd; empty where it does not run. */
  readonly commands: readonly (readonly string[])[];
  readonly managed: boolean;
  readonly warnings: readonly string[];
}

export interface PlanOptions {
  readonly scope: Scope;
  readonly root?: string;
  readonly replace?: boolean;
  readonly credential?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Settings from the environment that belong to the installation: without them the service would be another one. */
const TAKEN = [
  'POSTERN_HOSTNAME',
  'POSTERN_WORKERS',
  'POSTERN_LOG_LEVEL',
  'POSTERN_LOG_FORMAT',
  'POSTERN_DATABASE_URL_FILE',
  'POSTERN_MASTER_KEY_FILE',
  'POSTERN_PASSPHRASE_FILE',
];
const PROXY = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'NO_PROXY', 'no_proxy', 'NODE_EXTRA_CA_CERTS'];
/** Any local user can read the environment of a unit. */
const SECRET = ['POSTERN_DATABASE_URL', 'POSTERN_MASTER_KEY', 'POSTERN_PASSPHRASE'];
/** Besides limits.drainMs: closing the database, audit and sessions at the provider. */
const STOP_SECONDS = 15;

/** @throws cli.service, store.* */
export async function planService(instance: Instance, options: PlanOptions): Promise<ServicePlan> {
  const { config, store } = instance;
  const { scope, root = '', env } = options;
  const user = ownerOf(config.home.state);
  if (scope === 'user' && root === '' && user !== ownerOf('/proc/self'))
    throw cliError('cli.service', `the installation in ${config.home.state} belongs to ${user}`, {
      hint: `install its user service as ${user}, or one of the machine: postern service install --system`,
    });
  const path = unitPath(scope, env, root);
  const before = readUnit(scope, path);
  checkPlace(config, before, options);
  const [applications, mailboxes, passwords] = await Promise.all([
    store.applications.list(),
    store.mailboxes.list(),
    store.appPasswords.list(),
  ]);
  const now = instance.clock.now();
  const usable = passwords.filter(
    ({ revokedAt, expiresAt }) => revokedAt === undefined && (expiresAt === undefined || expiresAt > now),
  );
  const managed = root === '' && hasManager(scope, env);
  return {
    scope,
    path,
    text: unitText({
      scope,
      user: scope === 'system' ? user : undefined,
      command: [...ownCommand(), 'serve'],
      environment: environmentOf(config, env),
      writes: writesOf(config),
      documentation: documentationHere(),
      credential: credentialOf(config, options.credential),
      stopSeconds: Math.ceil((config.limits.drainMs ?? 30_000) / 1000) + STOP_SECONDS,
    }),
    before,
    user,
    home: config.home.state,
    config: config.home.config,
    takesAlong: {
      providers: applications.length,
      mailboxes: mailboxes.map(({ address }) => address),
      appPasswords: usable.length,
      key: config.key.source === 'file' ? config.key.path : `from the ${config.key.source}`,
      database: databaseFile(config) ?? 'PostgreSQL',
    },
    commands: managed ? commandsOf(scope, user) : [],
    managed,
    warnings: warningsOf(config, scope, user, mailboxes.length),
  };
}

/** @throws cli.service when another installation's service is there, or one for this installation elsewhere */
function checkPlace(
  config: Config,
  before: InstalledUnit | undefined,
  { scope, root, replace, env }: PlanOptions,
): void {
  const home = config.home.state;
  if (before && before.home !== home && replace !== true)
    throw cliError(
      'cli.service',
      `${before.path} serves another installation: ${before.home ?? 'of an unknown folder'}`,
      {
        hint: 'to have it serve this one instead, add --replace; the other installation stays where it is',
      },
    );
  const double = installedUnits(env, root).find((unit) => unit.scope !== scope && unit.home === home);
  if (double)
    throw cliError('cli.service', `${double.path} serves this installation already`, {
      hint: `one service at a time: postern service uninstall${double.scope === 'system' ? ' --system' : ''}, then install again`,
    });
}

/** How this command was started, so that the service starts the same: Node, its options, our file. */
export function ownCommand(): readonly string[] {
  return [process.execPath, ...process.execArgv, realpathSync(process.argv[1]!)];
}

function environmentOf(config: Config, env: PlanOptions['env']): Record<string, string> {
  const found = (names: readonly string[]): readonly (readonly [string, string])[] =>
    names.flatMap((name) => {
      const value = env[name];
      return value === undefined || value === '' ? [] : [[name, value] as const];
    });
  const [secret] = found(SECRET);
  if (secret) {
    const [name] = secret;
    throw cliError('cli.service', `${name} is set in this shell only, and a unit is no place for a secret`, {
      hint: `write it to a file that only the owner reads and set ${name}_FILE to its path, then install again`,
    });
  }
  const unclear = [...found(TAKEN), ...found(PROXY)].find(([, value]) => /[\x00-\x1f\x7f]/.test(value));
  if (unclear)
    throw cliError('cli.service', `${unclear[0]} holds a control character, which would end its line in the unit`, {
      hint: `correct or unset ${unclear[0]}, then install again`,
    });
  const withPassword = found(PROXY).find(([, value]) => /\/\/[^/@]+@/.test(value));
  if (withPassword)
    throw cliError('cli.service', `${withPassword[0]} holds a password, and any local user can read a unit`, {
      hint: 'use a proxy that needs none, or unset it and set it in a drop-in with EnvironmentFile=: systemctl edit postern',
    });
  return {
    POSTERN_HOME: config.home.state,
    POSTERN_CONFIG: resolve(config.home.config),
    ...Object.fromEntries(found(TAKEN).map(([name, value]) => [name, name.endsWith('_FILE') ? resolve(value) : value])),
    ...Object.fromEntries(found(PROXY)),
  };
}

function writesOf(config: Config): readonly string[] {
  const database = databaseFile(config);
  const folders = [config.home.state, ...(database === undefined ? [] : [dirname(database)])];
  return [...new Set(folders)];
}

function credentialOf({ key }: Config, given: string | undefined): string | undefined {
  if (key.source !== 'credential') return undefined;
  if (given !== undefined && /^[\w.-]+:\//.test(given)) return given;
  throw cliError('cli.service', `the master key is the systemd credential ${key.name}, so the unit has to load it`, {
    hint: `say where its file is: --credential ${key.name}:/path/to/key`,
  });
}

function commandsOf(scope: Scope, user: string): readonly (readonly string[])[] {
  return [
    systemctl(scope, 'daemon-reload'),
    systemctl(scope, 'enable', 'postern.service'),
    systemctl(scope, 'restart', 'postern.service'),
    // Without it the user's services end with their last session.
    ...(scope === 'user' ? [['loginctl', 'enable-linger', user]] : []),
  ];
}

const LEAST_FREE_PORT = 1024;

function warningsOf(config: Config, scope: Scope, user: string, mailboxes: number): readonly string[] {
  const low = [...config.listeners, config.console].filter(({ port }) => port > 0 && port < LEAST_FREE_PORT);
  const script = ownCommand().find((word) => word.startsWith('/') && !existsSync(word));
  return lines(
    scope === 'user' &&
      low.length > 0 &&
      `a user service may not listen on port ${low.map(({ port }) => port).join(', ')}: use --system, or ports from ${LEAST_FREE_PORT}`,
    scope === 'system' &&
      user === 'root' &&
      'the installation belongs to root, so the service runs as root: docs/operations.md has the way to a user of its own',
    mailboxes === 0 && 'no mailbox is open yet, so the gateway will not be ready: postern init --address ADDRESS',
    script !== undefined && `${script} is not there any more`,
  );
}

/** Of the machine's package, of a checkout, or what an npm package has. */
function documentationHere(): string {
  const root = resolve(import.meta.dirname, '../..');
  const places = ['/usr/share/doc/postern/operations.md', resolve(root, 'docs/operations.md')];
  return places.find((path) => existsSync(path)) ?? resolve(root, 'README.md');
}
