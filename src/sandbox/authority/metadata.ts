/** Discovery documents and keys (OpenID Connect Discovery §3, RFC 8414, RFC 7517). */
import { TENANT_ID } from './directory.ts';
import { resolveTenant, type Platform, type Tenant } from './platform.ts';
import { issuer } from './tokens.ts';

/** A host that never resolves (RFC 2606 §2). */
const UNRESOLVABLE = 'login.unresolvable.invalid';

/** `/{tenant}/v2.0/.well-known/openid-configuration`. For `common` the issuer keeps Microsoft's literal placeholder. */
export function discovery(platform: Platform, segment: string): Readonly<Record<string, unknown>> {
  const tenant = resolveTenant(segment);
  const base = `${platform.origin}/${tenant.type === 'any' ? tenant.name : TENANT_ID}`;
  const lost = platform.faults.bite('dns-failure', { place: 'authority' });
  return {
    token_endpoint: `${lost ? `https://${UNRESOLVABLE}/${TENANT_ID}` : base}/oauth2/v2.0/token`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    jwks_uri: `${base}/discovery/v2.0/keys`,
    response_modes_supported: ['query', 'fragment', 'form_post'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['code'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    issuer: tenant.type === 'any' ? `${platform.origin}/{tenantid}/v2.0` : issuer(platform.origin),
    request_uri_parameter_supported: false,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    device_authorization_endpoint: `${base}/oauth2/v2.0/devicecode`,
    ...(platform.options.revocation === true ? { revocation_endpoint: `${base}/oauth2/v2.0/revoke` } : {}),
    http_logout_supported: true,
    frontchannel_logout_supported: true,
    end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'nonce', 'preferred_username', 'name', 'tid', 'ver', 'email'],
    code_challenge_methods_supported: ['plain', 'S256'],
    tenant_region_scope: null,
    cloud_instance_name: new URL(platform.origin).host,
  };
}

/** The signing key; like Microsoft's, with the issuer it belongs to. */
export function keySet(platform: Platform, tenant: Tenant): Readonly<Record<string, unknown>> {
  const { kid, publicKey } = platform.signingKey;
  const jwk = publicKey.export({ format: 'jwk' });
  const owner = tenant.type === 'any' ? `${platform.origin}/{tenantid}/v2.0` : issuer(platform.origin);
  return { keys: [{ ...jwk, use: 'sig', alg: 'RS256', kid, x5t: kid, issuer: owner }] };
}

/** `/common/discovery/instance`: tells MSAL that this host is one cloud of its own. */
export function instanceDiscovery(platform: Platform): Readonly<Record<string, unknown>> {
  const { host } = new URL(platform.origin);
  return {
    tenant_discovery_endpoint: `${platform.origin}/${TENANT_ID}/v2.0/.well-known/openid-configuration`,
    'api-version': '1.1',
    metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
  };
}
