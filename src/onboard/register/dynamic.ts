/** Dynamic client registration (RFC 7591) at any authorization server whose metadata offers it. */
import { z } from 'zod';
import { scrub, Secret } from '../../base/secret.ts';
import type { Http } from '../../oauth/http.ts';
import { registerError } from './errors.ts';

export interface ServerMetadata {
  readonly issuer: string;
  readonly registrationEndpoint: string | undefined;
  readonly grantTypes: readonly string[];
  readonly scopes: readonly string[];
  readonly deviceAuthorization: boolean;
}

const document = z.object({
  issuer: z.string(),
  token_endpoint: z.string(),
  registration_endpoint: z.string().optional(),
  device_authorization_endpoint: z.string().optional(),
  grant_types_supported: z.array(z.string()).optional(),
  scopes_supported: z.array(z.string()).optional(),
});

/**
 * Reads the metadata: RFC 8414 §3.1 first, then OpenID Connect Discovery §4.
 * @throws register.refused (no metadata there, or it names another issuer), oauth.provider-unreachable, oauth.misconfigured (not https)
 */
export async function readMetadata(http: Http, issuer: string): Promise<ServerMetadata> {
  const base = new URL(issuer);
  const path = base.pathname.replace(/\/$/, '');
  const places = [
    `${base.origin}/.well-known/oauth-authorization-server${path}`,
    `${base.origin}${path}/.well-known/openid-configuration`,
  ];
  for (const place of places) {
    const answer = await http.request(place, { method: 'GET', headers: { accept: 'application/json' } });
    if (answer.status !== 200) continue;
    const parsed = document.safeParse(objectOf(await answer.text()));
    if (!parsed.success) continue;
    const found = parsed.data;
    // RFC 8414 §3.3: the same issuer, or somebody else's metadata is being served.
    if (found.issuer.replace(/\/$/, '') !== issuer.replace(/\/$/, '')) {
      throw registerError('register.refused', `${place} is the metadata of ${found.issuer}`, {
        hint: `use that issuer, if you trust it: ${found.issuer}`,
      });
    }
    return {
      issuer: found.issuer,
      registrationEndpoint: found.registration_endpoint,
      grantTypes: found.grant_types_supported ?? ['authorization_code'],
      scopes: found.scopes_supported ?? [],
      deviceAuthorization: found.device_authorization_endpoint !== undefined,
    };
  }
  throw registerError('register.refused', `${issuer} publishes no metadata`, {
    hint: `open ${places[1]} in a browser: it must answer with JSON`,
  });
}

export interface ClientMetadata {
  readonly client_name: string;
  readonly application_type: 'native';
  readonly redirect_uris: readonly string[];
  readonly response_types: readonly string[];
  readonly grant_types: readonly string[];
  readonly token_endpoint_auth_method: 'none';
  readonly scope?: string;
}

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

/** A public native client (RFC 8252): no secret that every copy would have to hold. */
export function clientMetadata(name: string, server: ServerMetadata, scopes: readonly string[]): ClientMetadata {
  return {
    client_name: name,
    application_type: 'native',
    // RFC 8252 §7.3: the port is any. Both spellings, as servers differ in which they take.
    redirect_uris: ['http://localhost/', 'http://127.0.0.1/'],
    response_types: ['code'],
    grant_types: [
      'authorization_code',
      'refresh_token',
      ...(server.deviceAuthorization && server.grantTypes.includes(DEVICE) ? [DEVICE] : []),
    ],
    token_endpoint_auth_method: 'none',
    ...(scopes.length > 0 ? { scope: scopes.join(' ') } : {}),
  };
}

export interface RegisteredClient {
  readonly clientId: string;
  /** Some servers give one although none was asked for; then it has to be used. */
  readonly clientSecret: Secret | undefined;
  /** Milliseconds since the epoch; undefined for a secret that does not end. */
  readonly secretExpiresAt: number | undefined;
  /** Where the registration can be changed or removed with {@link managementToken} (RFC 7592). */
  readonly managementUri: string | undefined;
  readonly managementToken: Secret | undefined;
}

const answerForm = z.object({
  client_id: z.string().min(1),
  client_secret: z.string().optional(),
  client_secret_expires_at: z.number().optional(),
  registration_client_uri: z.string().optional(),
  registration_access_token: z.string().optional(),
});

/** @throws register.not-offered, register.refused, oauth.provider-unreachable */
export async function registerClient(
  http: Http,
  server: ServerMetadata,
  metadata: ClientMetadata,
  { initialToken }: { readonly initialToken?: Secret | undefined } = {},
): Promise<RegisteredClient> {
  const endpoint = server.registrationEndpoint;
  if (endpoint === undefined)
    throw registerError('register.not-offered', `${server.issuer} does not offer dynamic registration`);
  const answer = await http.request(endpoint, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(initialToken ? { authorization: `Bearer ${initialToken.reveal()}` } : {}),
    },
    body: JSON.stringify(metadata),
  });
  const body = objectOf(await answer.text());
  const parsed = answerForm.safeParse(body);
  // RFC 7591 §3.2.1 says 201; some answer 200.
  if ((answer.status !== 201 && answer.status !== 200) || !parsed.success) {
    const said = [body['error'], body['error_description']].filter((one) => typeof one === 'string').join(': ');
    throw registerError(
      'register.refused',
      `${server.issuer} refused the registration (${answer.status}): ${scrub(said) || 'no reason given'}`,
      {
        detail: { status: answer.status },
      },
    );
  }
  const made = parsed.data;
  const expires = made.client_secret_expires_at ?? 0;
  return {
    clientId: made.client_id,
    clientSecret: made.client_secret === undefined ? undefined : new Secret(made.client_secret),
    secretExpiresAt: expires > 0 ? expires * 1000 : undefined,
    managementUri: made.registration_client_uri,
    managementToken:
      made.registration_access_token === undefined ? undefined : new Secret(made.registration_access_token),
  };
}

function objectOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    // Whoever asked sees that nothing expected is in it.
    return {};
  }
}
