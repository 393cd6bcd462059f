/** The instance metadata endpoint that gives a virtual machine its managed identity's tokens (IMDS, api-version 2018-02-01). */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { EXCHANGE_AUDIENCE, exchangeOnline, resources, TENANT_ID } from './directory.ts';
import type { Platform } from './platform.ts';
import { issueAppOnly, issuer, signJwt } from './tokens.ts';

const METADATA_PATH = '/metadata/identity/oauth2/token';

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, string>>;
}

/** Plain HTTP like the real one, which is only reachable from the machine itself. The caller listens and closes. */
export function createMetadataServer(platform: Platform): Server {
  return createServer((request, response) => {
    request.resume();
    const { status, body } = answer(platform, request);
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
    response.end(JSON.stringify(body));
  });
}

function answer(platform: Platform, request: IncomingMessage): Answer {
  const url = URL.parse(request.url ?? '/', 'http://metadata');
  if (url === null) return failure(400, 'bad_request', 'the request target is no URL');
  // MSAL puts a slash at the end.
  if (url.pathname.replace(/\/$/, '') !== METADATA_PATH) return failure(404, 'not_found', 'no such resource');
  if (request.method !== 'GET') return failure(405, 'method_not_allowed', 'use GET');
  // The header keeps forged requests out; a forwarded one has passed a proxy, which must not happen.
  if (request.headers.metadata?.toString().toLowerCase() !== 'true' || 'x-forwarded-for' in request.headers)
    return failure(400, 'bad_request_102', 'Required metadata header not specified');
  if (!url.searchParams.has('api-version'))
    return failure(400, 'invalid_request', 'Required query variable api-version is missing');
  const resource = url.searchParams.get('resource')?.replace(/\/$/, '');
  if (!resource) return failure(400, 'invalid_request', 'Required query variable resource is missing');
  const identity = platform.applications.managedIdentity;
  const wanted = ['client_id', 'object_id', 'principal_id']
    .map((name) => url.searchParams.get(name))
    .find((id) => id !== null);
  if (wanted !== undefined && wanted !== identity.id && wanted !== identity.objectId)
    return failure(400, 'invalid_request', 'Identity not found');
  return issue(platform, resource);
}

function issue(platform: Platform, resource: string): Answer {
  const identity = platform.applications.managedIdentity;
  const now = Math.floor(platform.clock.now() / 1000);
  let token: string;
  let lifetime = 86_399;
  if (resource === EXCHANGE_AUDIENCE) token = exchangeToken(platform, now, lifetime);
  else {
    const known = resources.find((candidate) => candidate.audiences.includes(resource));
    if (!known)
      return failure(
        400,
        'invalid_resource',
        `AADSTS500011: The resource principal named ${resource} was not found in the tenant.`,
      );
    const issued = issueAppOnly(
      platform,
      known === exchangeOnline ? identity : { ...identity, roles: identity.graphRoles },
      resource,
    );
    token = issued.access_token;
    lifetime = issued.expires_in;
  }
  return {
    status: 200,
    body: {
      access_token: token,
      client_id: identity.id,
      expires_in: String(lifetime),
      expires_on: String(now + lifetime),
      ext_expires_in: String(lifetime),
      not_before: String(now - 300),
      resource,
      token_type: 'Bearer',
    },
  };
}

/** The token that a federated client presents as its assertion. */
function exchangeToken(platform: Platform, now: number, lifetime: number): string {
  const { managedIdentity } = platform.applications;
  return signJwt(platform.signingKey, {
    aud: EXCHANGE_AUDIENCE,
    iss: issuer(platform.origin),
    sub: managedIdentity.objectId,
    oid: managedIdentity.objectId,
    azp: managedIdentity.id,
    tid: TENANT_ID,
    iat: now,
    nbf: now - 300,
    exp: now + lifetime,
    ver: '2.0',
  });
}

function failure(status: number, error: string, description: string): Answer {
  return { status, body: { error, error_description: description } };
}
