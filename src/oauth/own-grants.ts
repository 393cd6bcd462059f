/**
 * OAuth for a program that keeps its grants itself, without Postern's store: a consent, access tokens that are renewed when they
 * are asked for, and renewed tokens stored before anybody uses them.
 */
import { foldCase } from '../base/case.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import type { Secret } from '../base/secret.ts';
import type { ApplicationSettings } from '../store/application-settings.ts';
import type { Protocol } from '../store/protocols.ts';
import { checkAccessTokenAudience } from './access-token.ts';
import type { ClientCredential } from './application.ts';
import { beginCodeFlow } from './code-flow.ts';
import { type OpenidEngineOptions, openOpenidEngine } from './engine-openid.ts';
import type { DelegatedEngine, DevicePrompt, TokenAnswer } from './engine.ts';
import { oauthError } from './errors.ts';
import { type GrantTokens, tokensOf } from './grant-tokens.ts';
import { openHttp } from './http.ts';
import { verifiedIdentity } from './id-token.ts';
import { resolveProvider } from './provider.ts';
import { LEAST_LEFT_MS, renewOnUseAt } from './schedule.ts';
import { compareScopes, scopesFor } from './scopes.ts';
import type { AccessToken } from './types.ts';

/** A registration at a provider. */
export interface OAuthClientOptions {
  /** `microsoft`, `outlook`, `google`, … (docs/providers.md); `oidc` with `settings.issuer` for any other. */
  readonly provider: string;
  readonly clientId: string;
  /** Microsoft only: id or domain of the directory. */
  readonly tenant?: string;
  /** Public clients have none. */
  readonly credential?: Extract<ClientCredential, { readonly type: 'secret' | 'certificate' | 'federated' }>;
  /** What differs from what is known of the provider: `authority`, `issuer`, `ca`, `scopes`. */
  readonly settings?: ApplicationSettings;
  readonly clock?: Clock;
}

/** Whose mailbox, and what for. */
export interface Consent {
  readonly address: string;
  readonly protocols: readonly Protocol[];
}

/** What a program stores of a grant: `refreshToken.reveal()`, where nobody else can read it, is enough. */
export type OwnTokens = GrantTokens & { readonly refreshToken: Secret };

/**
 * What is asked of the provider @throws oauth.provider-unreachable, oauth.provider-busy (later), oauth.needs-consent,
 * oauth.admin-consent (denied), oauth.misconfigured (misuse), oauth.provider-garbled.
 */
export interface OAuthClient {
  /**
   * By browser: send the person to `url`, and give `finish` the address the browser comes back to.
   * @throws also oauth.wrong-identity, oauth.scope-missing, oauth.id-token-invalid, oauth.redirect-mismatch, oauth.consent-declined
   */
  consent(
    request: Consent & { readonly redirectUri: string },
  ): Promise<{ readonly url: URL; finish(answer: URL): Promise<OwnTokens> }>;
  /** By device code (RFC 8628). @throws as `consent`, and oauth.flow-unavailable, oauth.consent-expired */
  device(
    request: Consent & { readonly show: (prompt: DevicePrompt) => void; readonly signal: AbortSignal },
  ): Promise<OwnTokens>;
  /**
   * Keeps a grant alive. One holder for each grant: where refresh tokens rotate, two would void each other's.
   * @param grant.tokens what a consent gave, or what the program stored
   * @param grant.save is given every renewed set, and the access token goes out once it has resolved
   */
  hold(grant: {
    readonly protocols: readonly Protocol[];
    readonly tokens: OwnTokens | Pick<OwnTokens, 'refreshToken'>;
    readonly save: (tokens: OwnTokens) => Promise<void>;
  }): HeldGrant;
  close(): Promise<void>;
}

export interface HeldGrant {
  /** A token good for at least a minute; callers at the same time share one renewal. @throws also oauth.wrong-audience, and what `save` throws */
  accessToken(): Promise<Omit<AccessToken, 'grantId'>>;
  /** A mail server refused this token although it looked valid: the next call renews. */
  reject(token: Pick<AccessToken, 'value'>): void;
}

/** Asks nobody until it has to. @throws oauth.unknown-provider, oauth.misconfigured */
export function openOAuthClient(options: OAuthClientOptions): OAuthClient {
  const { provider, clientId, tenant, credential, settings = {}, clock = systemClock } = options;
  const profile = resolveProvider({ name: clientId, provider, tenant, settings });
  const http = openHttp({ ca: profile.ca });
  const delegated = openOpenidEngine({ profile, clientId, credential, http, clock });
  const client: Client = { profile, delegated, http, clientId, clock };
  return {
    async consent({ address, protocols, redirectUri }) {
      const scopes = scopesFor(profile, protocols);
      const { url, nonce, redeem } = await beginCodeFlow(delegated, { redirectUri, scopes, loginHint: address });
      return {
        url,
        finish: async (answer) => accepted(client, await redeem(answer), { address, scopes, nonce }),
      };
    },
    async device({ address, protocols, show, signal }) {
      const scopes = scopesFor(profile, protocols);
      const answer = await delegated.device(scopes, show, signal);
      return accepted(client, answer, { address, scopes, nonce: undefined });
    },
    hold: ({ protocols, tokens, save }) => new Held(client, scopesFor(profile, protocols), tokens, save),
    close: () => delegated.close(),
  };
}

interface Client extends Omit<OpenidEngineOptions, 'credential'> {
  readonly delegated: DelegatedEngine;
}

/** The right person granted everything that was asked for, for as long as it takes. */
async function accepted(
  client: Client,
  answer: TokenAnswer,
  asked: { readonly address: string; readonly scopes: readonly string[]; readonly nonce: string | undefined },
): Promise<OwnTokens> {
  const identity = await verifiedIdentity(answer, { ...client, nonce: asked.nonce }, client.clock);
  if (identity && !identity.addresses.includes(foldCase(asked.address)))
    throw oauthError(
      'oauth.wrong-identity',
      `${identity.addresses[0] ?? 'an account without an address'} signed in, but ${asked.address} was expected`,
      { detail: { signedIn: identity.addresses, expected: asked.address } },
    );
  const { refreshToken } = answer;
  const { missing } = compareScopes(asked.scopes, answer.scopes);
  if (missing.length > 0 || !refreshToken)
    throw oauthError('oauth.scope-missing', 'the provider did not grant everything that was asked for', {
      detail: { missing: refreshToken ? missing : [...missing, 'offline_access'], granted: answer.scopes },
    });
  checkAccessTokenAudience(answer.accessToken, client.profile);
  return { ...tokensOf(answer, undefined, client.clock.now()), refreshToken };
}

class Held implements HeldGrant {
  readonly #client: Client;
  readonly #scopes: readonly string[];
  readonly #save: (tokens: OwnTokens) => Promise<void>;
  #refreshToken: Secret;
  #current: OwnTokens | undefined;
  /** A rotated refresh token that is stored nowhere yet exists only here. */
  #unsaved: OwnTokens | undefined;
  #renewal: Promise<OwnTokens> | undefined;

  constructor(
    client: Client,
    scopes: readonly string[],
    tokens: OwnTokens | Pick<OwnTokens, 'refreshToken'>,
    save: (tokens: OwnTokens) => Promise<void>,
  ) {
    this.#client = client;
    this.#scopes = scopes;
    this.#save = save;
    this.#refreshToken = tokens.refreshToken;
    this.#current = 'accessToken' in tokens ? tokens : undefined;
  }

  async accessToken(): Promise<Omit<AccessToken, 'grantId'>> {
    const { clock, clientId } = this.#client;
    const held = this.#current;
    if (held && clock.now() < renewOnUseAt(clientId, held)) return given(held);
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined));
    try {
      return given(await this.#renewal);
    } catch (error) {
      // While the token lasts, an outage is no reason to keep anybody from the mailbox.
      if (held && asError(error).kind === 'later' && held.expiresAt - clock.now() >= LEAST_LEFT_MS) return given(held);
      throw error;
    }
  }

  reject({ value }: Pick<AccessToken, 'value'>): void {
    if (this.#current?.accessToken.reveal() === value.reveal()) this.#current = undefined;
  }

  async #renew(): Promise<OwnTokens> {
    const { delegated, profile, clock, clientId } = this.#client;
    if (this.#unsaved) {
      const kept = await this.#keep(this.#unsaved);
      if (clock.now() < renewOnUseAt(clientId, kept)) return kept;
    }
    const refreshToken = this.#refreshToken;
    const answer = await delegated.refresh(refreshToken, this.#scopes);
    const renewed = tokensOf(answer, { refreshToken }, clock.now());
    this.#unsaved = { ...renewed, refreshToken: renewed.refreshToken ?? refreshToken };
    const kept = await this.#keep(this.#unsaved);
    checkAccessTokenAudience(kept.accessToken, profile);
    return kept;
  }

  async #keep(tokens: OwnTokens): Promise<OwnTokens> {
    await this.#save(tokens);
    this.#unsaved = undefined;
    this.#refreshToken = tokens.refreshToken;
    this.#current = tokens;
    return tokens;
  }
}

const given = ({ accessToken: value, expiresAt, scopes }: OwnTokens): Omit<AccessToken, 'grantId'> => ({
  value,
  expiresAt,
  scopes,
});
