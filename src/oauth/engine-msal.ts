/**
 * App-only tokens at Microsoft with Microsoft's own library: client secret, certificate (PS256, x5t#S256), federated
 * assertion, managed identity. Its caches and throttle live in an instance, so every request gets a new one: the vault is
 * the only cache, and the grant's lease already keeps requests single. The library is loaded on first use (8 MB).
 */
import type { INetworkModule, NetworkRequestOptions, NetworkResponse } from '@azure/msal-node';
import type { Clock } from '../base/clock.ts';
import { isError, type PosternError } from '../base/error.ts';
import { scrub } from '../base/secret.ts';
import { errorFrom, type HttpAnswer, tokensFrom } from './answer.ts';
import type { ClientCredential } from './application.ts';
import { certificateThumbprint, type OpenidEngineOptions, readAssertion } from './engine-openid.ts';
import type { TokenAnswer, TokenEngine } from './engine.ts';
import { oauthError } from './errors.ts';
import type { Http } from './http.ts';

/** `http` is for the authority. */
export interface MsalEngineOptions extends OpenidEngineOptions {
  readonly credential: ClientCredential;
  /** For managed identity endpoints, which are plain http on the machine itself. */
  readonly localHttp: Http;
}

export function openMsalEngine(options: MsalEngineOptions): TokenEngine {
  return {
    appOnly: (scopes) =>
      options.credential.type === 'managed-identity'
        ? managedIdentity(options, scopes)
        : clientCredentials(options, scopes),
    close: async () => {
      await options.http.close();
      await options.localHttp.close();
    },
  };
}

async function clientCredentials(options: MsalEngineOptions, scopes: readonly string[]): Promise<TokenAnswer> {
  const { profile, clientId, credential } = options;
  const { authority, endpoints } = profile;
  if (!authority || !endpoints) throw oauthError('oauth.flow-unavailable', 'this engine serves Microsoft only');
  const { ConfidentialClientApplication } = await import('@azure/msal-node');
  const network = new Network(options.http);
  return exchange(network, options, scopes, async () => {
    const application = new ConfidentialClientApplication({
      auth: {
        clientId,
        authority,
        ...(await authentication(credential)),
        // Known here, so the library asks nobody where to go.
        knownAuthorities: [new URL(authority).host],
        authorityMetadata: JSON.stringify({
          issuer: profile.issuer,
          authorization_endpoint: endpoints.authorization,
          token_endpoint: endpoints.token,
          jwks_uri: endpoints.jwks,
        }),
      },
      system: { networkClient: network, disableInternalRetries: true },
    });
    return application.acquireTokenByClientCredential({ scopes: [...scopes], skipCache: true });
  });
}

async function authentication(credential: ClientCredential) {
  switch (credential.type) {
    case 'managed-identity':
      throw oauthError('oauth.flow-unavailable', 'a managed identity needs no client authentication');
    case 'service-account':
      throw oauthError('oauth.flow-unavailable', 'service accounts exist only at Google');
    case 'secret':
      return { clientSecret: credential.secret.reveal() };
    case 'certificate':
      return {
        clientCertificate: {
          thumbprintSha256: Buffer.from(certificateThumbprint(credential.certificatePem), 'base64url').toString('hex'),
          privateKey: credential.privateKey.reveal(),
        },
      };
    case 'federated':
      break;
  }
  return { clientAssertion: await readAssertion(credential.assertionFile) };
}

async function managedIdentity(options: MsalEngineOptions, scopes: readonly string[]): Promise<TokenAnswer> {
  const credential = options.credential as Extract<ClientCredential, { type: 'managed-identity' }>;
  const { ManagedIdentityApplication } = await import('@azure/msal-node');
  const network = new Network(options.localHttp);
  // Managed identity endpoints take a resource, not scopes.
  const resource = (scopes[0] ?? '').replace(/\/\.default$/, '');
  return exchange(network, options, scopes, () =>
    new ManagedIdentityApplication({
      ...(credential.clientId ? { managedIdentityIdParams: { userAssignedClientId: credential.clientId } } : {}),
      system: { networkClient: network, disableInternalRetries: true },
    }).acquireToken({ resource, forceRefresh: true }),
  );
}

/** Runs the library and judges by what was on the wire, which says more than the library's errors do. */
async function exchange(
  network: Network,
  options: MsalEngineOptions,
  scopes: readonly string[],
  work: () => Promise<unknown>,
): Promise<TokenAnswer> {
  let thrown: unknown;
  try {
    await work();
  } catch (error) {
    thrown = error;
  }
  if (isError(thrown)) throw thrown;
  if (network.failure) throw network.failure;
  if (network.last && network.last.status >= 400) throw errorFrom(network.last, options.clock);
  if (thrown !== undefined || !network.last) {
    const text = thrown instanceof Error ? scrub(thrown.message) : String(thrown);
    throw oauthError('oauth.misconfigured', `Microsoft’s library refused to ask for a token: ${text}`, {
      cause: thrown,
    });
  }
  return tokensFrom(normalised(network.last, options.clock), scopes, options.clock);
}

/** App Service gives `expires_on` (seconds since the epoch, as text) and no `expires_in`. */
function normalised(answer: HttpAnswer, clock: Clock): HttpAnswer {
  const on = Number(answer.body?.['expires_on']);
  if (answer.body?.['expires_in'] !== undefined || !Number.isFinite(on)) return answer;
  return { ...answer, body: { ...answer.body, expires_in: on - Math.floor(clock.now() / 1000) } };
}

/** The library's network module over our HTTP, remembering the last answer. */
class Network implements INetworkModule {
  readonly #http: Http;
  last: HttpAnswer | undefined;
  failure: PosternError | undefined;

  constructor(http: Http) {
    this.#http = http;
  }

  sendGetRequestAsync<T>(url: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    return this.#send(url, 'GET', options);
  }

  sendPostRequestAsync<T>(url: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    return this.#send(url, 'POST', options);
  }

  async #send<T>(url: string, method: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    this.last = undefined;
    this.failure = undefined;
    try {
      const response = await this.#http.request(url, {
        method,
        headers: options?.headers ?? {},
        body: method === 'POST' ? (options?.body ?? '') : null,
      });
      const headers = Object.fromEntries(response.headers);
      const body: unknown = await response.json().catch(() => ({}));
      this.last = { status: response.status, headers, body: body as Record<string, unknown> };
      return { status: response.status, headers, body: body as T };
    } catch (error) {
      if (isError(error)) this.failure = error;
      throw error;
    }
  }
}
