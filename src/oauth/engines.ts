/** Chooses and keeps the engines of an application. */
import type { Clock } from '../base/clock.ts';
import type { Application } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import { type HeldCredential, openCredentials } from './application.ts';
import { openMsalEngine } from './engine-msal.ts';
import { openOpenidEngine } from './engine-openid.ts';
import type { DelegatedEngine, TokenEngine } from './engine.ts';
import { oauthError } from './errors.ts';
import type { AppOnlyFlow } from './flows.ts';
import { type Http, openHttp } from './http.ts';
import { type ProviderProfile, resolveProvider } from './provider.ts';
import { type CredentialRefused, DelegatedRollOver, RollOver } from './roll-over.ts';

/** An application ready for requests. */
export interface Client {
  readonly application: Application;
  readonly profile: ProviderProfile;
  readonly delegated: DelegatedEngine;
  /** App-only tokens: Microsoft's library at Microsoft, openid-client elsewhere. */
  readonly appOnly: TokenEngine;
  /** For the key set. */
  readonly http: Http;
  close(): Promise<void>;
}

/** @throws oauth.unknown-provider, oauth.misconfigured, vault.* */
export async function openClient(
  deps: {
    readonly vault: Vault;
    readonly clock: Clock;
    readonly timeoutMs?: number | undefined;
    readonly credentialRefused?: CredentialRefused;
  },
  application: Application,
): Promise<Client> {
  const profile = resolveProvider(application);
  const held: readonly Partial<HeldCredential>[] = await openCredentials(deps.vault, application);
  const http = openHttp({ ca: profile.ca, ...(deps.timeoutMs === undefined ? {} : { timeoutMs: deps.timeoutMs }) });
  const localHttp = openHttp({ insecureLocalEndpoint: true });
  const shared = { profile, clientId: application.clientId, http, clock: deps.clock };
  const refused = deps.credentialRefused ?? (() => undefined);
  const delegated = new DelegatedRollOver(
    (held.length === 0 ? [{}] : held).map(({ facts, credential }) => ({
      facts,
      engine: openOpenidEngine({ ...shared, credential }),
    })),
    deps.clock,
    refused,
  );
  const msal = held.flatMap(({ facts, credential }) =>
    profile.microsoft && credential && credential.type !== 'service-account'
      ? [{ facts, engine: openMsalEngine({ ...shared, credential, localHttp }) }]
      : [],
  );
  const appOnly = msal.length > 0 ? new RollOver(msal, deps.clock, refused) : delegated;
  return {
    application,
    profile,
    delegated,
    appOnly,
    http,
    close: async () => {
      await http.close();
      await localHttp.close();
    },
  };
}

/** @throws oauth.misconfigured when none of the application's credentials is the one the flow names */
export function requireCredential(flow: AppOnlyFlow, held: readonly HeldCredential[], name: string): void {
  const types = held.map(({ credential }) => credential.type);
  const needs = flow === 'client-secret' ? 'secret' : flow;
  if (types.includes(needs)) return;
  throw oauthError('oauth.misconfigured', `the flow ${flow} needs another credential than application ${name} has`, {
    detail: { flow, has: types.join(', ') || 'none', needs },
    hint: `add the application with a credential of the kind ${needs}`,
  });
}
