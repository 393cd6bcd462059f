/** `postern check` without an address: the machine's side. Files, disk, certificate, doors, settings, app passwords. */
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { isError, type PosternError } from '../base/error.ts';
import { builtIn, catalogue, catalogueProblem } from '../oauth/catalogue/catalogue.ts';
import type { OutboxStats } from '../store/types-outbox.ts';
import type { Protocol } from '../store/types.ts';
import { judgePasswords } from './app-passwords.ts';
import { checkError } from './errors.ts';
import { type Found, Steps } from './step.ts';
import type { CheckDeps, CheckOptions, Finding } from './types.ts';

/** Where this installation has its things; the server's configuration has all of it. */
export interface InstallationFacts {
  readonly home: { readonly state: string; readonly config: string };
  /** File of the master key; undefined when it comes from elsewhere. */
  readonly keyPath: string | undefined;
  /** File of an SQLite database. */
  readonly databasePath: string | undefined;
  readonly certificatePath: string;
  /** Made by us and renewed by `serve`. */
  readonly ownCertificate: boolean;
  readonly listeners: readonly {
    readonly protocol: Protocol;
    readonly tls: 'none' | 'starttls' | 'implicit';
    readonly host: string;
    readonly port: number;
  }[];
  readonly console: { readonly host: string; readonly port: number; readonly insecurePublic: boolean };
  readonly logLevel: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const DAY_MS = 86_400_000;
const MIB = 1 << 20;

/**
 * The findings, in order. Never throws but the abort.
 * @param deps the opened installation, or why it does not open: then its files are looked at all the same
 */
export async function* checkInstallation(
  deps: CheckDeps | PosternError,
  facts: InstallationFacts,
  clock: Clock,
  options: CheckOptions = {},
): AsyncGenerator<Finding, void, void> {
  const steps = new Steps(clock, options);
  yield await steps.run('home.folder', 'state folder', () => judgeFolder(facts.home.state));
  yield await steps.run('home.key', 'master key', () => judgeKey(facts.keyPath));
  if (isError(deps)) yield steps.failed('home.database', 'database and vault', deps);
  else yield await steps.run('home.database', 'database and vault', () => judgeDatabase(deps.store, facts));
  yield await steps.run('home.disk', 'disk', () =>
    judgeDisk(dirname(facts.databasePath ?? facts.home.config), facts.home.state),
  );
  yield await steps.run('home.certificate', 'gateway certificate', () => judgeCertificate(facts, clock.now()));
  yield await steps.run('home.listeners', 'listeners', () => judgeListeners(facts));
  yield await steps.run('home.settings', 'settings', () => judgeSettings(facts));
  yield await steps.run('home.catalogue', 'catalogue', () => judgeCatalogue(clock.now()));
  if (isError(deps)) return;
  yield await steps.run('home.passwords', 'app passwords', async () =>
    judgePasswords(await deps.store.appPasswords.list(), clock.now()),
  );
  yield await steps.run('home.outbox', 'outbox', async () =>
    judgeOutbox(await deps.store.outbox.stats(clock.now()), clock.now()),
  );
  yield await steps.run('home.applications', 'applications', () => judgeApplications(deps.store));
}

async function judgeDatabase(store: CheckDeps['store'], { databasePath }: InstallationFacts): Promise<Found> {
  await store.ping();
  if (databasePath === undefined) return { says: `${store.engine} answers`, facts: { engine: store.engine } };
  const { size } = statSync(databasePath);
  return judgeOpenness(databasePath, {
    says: `${store.engine} answers, ${Math.ceil(size / MIB)} MiB`,
    facts: { engine: store.engine, octets: size },
  });
}

/** Retries are minutes to hours apart; what was due for longer than this is not being delivered. */
const OUTBOX_LATE_MS = 3_600_000;

function judgeOutbox({ queued, sending, held, oldestDueAt }: OutboxStats, now: number): Found {
  const facts = {
    queued,
    sending,
    held,
    oldestDueAt: oldestDueAt === undefined ? null : new Date(oldestDueAt).toISOString(),
  };
  const says = `${queued} waiting, ${sending} being sent, ${held} held`;
  if (oldestDueAt === undefined || now - oldestDueAt < OUTBOX_LATE_MS) return { says, facts };
  return {
    says,
    facts,
    warning: {
      id: 'home.outbox-late',
      cause: `mail that was accepted ${Math.round((now - oldestDueAt) / 60_000)} minutes ago is due and not sent`,
      blame: 'operator',
      remedy: [
        { do: 'see that the gateway runs, which delivers it', run: 'postern serve' },
        { do: 'and why a message waits', run: 'postern outbox show ID' },
      ],
    },
  };
}

async function judgeApplications(store: CheckDeps['store']): Promise<Found> {
  const names = (await store.applications.list()).map(({ name }) => name);
  if (names.length > 0) return { says: names.join(', '), facts: { applications: names } };
  return {
    says: 'none is set up',
    warning: {
      id: 'home.no-application',
      cause: 'no application at a provider is set up, so no mailbox can be added',
      blame: 'operator',
      remedy: [{ do: 'register an application and tell Postern about it', run: 'postern provider add --help' }],
    },
  };
}

/** @throws check.exposed */
function judgeFolder(path: string): Found {
  return judgeOpenness(path, { says: `${path} is for its owner only`, facts: { path } }, 'chmod 700');
}

/** Others may neither write nor, where it holds secrets or mail, read. @throws check.exposed */
function judgeOpenness(path: string, found: Found, command = 'chmod 600'): Found {
  const mode = statSync(path).mode & 0o777;
  const facts = { ...found.facts, mode: mode.toString(8) };
  if ((mode & 0o022) !== 0)
    throw checkError('check.exposed', `other users of this machine may change ${path} (mode ${mode.toString(8)})`, {
      detail: facts,
      hint: `${command} ${path}`,
    });
  if ((mode & 0o055) === 0) return { ...found, facts };
  return {
    says: `other users of this machine may read ${path} (mode ${mode.toString(8)})`,
    facts,
    warning: {
      id: 'home.readable',
      cause: `other users of this machine may read ${path}`,
      blame: 'operator',
      remedy: [{ do: 'let only its owner read it', run: `${command} ${path}` }],
    },
  };
}

/** The vault refuses an exposed key as well; this says so before it matters. @throws check.exposed */
function judgeKey(path: string | undefined): Found {
  if (path === undefined) return { says: 'does not lie in a file of this installation', facts: { file: null } };
  if (!existsSync(path))
    throw checkError('check.key-missing', `there is no master key ${path}`, { detail: { file: path } });
  const mode = statSync(path).mode & 0o777;
  const facts = { file: path, mode: mode.toString(8) };
  if ((mode & 0o077) === 0) return { says: `${path} is for its owner only`, facts };
  throw checkError('check.exposed', `other users of this machine may read the master key (mode ${mode.toString(8)})`, {
    detail: facts,
    hint: `chmod 600 ${path}`,
  });
}

const LEAST_MIB = 100;
const FEW_MIB = 1024;

/** @throws check.disk */
function judgeDisk(...folders: readonly string[]): Found {
  const free = Math.min(...folders.map((folder) => freeMib(folder)));
  const facts = { freeMiB: free };
  const says = `${free} MiB free`;
  if (free < LEAST_MIB)
    throw checkError('check.disk', `only ${free} MiB are free on the disk of ${folders[0]}`, { detail: facts });
  if (free >= FEW_MIB) return { says, facts };
  return {
    says,
    facts,
    warning: {
      id: 'home.disk-low',
      cause: `only ${free} MiB are free on the disk of the database`,
      blame: 'operator',
      remedy: [{ do: 'make room', run: `df -h ${folders[0]}` }],
    },
  };
}

function freeMib(folder: string): number {
  // The configuration may have a folder that is not there yet.
  if (!existsSync(folder)) return Number.POSITIVE_INFINITY;
  const { bavail, bsize } = statfsSync(folder);
  return Math.floor((bavail * bsize) / MIB);
}

/** @throws check.certificate */
function judgeCertificate({ certificatePath, ownCertificate }: InstallationFacts, now: number): Found {
  const stat = statSync(certificatePath, { throwIfNoEntry: false });
  if (!stat) {
    if (ownCertificate) return { says: 'made at the first `postern serve`', facts: { file: certificatePath } };
    throw checkError('check.certificate', `there is no certificate ${certificatePath}`, {
      hint: `see tls.certificate in postern.yaml: ls -l ${certificatePath}`,
    });
  }
  const certificate = new X509Certificate(readFileSync(certificatePath));
  const until = certificate.validToDate.getTime();
  const days = Math.floor((until - now) / DAY_MS);
  const facts = {
    file: certificatePath,
    until: certificate.validToDate.toISOString(),
    names: certificate.subjectAltName ?? '',
  };
  if (days < 0)
    throw checkError('check.certificate', `the gateway’s certificate has expired ${-days} days ago`, { detail: facts });
  const says = `valid for ${days} days`;
  if (days >= (ownCertificate ? 7 : 14)) return { says, facts };
  return {
    says,
    facts,
    warning: {
      id: 'home.certificate-ends',
      cause: `the gateway’s certificate ends in ${days} days`,
      blame: 'operator',
      remedy: [
        ownCertificate
          ? { do: 'keep the gateway running; it renews the certificate', run: 'postern serve' }
          : { do: 'renew it; the gateway takes the new files up by itself' },
      ],
    },
  };
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');

async function judgeListeners({ listeners }: InstallationFacts): Promise<Found> {
  const fixed = listeners.filter(({ port }) => port !== 0);
  const answers = await Promise.all(fixed.map(async (one) => ({ ...one, answers: await accepts(one.host, one.port) })));
  const silent = answers.filter((one) => !one.answers);
  const names = (of: typeof answers): string =>
    of.map(({ protocol, host, port }) => `${protocol} ${host}:${port}`).join(', ');
  const facts = { listeners: answers };
  if (silent.length === 0) return { says: names(answers) || 'free ports, which cannot be looked at', facts };
  const whole = silent.length === answers.length;
  return {
    says: whole ? 'nothing answers: the gateway does not run' : `no answer at ${names(silent)}`,
    facts,
    warning: {
      id: 'home.not-serving',
      cause: whole ? 'the gateway does not run' : `the gateway does not answer at ${names(silent)}`,
      blame: 'operator',
      remedy: [
        whole
          ? { do: 'start it', run: 'postern serve' }
          : { do: 'see who holds the port, and read the gateway’s log', run: 'ss -ltnp' },
      ],
    },
  };
}

const ACCEPT_MS = 2000;

function accepts(host: string, port: number): Promise<boolean> {
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return new Promise((resolve) => {
    const socket = connect({ host: target, port, timeout: ACCEPT_MS });
    const done = (open: boolean) => (): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', done(true)).once('error', done(false)).once('timeout', done(false));
  });
}

/** @throws check.insecure */
function judgeSettings({ environment, listeners, console, logLevel }: InstallationFacts): Found {
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0')
    throw checkError('check.insecure', 'NODE_TLS_REJECT_UNAUTHORIZED=0 switches the verification of certificates off', {
      hint: 'unset NODE_TLS_REJECT_UNAUTHORIZED; give a private CA with the application’s ca setting instead',
    });
  const plain = listeners.find(({ tls, host }) => tls === 'none' && !isLoopback(host));
  if (plain)
    throw checkError(
      'check.insecure',
      `the ${plain.protocol} listener on ${plain.host}:${plain.port} takes passwords without TLS`,
      {
        hint: 'set tls: starttls or tls: implicit for this listener, or bind it to 127.0.0.1',
      },
    );
  const open = [...new Set(listeners.filter(({ host }) => !isLoopback(host)).map(({ host }) => host))];
  const facts = { openTo: open, publicConsole: console.insecurePublic && !isLoopback(console.host), logLevel };
  const doubts = [
    ...(facts.publicConsole ? ['the console answers beyond this machine without TLS or sign-in'] : []),
    ...(logLevel === 'debug' ? ['the log is at level debug, which tells much about who reads mail when'] : []),
  ];
  const says =
    open.length === 0 ? 'everything stays on this machine' : `open to the network at ${open.join(', ')}, with TLS`;
  if (doubts.length === 0) return { says, facts };
  return {
    says: doubts.join('; '),
    facts,
    warning: {
      id: 'home.insecure-settings',
      cause: doubts[0]!,
      blame: 'operator',
      remedy: [
        {
          do: facts.publicConsole
            ? 'bind the console to 127.0.0.1 and put a proxy with TLS in front'
            : 'set log.level to info in postern.yaml',
        },
      ],
    },
  };
}

const OLD_DAYS = 180;

function judgeCatalogue(now: number): Found {
  const { edition, published } = catalogue();
  const days = Math.floor((now - Date.parse(published)) / DAY_MS);
  const facts = { edition, published, builtIn: builtIn().edition };
  const problem = catalogueProblem();
  const doubt = problem
    ? `the newer edition in the home is not used: ${problem.message}`
    : days > OLD_DAYS
      ? `the catalogue of provider changes is ${days} days old`
      : undefined;
  const says = `edition ${edition} of ${published}`;
  if (doubt === undefined) return { says, facts };
  return {
    says: `${says}; ${doubt}`,
    facts,
    warning: {
      id: 'home.catalogue-old',
      cause: doubt,
      blame: 'operator',
      remedy: [{ do: 'fetch the newest edition', run: 'postern update-data FILE' }],
    },
  };
}
