/** A provider without a network: tokens of an hour, counted per grant; it can be down, busy or unwilling. */
import type { Clock } from '../../src/base/clock.ts';
import type { PosternError } from '../../src/base/error.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Client } from '../../src/oauth/engines.ts';
import type { TokenAnswer } from '../../src/oauth/engine.ts';
import { sealTokens } from '../../src/oauth/grant-tokens.ts';
import { resolveProvider } from '../../src/oauth/provider.ts';
import { newId } from '../../src/store/id.ts';
import type { Application, Grant, Store } from '../../src/store/types.ts';
import type { Vault } from '../../src/vault/types.ts';

export interface FakeProvider {
  readonly client: (applicationId: string) => Promise<Client>;
  /** Refreshes so far by the grant they were for, with their times. */
  readonly refreshes: Map<string, number[]>;
  readonly most: { inFlight: number };
  lifetimeMs: number;
  /** Thrown instead of an answer. */
  failure: PosternError | undefined;
  /** Runs before each answer. */
  before: (() => Promise<void>) | undefined;
  /** A grant whose tokens end at `expiresAt`. */
  addGrant(options: { readonly expiresAt: number; readonly obtainedAt?: number }): Promise<Grant>;
}

export async function fakeProvider(store: Store, vault: Vault, clock: Clock): Promise<FakeProvider> {
  const application: Application = {
    id: newId('app'),
    name: newId('name'),
    provider: 'microsoft',
    clientId: 'client',
    tenant: undefined,
    settings: {},
    credential: undefined,
    createdAt: clock.now(),
  };
  await store.applications.insert(application);
  const refuse = (): never => {
    throw new Error('not part of this test');
  };
  let inFlight = 0;
  const provider: FakeProvider = {
    client: () => Promise.resolve(client),
    refreshes: new Map(),
    most: { inFlight: 0 },
    lifetimeMs: 3_600_000,
    failure: undefined,
    before: undefined,
    async addGrant({ expiresAt, obtainedAt = clock.now() }) {
      const id = newId('grant');
      const sealed = { accessToken: new Secret('a'), refreshToken: new Secret(id), obtainedAt, expiresAt, scopes: [] };
      const grant: Grant = {
        id,
        applicationId: application.id,
        flow: 'authorization-code',
        identity: `${id}@contoso.test`,
        subject: undefined,
        scopes: [],
        state: { type: 'active', since: obtainedAt, accessExpiresAt: expiresAt },
        tokens: await sealTokens(vault, id, sealed),
        generation: 1,
        createdAt: clock.now(),
        renewAt: 0,
        renewal: { consentedAt: obtainedAt, renewedAt: obtainedAt },
      };
      await store.grants.insert(grant);
      return grant;
    },
  };
  const refresh = async (refreshToken: Secret): Promise<TokenAnswer> => {
    inFlight += 1;
    provider.most.inFlight = Math.max(provider.most.inFlight, inFlight);
    try {
      const grantId = refreshToken.reveal();
      const times = provider.refreshes.get(grantId) ?? [];
      provider.refreshes.set(grantId, [...times, clock.now()]);
      await provider.before?.();
      if (provider.failure) throw provider.failure;
      return {
        accessToken: new Secret(`${grantId}.${times.length}`),
        refreshToken,
        idToken: undefined,
        expiresAt: clock.now() + provider.lifetimeMs,
        scopes: [],
      };
    } finally {
      inFlight -= 1;
    }
  };
  const engine = {
    authorizationUrl: refuse,
    redeem: refuse,
    device: refuse,
    refresh,
    revoke: refuse,
    keySet: refuse,
    appOnly: refuse,
    close: () => Promise.resolve(),
  };
  const client: Client = {
    application,
    profile: resolveProvider(application),
    delegated: engine,
    appOnly: engine,
    http: { request: refuse, close: () => Promise.resolve() },
    close: () => Promise.resolve(),
  };
  return provider;
}
