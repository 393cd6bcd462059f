/** The HTTP API, composed with an instance: what the console port hands its requests to, and the webhooks behind it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { allows, openApiSignIn } from '../../access/api-sign-in.ts';
import { readNetwork } from '../../access/network.ts';
import type { Timer } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { startWebhooks } from '../../outbox/webhook/dispatch.ts';
import type { Instance } from '../instance.ts';
import { version } from '../version.ts';
import { octetsOf } from './body.ts';
import { withKnownRows } from './known-rows.ts';
import { openApiMeter } from './meter.ts';
import { isLoopback, peerOf } from './peer.ts';

export interface ApiListener {
  /** Whether a path is the API's. */
  owns(path: string): boolean;
  handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void>;
  /** Beyond this machine metrics are for keys that allow `metrics:read`. */
  mayReadMetrics(incoming: IncomingMessage): Promise<boolean>;
  /** Ends streams and polls that wait, and the tries of webhooks. */
  close(): Promise<void>;
}

const PRUNE_EVERY_MS = 3_600_000;

/** @throws vault.*, access.network */
export async function openApi(instance: Instance, registry?: Registry): Promise<ApiListener> {
  const { store, vault, audit, clock, log, config, outbox } = instance;
  const signIn = await openApiSignIn({ store, vault, clock, log });
  const egress = { allow: config.webhooks.allow.map(readNetwork) };
  const proxies = config.console.trustedProxies.map(readNetwork);
  const stopping = new AbortController();
  const meter = registry && openApiMeter(registry);
  const known = withKnownRows(store, clock);
  const parts = {
    store: known.store,
    vault,
    audit,
    clock,
    log,
    outbox,
    signIn,
    egress,
    version,
    budget: instance.budget,
    stopping: stopping.signal,
    ...(meter ? { meter } : {}),
  };
  const webhooks = startWebhooks({
    store,
    vault,
    clock,
    log,
    audit,
    policy: egress,
    ...(meter ? { tried: meter.webhookTried } : {}),
  });
  // Routes, schemas and their libraries are loaded with the first request: most installations are mail only.
  const load = async () => {
    const [{ getRequestListener }, { createApi }] = await Promise.all([
      import('@hono/node-server'),
      import('./app.ts'),
    ]);
    const api = createApi(parts);
    // It puts its own Request and Response in the place of the runtime's, which make a stream of the shortest answer.
    return getRequestListener((request, connection) => {
      const incoming = connection.incoming as IncomingMessage;
      const outgoing = connection.outgoing as ServerResponse;
      const onClose = (done: () => void): void => {
        if (outgoing.closed) done();
        else outgoing.once('close', done);
      };
      return api.fetch(request, peerOf(incoming, proxies), octetsOf(incoming, clock), onClose);
    });
  };
  let loaded: ReturnType<typeof load> | undefined;
  let timer: Timer;
  const prune = (): void => {
    store.uploads
      .prune(clock.now())
      .catch((error: unknown) => log.warn({ error: asError(error) }, 'old uploads could not be removed'));
    timer = clock.after(PRUNE_EVERY_MS, prune);
  };
  timer = clock.after(PRUNE_EVERY_MS, prune);
  return {
    owns: (path) => path.startsWith('/v1/') || path === '/openapi.json' || path.startsWith('/errors/'),
    handle: async (incoming, outgoing) => (await (loaded ??= load()))(incoming, outgoing),
    async mayReadMetrics(incoming) {
      const peer = peerOf(incoming, proxies);
      if (config.console.insecurePublic || isLoopback(peer.address)) return true;
      const token = /^bearer +(\S+)$/i.exec(incoming.headers.authorization ?? '')?.[1];
      if (token === undefined || !peer.isPrivate) return false;
      const result = await signIn.verify(Secret.offered(token), peer.address);
      return result.type === 'accepted' && allows(result.key, 'metrics:read');
    },
    async close() {
      stopping.abort();
      timer.cancel();
      known.stop();
      await webhooks.close();
      signIn.close();
    },
  };
}
