/** What every endpoint of the authority works with. */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { FaultBoard } from '../faults/board.ts';
import { refuse } from './aadsts.ts';
import { TENANT_DOMAIN, TENANT_ID, type ApplicationName, type RegisteredApplication } from './directory.ts';
import type { SigningKey } from './keys.ts';
import type { AuthorityState } from './state.ts';

export interface AuthorityOptions {
  /**
   * `microsoft`: the old refresh token keeps working after a new one was issued. `strict`: its second use is refused and
   * kills the grant (RFC 9700 §4.14.2), as many other providers do.
   */
  readonly rotation: 'microsoft' | 'strict';
  /** Whether one client assertion may be presented twice. Microsoft allows it and MSAL relies on it (RFC 7523 §3 item 7). */
  readonly assertionReuse: 'microsoft' | 'strict';
  /** Seconds an access token lives; undefined for Microsoft's random 60 to 90 minutes. */
  readonly tokenLifetime: number | undefined;
  /** Seconds between polls that device-code clients are told. */
  readonly deviceInterval: number;
  /** Whether tokens can be revoked (RFC 7009), as at many other providers; Microsoft has no endpoint for it. */
  readonly revocation?: boolean | undefined;
}

/** One request at the token endpoint, as tests see it: never a secret. */
export interface TokenRequestRecord {
  readonly at: Date;
  readonly grantType: string;
  /** Client id as sent. */
  readonly client: string;
  readonly scope: string;
  /** `issued` or the OAuth error with its AADSTS code. */
  readonly outcome: string;
}

/** The answer a test ordered for coming token requests. */
export interface OrderedFailure {
  readonly status: number;
  /** OAuth error name; without it the body is not JSON, as from a proxy that broke. */
  readonly error?: string;
  readonly description?: string;
  readonly suberror?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** How many requests; 1 unless given. */
  readonly times?: number;
}

export interface Platform {
  /** `https://localhost:PORT`, without a slash at the end. */
  readonly origin: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signingKey: SigningKey;
  readonly applications: Readonly<Record<ApplicationName, RegisteredApplication>>;
  readonly state: AuthorityState;
  options: AuthorityOptions;
  readonly requests: TokenRequestRecord[];
  readonly failures: OrderedFailure[];
  readonly faults: FaultBoard;
}

/** The tenant part of a path: our GUID or domain, or one of the names that stand for any tenant. */
export type Tenant = { readonly type: 'contoso' } | { readonly type: 'any'; readonly name: 'common' | 'organizations' };

/** @throws sandbox.refused 90002 */
export function resolveTenant(segment: string): Tenant {
  const name = segment.toLowerCase();
  if (name === TENANT_ID || name === TENANT_DOMAIN) return { type: 'contoso' };
  if (name === 'common' || name === 'organizations') return { type: 'any', name };
  throw refuse(90002, { tenant: segment });
}

/** @throws sandbox.refused 900144, 700016, 7000112 */
export function findApplication(platform: Platform, id: string | undefined): RegisteredApplication {
  if (id === undefined || id === '') throw refuse(900144, { parameter: 'client_id' });
  const application = Object.values(platform.applications).find((candidate) => candidate.id === id.toLowerCase());
  if (!application) throw refuse(700016, { client: id });
  if (application.disabled) throw refuse(7000112, { client: id, name: application.name });
  return application;
}

/** Form or query parameters, each at most once. @throws sandbox.refused 9000411 */
export function singleParameters(source: URLSearchParams): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of source) {
    if (parameters.has(name)) throw refuse(9000411, { parameter: name });
    parameters.set(name, value);
  }
  return parameters;
}

/** Notes one token request; the oldest notes make room. */
export function recordRequest(
  platform: Platform,
  form: ReadonlyMap<string, string>,
  clientOfHeader: string | undefined,
  outcome: string,
): void {
  if (platform.requests.length >= MAX_RECORDS) platform.requests.shift();
  platform.requests.push({
    at: new Date(platform.clock.now()),
    grantType: form.get('grant_type') ?? '',
    client: form.get('client_id') ?? clientOfHeader ?? '',
    scope: form.get('scope') ?? '',
    outcome,
  });
}

const MAX_RECORDS = 10_000;
