/** `postern support-bundle`: collects evidence without secrets. */
import { printable } from '../../base/printable.ts';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, platform, release, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { systemClock } from '../../base/clock.ts';
import { asError, isError, type PosternError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { type Bundle, addressSecret, makeBundle } from '../../check/bundle/bundle.ts';
import { AT_A_TIME, inOrder } from '../../check/in-order.ts';
import { reportOf } from '../../check/step.ts';
import type { CheckReport } from '../../check/types.ts';
import { catalogue } from '../../oauth/catalogue/catalogue.ts';
import type { Config } from '../../server/config.ts';
import { installationFacts } from '../../server/installation-facts.ts';
import type { Instance } from '../../server/instance.ts';
import { readOwnMetrics } from '../../server/own-metrics.ts';
import { version } from '../../server/version.ts';
import type { Mailbox } from '../../store/types.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { collect } from '../value.ts';

interface BundleOptions {
  readonly output?: string;
  readonly log?: readonly string[];
  readonly hideAddresses?: boolean;
}

export function supportBundle(): Subcommand {
  return new Subcommand('support-bundle', 'collect what somebody needs to help: without secrets, without mail')
    .option('--output <file>', 'where to (default: postern-support-TIME.tar.gz here)')
    .option(
      '--log <file>',
      'a log file whose last part is included (default: the journal of the service); repeat',
      collect,
    )
    .option('--hide-addresses', 'replace mailbox names by numbers')
    .example('postern support-bundle --output bundle.tar.gz')
    .run(async (context, options: BundleOptions) => {
      const config = context.config();
      const now = Date.now();
      const path = options.output ?? `postern-support-${new Date(now).toISOString().replace(/[-:]|\.\d+/g, '')}.tar.gz`;
      if (existsSync(path))
        throw cliError('cli.usage', `${path} is there already`, { hint: 'name another file with --output' });
      const log = await logs(options.log);
      context.say('looking at the installation and every mailbox');
      const make = async (instance: Instance | PosternError): Promise<Bundle> =>
        makeBundle(instance, {
          texts: { ...(await texts(instance, config)), ...log },
          secrets: [config.database, ...secretsOf(config)],
          hideAddresses: options.hideAddresses === true,
          auditRecords: AUDIT_RECORDS,
          now,
        });
      const bundle = await context.withInstanceOrError(make);
      writeNew(path, bundle.archive);
      context.result({ file: path, octets: bundle.archive.length, files: bundle.files, problems: bundle.problems }, [
        path,
      ]);
      for (const problem of bundle.problems) context.say(problem);
      context.say(`have a look into it before you give it away: tar -xzOf ${path} | less`);
    });
}

const AUDIT_RECORDS = 1000;

async function texts(instance: Instance | PosternError, config: Config): Promise<Readonly<Record<string, string>>> {
  return {
    'versions.json': json(versions(instance)),
    'postern.yaml': existsSync(config.home.config)
      ? readFileSync(config.home.config, 'utf8')
      : '# there is none: defaults\n',
    'configuration.json': json({ ...config, database: databaseName(config), key: { source: config.key.source } }),
    'environment.json': json(environment(process.env)),
    'check.json': json(await reports(instance, config)),
    'metrics.txt': await metrics(config),
  };
}

async function reports(instance: Instance | PosternError, config: Config): Promise<readonly CheckReport[]> {
  const { checkInstallation } = await import('../../check/installation.ts');
  const { checkMailbox } = await import('../../check/mailbox.ts');
  const facts = installationFacts(config, process.env);
  const home = await Array.fromAsync(checkInstallation(instance, facts, systemClock));
  const found = [reportOf({ type: 'installation', home: config.home.state }, home, systemClock.now())];
  if (isError(instance)) return found;
  const report = async (mailbox: Mailbox): Promise<CheckReport> => {
    const findings = await Array.fromAsync(checkMailbox(instance, mailbox));
    return reportOf({ type: 'mailbox', address: mailbox.address }, findings, systemClock.now());
  };
  const mailboxes = await instance.store.mailboxes.list();
  for await (const one of inOrder(mailboxes, AT_A_TIME, (mailbox) => ({ result: report(mailbox) }))) found.push(one);
  return found;
}

function versions(instance: Instance | PosternError): unknown {
  const { edition, published } = catalogue();
  return {
    postern: version,
    node: process.version,
    openssl: process.versions.openssl,
    sqlite: process.versions['sqlite'],
    system: `${platform()} ${release()} ${arch()}`,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    database: isError(instance) ? null : instance.store.engine,
    catalogue: { edition, published },
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
}

/** Which variables are set; values only where they cannot be secret. */
function environment(env: NodeJS.ProcessEnv): unknown {
  const plain = new Set([
    'POSTERN_HOME',
    'POSTERN_CONFIG',
    'POSTERN_HOSTNAME',
    'POSTERN_WORKERS',
    'POSTERN_LOG_LEVEL',
    'POSTERN_LOG_FORMAT',
    'TZ',
    'LANG',
  ]);
  const names = Object.keys(env).filter((name) => /^(?:POSTERN_|NODE_|TZ$|LANG$|.*_proxy$)/i.test(name));
  return Object.fromEntries(names.map((name) => [name, plain.has(name) ? env[name] : '(set)']));
}

function databaseName({ database }: Config): string {
  const text = database.reveal();
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  if (url.password !== '') url.password = '***';
  return url.href;
}

function secretsOf({ key, database, outbox, notices }: Config): readonly Secret[] {
  const text = database.reveal();
  const password = URL.canParse(text) ? decodeURIComponent(new URL(text).password) : '';
  return [
    ...(password === '' ? [] : [new Secret(password)]),
    ...(key.source === 'environment' ? [key.value] : []),
    ...(key.source === 'passphrase' ? [key.passphrase] : []),
    ...(notices.webhook ? addressSecret(notices.webhook.url) : []),
    ...[key.source === 'file' ? key.path : undefined, outbox.relay?.passwordFile, notices.webhook?.secretFile].flatMap(
      secretIn,
    ),
  ];
}

/** Files that Postern cannot read hold nothing that could have come into its logs. */
function secretIn(file: string | undefined): readonly Secret[] {
  if (file === undefined) return [];
  try {
    const text = readFileSync(file, 'utf8').trim();
    return text === '' ? [] : [new Secret(text), new Secret(text.split('\n')[0]!.trim())];
  } catch {
    return [];
  }
}

async function metrics(config: Config): Promise<string> {
  try {
    return await readOwnMetrics(config);
  } catch (error) {
    return `# no metrics: ${printable(asError(error).message)}\n`;
  }
}

const LOG_LINES = 2000;
const LOG_OCTETS = 2 << 20;

async function logs(files: readonly string[] | undefined): Promise<Readonly<Record<string, string>>> {
  if (files) return Object.fromEntries(files.map((file, index) => [`log-${index + 1}.txt`, endOf(file)]));
  return { 'log.txt': await journal() };
}

function endOf(file: string): string {
  try {
    return lastLines(readFileSync(file, 'utf8').slice(-LOG_OCTETS));
  } catch (cause) {
    throw cliError('cli.usage', `the log ${file} cannot be read`, {
      hint: `check the path and that you may read it: ls -l ${file}`,
      cause,
    });
  }
}

const NO_LOG =
  'no log: Postern writes to standard error and there is no journal of a service called postern; give --log FILE\n';

/** systemd keeps what the service wrote to standard error. */
async function journal(): Promise<string> {
  const args = ['-u', 'postern', '-n', String(LOG_LINES), '--no-pager', '-o', 'cat'];
  try {
    const { stdout } = await promisify(execFile)('journalctl', args, { maxBuffer: 8 * LOG_OCTETS, timeout: 10_000 });
    if (stdout.trim() !== '') return lastLines(stdout.slice(-LOG_OCTETS));
    return NO_LOG;
  } catch {
    // No systemd here, or not ours to read.
    return NO_LOG;
  }
}

function lastLines(text: string): string {
  return text.split('\n').slice(-LOG_LINES).join('\n');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** @throws cli.usage (it is there already, or cannot be made there) */
function writeNew(path: string, octets: Uint8Array): void {
  try {
    writeFileSync(path, octets, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'EEXIST' ? 'it is there already' : code === 'ENOENT' ? 'there is no such folder' : code;
    throw cliError('cli.usage', `${path} cannot be written: ${why ?? 'unknown reason'}`, {
      hint: 'name another file with --output',
      cause,
    });
  }
}
