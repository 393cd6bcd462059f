/** The sandbox with a gateway in front: a home of its own, mailboxes consented without a person, one app password. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { perform } from '../admin/act.ts';
import type { Actor } from '../admin/actor.ts';
import { addAppPassword } from '../admin/app-passwords.ts';
import { systemClock } from '../base/clock.ts';
import type { Secret } from '../base/secret.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import { addApplication } from '../admin/applications.ts';
import { connectMailbox } from '../admin/mailboxes.ts';
import type { Sandbox } from '../sandbox/index.ts';
import { certificateFiles } from '../server/certificate.ts';
import { readConfig, type Config } from '../server/config.ts';
import { homeOf, makeHome } from '../server/home.ts';
import { ensureKey, openInstance, type Instance } from '../server/instance.ts';
import type { ServerLog } from '../server/log.ts';
import { serve, type Serving } from '../server/serve.ts';
import { PROTOCOLS } from '../store/protocols.ts';

export interface Demonstration {
  readonly home: string;
  readonly listeners: readonly ListenerConfig[];
  readonly consolePort: number;
  readonly addresses: readonly string[];
  readonly password: Secret;
  stop(): Promise<void>;
}

export interface DemonstrationOptions {
  /** Free ports instead of the default ones. */
  readonly freePorts: boolean;
  /** Kept afterwards when given; otherwise a temporary folder, removed at the end. */
  readonly home?: string;
  readonly log: ServerLog;
}

/** @throws gateway.port-taken, server.port-taken */
export async function startDemonstration(sandbox: Sandbox, options: DemonstrationOptions): Promise<Demonstration> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'postern-demo-')));
  const tidy = async (): Promise<void> => {
    if (options.home === undefined) await rm(home, { recursive: true, force: true });
  };
  try {
    const config = await prepare(sandbox, home, options.freePorts);
    const password = await furnish(sandbox, config, options.log);
    const serving = await serve(config, options.log, { clock: sandbox.clock });
    await writeSettings(config, serving);
    return {
      home,
      listeners: serving.listeners,
      consolePort: serving.consolePort,
      addresses: addressesOf(sandbox),
      password,
      async stop() {
        await serving.stop();
        await tidy();
      },
    };
  } catch (error) {
    await tidy();
    throw error;
  }
}

const addressesOf = (sandbox: Sandbox): readonly string[] => [
  ...sandbox.users.map(({ address }) => address),
  sandbox.shared,
];

/** Configuration of the home: the sandbox's own certificate, so that one CA is behind every TLS endpoint. */
async function prepare(sandbox: Sandbox, home: string, freePorts: boolean): Promise<Config> {
  // The person's own settings must not leak into the demonstration.
  const folders = homeOf({}, home);
  // Ports of the last start are not those of this one.
  if ((await readFile(folders.config, 'utf8').catch(() => '')).startsWith(MARK)) await rm(folders.config);
  const base = readConfig(folders, {});
  makeHome(base.home);
  const tls = { cert: join(home, 'gateway.pem'), key: join(home, 'gateway.key'), ca: join(home, 'gateway-ca.pem') };
  await writeFile(tls.ca, sandbox.caPem, { mode: 0o644 });
  await writeFile(tls.cert, sandbox.serverCertificate.cert, { mode: 0o600 });
  await writeFile(tls.key, sandbox.serverCertificate.key, { mode: 0o600 });
  const config: Config = {
    ...base,
    hostname: 'localhost',
    tls: { certificate: tls.cert, key: tls.key, ca: tls.ca },
    log: { level: 'warn', format: 'auto' },
    // A fault that is set now is to be met by the next sign-in, not by one after a session has rested.
    limits: { ...base.limits, drainMs: 2000, reuseMs: 0 },
    ...(freePorts
      ? {
          listeners: base.listeners.map((listener) => ({ ...listener, port: 0 })),
          console: { ...base.console, port: 0 },
        }
      : {}),
  };
  await ensureKey(config);
  await certificateFiles(config, systemClock);
  return config;
}

const MARK = '# Written by the demonstration at each start, so that commands with --home know its ports.';

/** What runs, for commands on this home: `client-config` and `check` read it. A person's own file stays. */
async function writeSettings({ home, hostname, tls, limits, log }: Config, serving: Serving): Promise<void> {
  const before = await readFile(home.config, 'utf8').catch(() => MARK);
  if (!before.startsWith(MARK)) return;
  const listeners = serving.listeners.map(({ protocol, tls: kind, host, port }) => ({
    protocol,
    tls: kind,
    host,
    port,
  }));
  // YAML is a superset of JSON.
  const settings = { hostname, tls, listeners, console: { port: serving.consolePort }, limits, log };
  await writeFile(home.config, `${MARK}\n${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
}

const DEMONSTRATION: Actor = { type: 'program', name: 'demonstration' };

async function furnish(sandbox: Sandbox, config: Config, log: ServerLog): Promise<Secret> {
  const instance = await openInstance({ config, log, clock: sandbox.clock });
  try {
    await openMailboxes(sandbox, instance);
    const kept = await instance.store.appPasswords.list();
    // A kept home gets a new app password at every start: the old one was shown once.
    const { password } = await perform(addAppPassword, instance, DEMONSTRATION, {
      label: `demonstration ${kept.length + 1}`,
      mailboxes: ['*'],
      protocols: PROTOCOLS,
      networks: ['127.0.0.0/8', '::1/128'],
    });
    return password;
  } finally {
    await instance.close();
  }
}

async function openMailboxes(sandbox: Sandbox, instance: Instance): Promise<void> {
  const { store } = instance;
  const name = `contoso-${(await store.applications.list()).length + 1}`;
  const trusted = { ca: sandbox.caPem };
  const { imap, pop3, smtp } = sandbox.mail;
  const application = await perform(addApplication, instance, DEMONSTRATION, {
    name,
    provider: 'microsoft',
    clientId: sandbox.clients.public.id,
    tenant: sandbox.tenantId,
    settings: {
      authority: sandbox.authority,
      graph: sandbox.graph,
      ca: sandbox.caPem,
      imap: { ...imap, ...trusted },
      pop3: { ...pop3, ...trusted },
      smtp: { ...smtp, ...trusted },
    },
  });
  for (const address of addressesOf(sandbox)) {
    const delegate = address === sandbox.shared ? sandbox.users[0]!.address : undefined;
    await perform(connectMailbox, instance, DEMONSTRATION, {
      application,
      address,
      protocols: PROTOCOLS,
      flow: 'authorization-code',
      ...(delegate === undefined ? {} : { sharedWith: delegate }),
      redirect: {
        uri: 'http://localhost/',
        wait: (url) => sandbox.approve(url, delegate ?? address),
        close: () => Promise.resolve(),
      },
    });
  }
}
