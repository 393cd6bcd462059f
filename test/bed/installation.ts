/**
 * Postern installed in front of a mail site, and its own command serving it. The home is made by what the commands call, or by
 * the commands themselves: init, application add, consent by paste-back, an app password.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { createAppPassword } from '../../src/access/app-password.ts';
import { systemClock } from '../../src/base/clock.ts';
import { addApplication } from '../../src/oauth/application.ts';
import { connectMailbox } from '../../src/onboard/connect-mailbox.ts';
import { certificateFiles } from '../../src/server/certificate.ts';
import { readConfig } from '../../src/server/config.ts';
import { homeOf, makeHome } from '../../src/server/home.ts';
import { ensureKey, openInstance } from '../../src/server/instance.ts';
import { openStore } from '../../src/store/open.ts';
import { PROTOCOLS } from '../../src/store/protocols.ts';
import type { Door } from '../interop/client.ts';
import { ALICE, type MailSite } from './mail-site.ts';
import { COMMAND, postern, startPostern } from './postern.ts';
import { type Finished, INHERITED, privateFolder, type RunOptions } from './process.ts';
import { editApplication } from '../../src/store/edit.ts';
import { z } from 'zod';
import { said } from './said.ts';

export interface HomeOptions {
  /** Environment of every command run for this home. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log?: 'debug' | 'info';
  /** Bounds for `limits:` in postern.yaml. */
  readonly limits?: Readonly<Record<string, number>>;
  /** Set up by the commands a person types; otherwise by what they call, which is faster. */
  readonly byCommand?: boolean;
}

export interface Home {
  readonly path: string;
  /** alice's app password. */
  readonly password: string;
  /** Everything that setting up by command said, on both outputs. */
  readonly said: string;
  cli(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Starts another gateway process on this home, on ports of its own. */
  serve(env?: Readonly<Record<string, string>>): Promise<Serving>;
  /** Gives the application other settings, as an administrator whose servers moved. */
  configure(settings: Readonly<Record<string, unknown>>): Promise<void>;
  /** Lets every lease run out now: what a killed process held would hold the next one up for most of a minute. */
  endLeases(): void;
  remove(): void;
}

export interface Serving {
  readonly door: Door;
  /** Base of the HTTP API, without a slash at the end. */
  readonly api: string;
  readonly caPem: string;
  readonly pid: number;
  readonly running: boolean;
  output(): string;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** A provider at which alice can consent without a browser. */
export interface Consentable extends Pick<MailSite, 'application'> {
  readonly authority: Pick<MailSite['authority'], 'approve'>;
}

/** Sets up a home: an application at the site, alice's mailbox by authorization code, one app password. */
export async function createHome(site: Consentable, options: HomeOptions = {}): Promise<Home> {
  const folder = privateFolder();
  const path = join(folder.path, 'home');
  const env = { HOME: folder.path, ...options.env };
  const cli = (args: readonly string[], more: RunOptions = {}): Promise<Finished> =>
    postern(path, args, { ...more, env: { ...env, ...more.env } });
  try {
    const { ca, password, said } = options.byCommand
      ? await typed(path, env, site, options, cli)
      : await furnished(path, env, site, options);
    return {
      path,
      password,
      said,
      cli,
      serve: (more = {}) => serve(path, { ...env, ...more }, ca, password),
      async configure(changed) {
        const store = await openStore(`sqlite:${join(path, 'postern.db')}`);
        const application = await store.applications.byName('work');
        await editApplication(store, application!.id, () => ({ settings: changed }));
        await store.close();
      },
      endLeases() {
        const database = new DatabaseSync(join(path, 'postern.db'), { timeout: 5000 });
        database.exec('UPDATE leases SET until = 0');
        database.close();
      },
      remove: folder.remove,
    };
  } catch (error) {
    folder.remove();
    throw error;
  }
}

interface SetUp {
  readonly ca: string;
  readonly password: string;
  /** Everything that setting up said, on both outputs. */
  readonly said: string;
}

/** Set up as a person does it, one command after the other. */
async function typed(
  path: string,
  env: Readonly<Record<string, string>>,
  site: Consentable,
  options: HomeOptions,
  cli: Home['cli'],
): Promise<SetUp> {
  const spoken: string[] = [];
  const setUp = async (args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await cli(args);
    spoken.push(stdout.toString(), stderr);
    return stdout.toString();
  };
  const { ca } = said(await setUp(['init', '--json']), { ca: z.string() });
  writeFileSync(join(path, 'postern.yaml'), configuration(options));
  const settings = join(path, '../settings.json');
  writeFileSync(settings, JSON.stringify(site.application.settings));
  const { provider, clientId } = site.application;
  await setUp(['application', 'add', 'work', '--preset', provider, '--client-id', clientId, '--settings', settings]);
  spoken.push(await consent(path, env, site));
  const added = await setUp(['password', 'add', '--mailbox', ALICE, '--label', 'test', '--json']);
  const { password } = said(added, { password: z.string() });
  return { ca, password, said: spoken.join('\n') };
}

/** The same by what the commands call: four processes less. */
async function furnished(
  path: string,
  env: Readonly<Record<string, string>>,
  site: Consentable,
  options: HomeOptions,
): Promise<SetUp> {
  const home = homeOf(env, path);
  makeHome(home);
  writeFileSync(home.config, configuration(options), { mode: 0o600 });
  const config = readConfig(home, env);
  await ensureKey(config);
  const { ca } = await certificateFiles(config, systemClock);
  const instance = await openInstance({ config });
  try {
    const application = await addApplication(instance, { name: 'work', ...site.application });
    await connectMailbox(instance, {
      application,
      address: ALICE,
      protocols: PROTOCOLS,
      flow: 'authorization-code',
      redirect: {
        uri: 'http://localhost/',
        wait: (url) => site.authority.approve(url, 'alice'),
        close: () => Promise.resolve(),
      },
    });
    const opens = { label: 'test', mailboxes: [ALICE], protocols: PROTOCOLS, networks: [] };
    const { password } = await createAppPassword(instance, opens);
    return { ca: ca!, password: password.reveal(), said: '' };
  } finally {
    await instance.close();
  }
}

/** One home with one process on it. */
export async function startInstallation(
  site: MailSite,
  options: HomeOptions = {},
): Promise<{ readonly home: Home; readonly serving: Serving; stop(): Promise<void> }> {
  const home = await createHome(site, options);
  try {
    const serving = await home.serve();
    const stop = async (): Promise<void> => {
      await serving.stop();
      home.remove();
    };
    return { home, serving, stop };
  } catch (error) {
    home.remove();
    throw error;
  }
}

function configuration({ log = 'info', limits = {} }: HomeOptions): string {
  const listener = (protocol: string, tls: string): object => ({ protocol, tls, host: '127.0.0.1', port: 0 });
  // YAML is a superset of JSON.
  return JSON.stringify({
    listeners: ['imap', 'pop3', 'smtp'].flatMap((protocol) => [
      listener(protocol, 'none'),
      listener(protocol, 'implicit'),
    ]),
    console: { port: 0 },
    limits: { drainMs: 500, ...limits },
    log: { level: log, format: 'json' },
  });
}

/** `mailbox add --flow paste`: reads the address from what it says, signs in, pastes the answer. */
async function consent(
  home: string,
  env: Readonly<Record<string, string>>,
  site: Pick<Consentable, 'authority'>,
): Promise<string> {
  const args = ['mailbox', 'add', ALICE, '--application', 'work', '--protocols', 'imap,pop3,smtp', '--flow', 'paste'];
  const child = spawn(process.execPath, [...COMMAND, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 60_000,
    env: { ...INHERITED, POSTERN_HOME: home, ...env },
  });
  let text = '';
  let pasted = false;
  const hear = (piece: Buffer): void => {
    text += piece.toString();
    const url = /https:\/\/\S+(?=\s)/.exec(text)?.[0];
    if (url === undefined || pasted) return;
    pasted = true;
    site.authority.approve(url, 'alice').then(
      (answer) => child.stdin.end(`${answer.href}\n`),
      (error: unknown) => child.stdin.destroy(error as Error),
    );
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  child.stdin.on('error', (error) => void (text += error.message));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`mailbox add ended with ${String(code)}:\n${text}`);
  return text;
}

async function serve(
  home: string,
  env: Readonly<Record<string, string>>,
  caPath: string,
  password: string,
): Promise<Serving> {
  const daemon = startPostern(home, ['serve', '--json'], env);
  let stdout = '';
  daemon.child.stdout!.on('data', (piece: Buffer) => void (stdout += piece.toString()));
  for (const end = performance.now() + 30_000; !stdout.includes('\n'); await delay(5)) {
    if (daemon.running && performance.now() < end) continue;
    const what = daemon.running ? 'is not ready after 30 s' : 'ended before it was ready';
    await daemon.stop();
    throw new Error(`postern serve ${what}:\n${daemon.output()}`);
  }
  const facts = said(stdout.slice(0, stdout.indexOf('\n')), {
    listeners: z.array(z.object({ protocol: z.string(), tls: z.string(), port: z.number() })),
    console: z.object({ port: z.number() }),
  });
  const at = (protocol: string, tls: string): { host: string; port: number } => {
    const found = facts.listeners.find((listener) => listener.protocol === protocol && listener.tls === tls);
    if (!found) throw new Error(`no listener for ${protocol} ${tls}`);
    return { host: 'localhost', port: found.port };
  };
  return {
    door: {
      imap: at('imap', 'none'),
      imaps: at('imap', 'implicit'),
      pop3: at('pop3', 'none'),
      pop3s: at('pop3', 'implicit'),
      smtp: at('smtp', 'none'),
      smtps: at('smtp', 'implicit'),
      caPath,
      user: ALICE,
      password,
    },
    api: `http://127.0.0.1:${facts.console.port}`,
    caPem: readFileSync(caPath, 'utf8'),
    pid: daemon.child.pid!,
    get running() {
      return daemon.running;
    },
    output: daemon.output,
    signal: (name) => void daemon.child.kill(name),
    kill: () => daemon.stop(0),
    stop: () => daemon.stop(10_000),
  };
}
