/** The ways out of each mailbox: what its settings name, else the provider's SMTP, and Microsoft Graph behind it at Microsoft. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Secret } from '../base/secret.ts';
import { GraphAccesses } from '../oauth/graph-access.ts';
import { resolveProvider } from '../oauth/provider.ts';
import { presetById } from '../oauth/providers.ts';
import { relayRoute } from '../outbox/deliver/relay-route.ts';
import { type SignInAt, SmtpRoute } from '../outbox/deliver/smtp-route.ts';
import type { Route } from '../outbox/deliver/types.ts';
import type { Application, Mailbox } from '../store/types.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import type { Instance } from './instance.ts';

export interface Routes {
  /** In the order in which they are tried. */
  of(mailbox: Mailbox): Promise<readonly Route[]>;
  close(): Promise<void>;
}

/** @throws server.config (the relay's password or CA cannot be read) */
export function openRoutes(instance: Instance, signIn: SignInAt): Routes {
  const { clock, config, renewal, store, tokens } = instance;
  const relay =
    config.outbox.relay && relayRoute(relayOf(config.outbox.relay, config.home.state), clock, config.hostname);
  const routes: Record<string, Route | undefined> = {
    smtp: new SmtpRoute(signIn, clock, async (mailbox) => {
      const { host, port } = await tokens.endpoint(mailbox, 'smtp');
      return `${host}:${port}`;
    }),
    relay,
  };
  return {
    async of(mailbox) {
      const named = mailbox.settings['routes'];
      const names = Array.isArray(named) ? (named as readonly unknown[]) : await usual(store, mailbox);
      if (names.includes('graph') && !routes['graph']) {
        // With its HTTP client it is loaded for whoever uses it.
        const { GraphRoute } = await import('../outbox/deliver/graph-route.ts');
        routes['graph'] ??= new GraphRoute(new GraphAccesses(renewal), clock, async (mailbox) => {
          const application = await applicationOf(store, mailbox);
          return application ? (resolveProvider(application).graph ?? application.provider) : '';
        });
      }
      return names.flatMap((name) => routes[String(name)] ?? []);
    },
    async close() {
      for (const route of Object.values(routes)) await route?.close();
    },
  };
}

async function applicationOf(store: Instance['store'], { grantId }: Mailbox): Promise<Application | undefined> {
  const grant = await store.grants.find(grantId);
  return grant && store.applications.find(grant.applicationId);
}

async function usual(store: Instance['store'], mailbox: Mailbox): Promise<readonly string[]> {
  const application = await applicationOf(store, mailbox);
  return application && hasGraph(application) ? ['smtp', 'graph'] : ['smtp'];
}

/** Microsoft's own, or the one that the application names: another authority has no part in Microsoft's. */
function hasGraph(application: Application): boolean {
  if (presetById(application.provider)?.family !== 'microsoft') return false;
  try {
    const { foreign, graph } = resolveProvider(application);
    return !foreign || graph !== undefined;
  } catch {
    // Wrong settings: whatever is tried says so.
    return true;
  }
}

/** @param folder relative paths start here */
function relayOf(
  { ca, passwordFile, ...relay }: NonNullable<Config['outbox']['relay']>,
  folder: string,
): Parameters<typeof relayRoute>[0] {
  const text = (path: string): string => read(resolve(folder, path));
  return {
    ...relay,
    trust: ca === undefined ? {} : { ca: text(ca) },
    ...(passwordFile === undefined ? {} : { password: new Secret(text(passwordFile).split(/\r?\n/)[0]!) }),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? 'unknown reason';
    throw serverError('server.config', `${path} cannot be read (${why})`, {
      hint: `check that it exists and that this user may read it: ls -l ${path}`,
      cause,
    });
  }
}
