/** The engine of every delegated grant and every standard provider, on `openid-client`. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { importPKCS8 } from 'jose';
import * as oidc from 'openid-client';
import type { Clock } from '../base/clock.ts';
import { objectIn } from '../base/http-answer.ts';
import { isError, type PosternError } from '../base/error.ts';
import { scrub, type Secret } from '../base/secret.ts';
import { shellWord } from '../base/shell.ts';
import { errorFrom, type HttpAnswer, tokensFrom } from './answer.ts';
import type { ClientCredential } from './application.ts';
import type { CodeRedemption, DelegatedEngine, DevicePrompt, TokenAnswer } from './engine.ts';
import { oauthError } from './errors.ts';
import type { Http } from './http.ts';
import type { ProviderProfile } from './provider.ts';
import { serviceAccountAssertion } from './service-account-assertion.ts';

export interface OpenidEngineOptions {
  readonly profile: ProviderProfile;
  readonly clientId: string;
  readonly credential: ClientCredential | undefined;
  readonly http: Http;
  readonly clock: Clock;
}

/** Talks to nobody until it is asked to. */
export function openOpenidEngine(options: OpenidEngineOptions): DelegatedEngine {
  return new OpenidEngine(options);
}

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const JWT_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const METADATA_LIFETIME_MS = 60 * 60_000;

/** What one call saw on the wire: openid-client's errors keep less than we want to show. */
interface Exchange {
  answer: HttpAnswer | undefined;
  failure: PosternError | undefined;
}

class OpenidEngine implements DelegatedEngine {
  readonly #options: OpenidEngineOptions;
  #metadata: { readonly at: number; readonly value: Promise<oidc.ServerMetadata> } | undefined;

  constructor(options: OpenidEngineOptions) {
    this.#options = options;
  }

  async authorizationUrl(request: Parameters<DelegatedEngine['authorizationUrl']>[0]): Promise<URL> {
    const parameters = {
      redirect_uri: request.redirectUri,
      scope: request.scopes.join(' '),
      state: request.state,
      nonce: request.nonce,
      code_challenge: request.codeChallenge,
      code_challenge_method: 'S256',
      login_hint: request.loginHint,
      ...this.#options.profile.extraParameters,
    };
    return this.#call(async (config) =>
      config.serverMetadata().require_pushed_authorization_requests
        ? oidc.buildAuthorizationUrlWithPAR(config, parameters)
        : oidc.buildAuthorizationUrl(config, parameters),
    );
  }

  async redeem(redemption: CodeRedemption): Promise<TokenAnswer> {
    // openid-client derives the redirect_uri it repeats from this address (RFC 6749 §4.1.3), so it must be the one we sent.
    const answer = new URL(redemption.redirectUri);
    answer.search = redemption.answer.search;
    const issuer = answer.searchParams.get('iss');
    if (issuer !== null && this.#options.profile.issuer.includes('{tenantid}')) {
      if (!matchesTemplate(issuer, this.#options.profile.issuer)) throw mismatch('the answer names another issuer');
      answer.searchParams.delete('iss');
    }
    return this.#tokens(redemption.scopes, (config) =>
      oidc.authorizationCodeGrant(config, answer, {
        expectedState: redemption.state,
        pkceCodeVerifier: redemption.codeVerifier,
      }),
    );
  }

  refresh(refreshToken: Secret, scopes: readonly string[]): Promise<TokenAnswer> {
    return this.#tokens(scopes, (config) =>
      oidc.refreshTokenGrant(config, refreshToken.reveal(), scopes.length > 0 ? { scope: scopes.join(' ') } : {}),
    );
  }

  appOnly(scopes: readonly string[], subject?: string): Promise<TokenAnswer> {
    const { credential, clock } = this.#options;
    if (credential?.type === 'service-account') {
      return this.#tokens(scopes, async (config) =>
        oidc.genericGrantRequest(config, JWT_GRANT, {
          assertion: await serviceAccountAssertion(credential, {
            audience: config.serverMetadata().token_endpoint!,
            subject,
            scopes,
            now: clock.now(),
          }),
        }),
      );
    }
    return this.#tokens(scopes, (config) =>
      oidc.clientCredentialsGrant(config, scopes.length > 0 ? { scope: scopes.join(' ') } : {}),
    );
  }

  async device(
    scopes: readonly string[],
    show: (prompt: DevicePrompt) => void,
    signal: AbortSignal,
  ): Promise<TokenAnswer> {
    const { clock, profile } = this.#options;
    const started = await this.#call(async (config) => {
      if (!config.serverMetadata().device_authorization_endpoint) {
        throw oauthError('oauth.flow-unavailable', `${profile.preset.name} offers no device code`);
      }
      return oidc.initiateDeviceAuthorization(config, { scope: scopes.join(' ') });
    });
    const expiresAt = clock.now() + started.expires_in * 1000;
    const words = started['message'];
    show({
      userCode: started.user_code,
      verificationUri: started.verification_uri,
      expiresAt,
      message:
        typeof words === 'string'
          ? words
          : `open ${started.verification_uri} in a browser and enter the code ${started.user_code}`,
    });
    // RFC 8628 §3.5: five seconds when unstated, five more after each slow_down, twice as long after a time-out.
    let waitMs = (started.interval ?? 5) * 1000;
    for (;;) {
      await clock.sleep(waitMs, signal);
      if (clock.now() >= expiresAt) throw oauthError('oauth.consent-expired', 'nobody entered the code in time');
      try {
        return await this.#tokens(scopes, (config) =>
          oidc.genericGrantRequest(config, DEVICE_GRANT, { device_code: started.device_code }),
        );
      } catch (error) {
        if (!isError(error)) throw error;
        const reason = error.detail['error'];
        if (reason === 'slow_down') waitMs += 5000;
        else if (reason === 'authorization_pending') continue;
        else if (error.kind === 'later') waitMs = Math.min(waitMs * 2, 60_000);
        else throw error;
      }
    }
  }

  async revoke(token: Secret, kind: 'refresh_token' | 'access_token'): Promise<'revoked' | 'not-offered'> {
    return this.#call(async (config) => {
      if (!config.serverMetadata().revocation_endpoint) return 'not-offered';
      await oidc.tokenRevocation(config, token.reveal(), { token_type_hint: kind });
      return 'revoked';
    });
  }

  async keySet(): Promise<string | undefined> {
    return (await this.#serverMetadata()).jwks_uri;
  }

  close(): Promise<void> {
    return this.#options.http.close();
  }

  async #tokens(
    asked: readonly string[],
    work: (config: oidc.Configuration) => Promise<unknown>,
  ): Promise<TokenAnswer> {
    const exchange: Exchange = { answer: undefined, failure: undefined };
    await this.#call(work, exchange);
    if (!exchange.answer) throw oauthError('oauth.provider-garbled', 'the provider gave no token answer');
    return tokensFrom(exchange.answer, asked, this.#options.clock);
  }

  /** Runs one openid-client call and turns what it throws into our errors, from what was seen on the wire where possible. */
  async #call<T>(
    work: (config: oidc.Configuration) => Promise<T>,
    exchange: Exchange = { answer: undefined, failure: undefined },
  ): Promise<T> {
    const config = new oidc.Configuration(
      await this.#serverMetadata(),
      this.#options.clientId,
      {},
      await this.#clientAuthentication(),
    );
    // The HTTP client below has its own, longer limit.
    config.timeout = 0;
    config[oidc.customFetch] = (url, request) => this.#fetch(url, request, exchange);
    try {
      return await work(config);
    } catch (error) {
      throw this.#explain(error, exchange);
    }
  }

  async #fetch(url: string, request: oidc.CustomFetchOptions, exchange: Exchange): Promise<Response> {
    try {
      const response = await this.#options.http.request(url, {
        method: request.method,
        headers: request.headers,
        body: request.body instanceof URLSearchParams ? request.body.toString() : textOf(request.body),
      });
      const text = await response.text();
      const body = objectIn(text);
      exchange.answer = { status: response.status, headers: Object.fromEntries(response.headers), body };
      // ID tokens are verified by id-token.ts, which knows Microsoft's issuer template; openid-client would refuse it.
      const shown = body && 'id_token' in body ? JSON.stringify({ ...body, id_token: undefined }) : text;
      const empty = response.status === 204 || response.status === 304;
      return new Response(empty ? null : shown, { status: response.status, headers: response.headers });
    } catch (error) {
      if (isError(error)) exchange.failure = error;
      throw error;
    }
  }

  #explain(error: unknown, exchange: Exchange): unknown {
    if (isError(error)) return error;
    if (exchange.failure) return exchange.failure;
    if (exchange.answer && exchange.answer.status >= 400) return errorFrom(exchange.answer, this.#options.clock);
    if (error instanceof oidc.AuthorizationResponseError) {
      return errorFrom(
        { status: 400, headers: {}, body: { error: error.error, error_description: error.error_description } },
        this.#options.clock,
      );
    }
    const text = error instanceof Error ? scrub(error.message) : String(error);
    const code = error instanceof oidc.ClientError ? error.code : undefined;
    // Before any request was made, what is wrong is the answer the browser brought.
    if (!exchange.answer && code !== undefined) return mismatch(text, error);
    return oauthError('oauth.provider-garbled', `the provider’s answer is not valid: ${text}`, {
      detail: { ...(code ? { code } : {}), ...(exchange.answer ? { status: exchange.answer.status } : {}) },
      cause: error,
    });
  }

  async #serverMetadata(): Promise<oidc.ServerMetadata> {
    const { profile, clock } = this.#options;
    if (profile.endpoints) {
      const { authorization, token, deviceAuthorization, jwks, revocation } = profile.endpoints;
      return {
        issuer: profile.issuer,
        authorization_endpoint: authorization,
        token_endpoint: token,
        ...(deviceAuthorization ? { device_authorization_endpoint: deviceAuthorization } : {}),
        ...(jwks ? { jwks_uri: jwks } : {}),
        ...(revocation ? { revocation_endpoint: revocation } : {}),
      };
    }
    if (!this.#metadata || clock.now() - this.#metadata.at > METADATA_LIFETIME_MS) {
      const value = this.#discover();
      this.#metadata = { at: clock.now(), value };
      value.catch(() => {
        this.#metadata = undefined;
      });
    }
    return this.#metadata.value;
  }

  /** OpenID Connect Discovery, then RFC 8414 where the server has only that. */
  async #discover(): Promise<oidc.ServerMetadata> {
    for (const algorithm of ['oidc', 'oauth2'] as const) {
      const exchange: Exchange = { answer: undefined, failure: undefined };
      try {
        const config = await oidc.discovery(
          new URL(this.#options.profile.issuer),
          this.#options.clientId,
          {},
          oidc.None(),
          {
            algorithm,
            timeout: 60,
            [oidc.customFetch]: (url, request) => this.#fetch(url, request, exchange),
          },
        );
        return config.serverMetadata();
      } catch (error) {
        if (algorithm === 'oidc' && exchange.answer?.status === 404) continue;
        if (exchange.answer && exchange.answer.status < 500 && exchange.answer.status !== 429) {
          throw oauthError('oauth.misconfigured', `${this.#options.profile.issuer} describes no authorization server`, {
            detail: {
              status: exchange.answer.status,
              reason: error instanceof Error ? scrub(error.message) : String(error),
            },
            hint: 'check the issuer: its /.well-known/openid-configuration must name the same issuer',
          });
        }
        throw this.#explain(error, exchange);
      }
    }
    throw oauthError('oauth.misconfigured', `${this.#options.profile.issuer} describes no authorization server`);
  }

  async #clientAuthentication(): Promise<oidc.ClientAuth> {
    const { credential, profile } = this.#options;
    switch (credential?.type) {
      case 'managed-identity':
        throw oauthError('oauth.flow-unavailable', 'managed identities exist only at Microsoft, for app-only tokens');
      case 'secret': {
        const methods = (await this.#serverMetadata()).token_endpoint_auth_methods_supported;
        const basicOnly = methods?.includes('client_secret_basic') && !methods.includes('client_secret_post');
        return (basicOnly ? oidc.ClientSecretBasic : oidc.ClientSecretPost)(credential.secret.reveal());
      }
      case 'certificate':
        return certificateAuthentication(credential, profile.microsoft ? profile.endpoints?.token : undefined);
      case 'federated': {
        const assertion = await readAssertion(credential.assertionFile);
        return (_server, client, body) => {
          body.set('client_id', client.client_id);
          body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
          body.set('client_assertion', assertion);
        };
      }
      case 'service-account':
        // The assertion is grant and authentication in one (RFC 7523 §3.1); Google takes no client_id beside it.
        return () => undefined;
      case undefined:
        break;
    }
    return oidc.None();
  }
}

/** RFC 7523 with PS256 and the certificate's SHA-256 thumbprint. Microsoft wants the token endpoint as `aud`, others the issuer. */
async function certificateAuthentication(
  credential: Extract<ClientCredential, { type: 'certificate' }>,
  audience: string | undefined,
): Promise<oidc.ClientAuth> {
  const pem = createPrivateKey(credential.privateKey.reveal()).export({ type: 'pkcs8', format: 'pem' }).toString();
  const key = await importPKCS8(pem, 'PS256');
  const thumbprint = certificateThumbprint(credential.certificatePem);
  return oidc.PrivateKeyJwt(key, {
    [oidc.modifyAssertion]: (header, payload) => {
      header['typ'] = 'JWT';
      header['x5t#S256'] = thumbprint;
      if (audience) payload['aud'] = audience;
    },
  });
}

/** RFC 7515 §4.1.8: base64url of the SHA-256 of the DER certificate. */
export function certificateThumbprint(certificatePem: string): string {
  const hex = new X509Certificate(certificatePem).fingerprint256.replaceAll(':', '');
  return Buffer.from(hex, 'hex').toString('base64url');
}

/** @throws oauth.misconfigured (file missing or empty) */
export async function readAssertion(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw oauthError('oauth.misconfigured', `the assertion file ${shellWord(path)} cannot be read`, {
      cause,
      hint: 'check the path and that this process may read it',
    });
  });
  if (text.trim()) return text.trim();
  throw oauthError('oauth.misconfigured', `the assertion file ${shellWord(path)} is empty`);
}

function matchesTemplate(issuer: string, template: string): boolean {
  const [before = '', after = ''] = template.split('{tenantid}');
  return (
    issuer.startsWith(before) &&
    issuer.endsWith(after) &&
    /^[0-9a-f-]{36}$/i.test(issuer.slice(before.length, issuer.length - after.length))
  );
}

function mismatch(text: string, cause?: unknown): PosternError {
  return oauthError('oauth.redirect-mismatch', `the answer from the sign-in page was refused: ${text}`, { cause });
}

function textOf(body: oidc.FetchBody): string | null {
  if (body === null || body === undefined) return null;
  if (typeof body === 'string') return body;
  if (body instanceof Uint8Array) return Buffer.from(body).toString('utf8');
  throw new TypeError('unexpected kind of request body');
}
