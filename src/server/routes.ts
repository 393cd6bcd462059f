/** The ways out of each mailbox: what its settings name, else the provider's SMTP, and Microsoft Graph behind it at Microsoft. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Secret } from '../base/secret.ts';
import { GraphAccesses } from '../oauth/graph-access.ts';
import { resolveProvider } from '../oauth/provider.ts';
import { presetById } from '../oauth/providers.ts';
import { relayRoute } from '../outbox/deliver/relay-route.ts';
import { SmtpRoute } from '../outbox/deliver/smtp-route.ts';
import type { SignInAt } from '../upstream/upstream.ts';
import type { Route } from '../outbox/deliver/types.ts';
import type { Application, Mailbox } from '../store/types.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import type { Instance } from './instance.ts';
import { applicationOf } from './sent-copies.ts';

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
      const names = mailbox.settings.routes ?? (await usual(store, mailbox));
      if (names.includes('graph') && !routes['graph']) {
        // With its HTTP client it is loaded for whoever uses it.
        const { GraphRoute } = await import('../outbox/deliver/graph-route.ts');
        routes['graph'] ??= new GraphRoute(new GraphAccesses(renewal), clock, async (mailbox) => {
          const application = await applicationOf({ store }, mailbox);
          return application ? (resolveProvider(application).graph ?? application.provider) : '';
        });
      }
      return names.flatMap((name) => routes[name] ?? []);
    },
    async close() {
      for (const route of Object.values(routes)) await route?.close();
    },
  };
}

async function usual(store: Instance['store'], mailbox: Mailbox): Promise<readonly string[]> {
  const application = await applicationOf({ store }, mailbox);
  const routes = presetById(application?.provider ?? '')?.routes ?? ['smtp'];
  return application && isForeign(application) ? routes.filter((route) => route !== 'graph') : routes;
}

/** Its authority is not the preset's, and it names no Graph of its own: another authority has no part in Microsoft's. */
function isForeign(application: Application): boolean {
  try {
    const { foreign, graph } = resolveProvider(application);
    return foreign && graph === undefined;
  } catch {
    // Wrong settings: whatever is tried says so.
    return false;
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
