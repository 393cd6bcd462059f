/** From a provider's HTTP answer to tokens or to one of our errors. The body of an error is kept whole, without secrets. */
import type { Clock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import { retryAfterMs } from '../base/http-answer.ts';
import { Secret, scrub } from '../base/secret.ts';
import { judge, remedyText } from './catalogue/diagnose.ts';
import type { Outcome } from './catalogue/schema.ts';
import { oauthError } from './errors.ts';
import type { TokenAnswer } from './engine.ts';
import { parseScope } from './scopes.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed JSON object; undefined when the body is something else. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

/** RFC 6749 §5.1. `expires_in` and `expires_on` may be strings (managed identity endpoints). @throws oauth.provider-garbled */
export function tokensFrom(answer: HttpAnswer, asked: readonly string[], clock: Clock): TokenAnswer {
  const body = answer.body ?? {};
  const accessToken = body['access_token'];
  const type = body['token_type'];
  if (
    typeof accessToken !== 'string' ||
    accessToken === '' ||
    (type !== undefined && (typeof type === 'string' ? type : '').toLowerCase() !== 'bearer')
  ) {
    throw oauthError('oauth.provider-garbled', 'the token answer carries no bearer token', {
      detail: { status: answer.status, members: Object.keys(body) },
    });
  }
  const lifetime = Number(body['expires_in'] ?? UNSTATED_LIFETIME_S);
  // Not in any RFC: Google and Microsoft say the first, Keycloak the second, with 0 for never.
  const refreshLifetime = Number(body['refresh_token_expires_in'] ?? body['refresh_expires_in'] ?? 0);
  return {
    accessToken: new Secret(accessToken),
    refreshToken: secretOf(body['refresh_token']),
    idToken: secretOf(body['id_token']),
    expiresAt: clock.now() + (Number.isFinite(lifetime) && lifetime > 0 ? lifetime : UNSTATED_LIFETIME_S) * 1000,
    scopes: parseScope(typeof body['scope'] === 'string' ? body['scope'] : undefined, asked),
    ...(refreshLifetime > 0 ? { refreshExpiresAt: clock.now() + refreshLifetime * 1000 } : {}),
  };
}

/** `expires_in` is only recommended (RFC 6749 §5.1); an hour is what the providers we know give. */
const UNSTATED_LIFETIME_S = 3600;

/**
 * What an answer that is not 2xx means (RFC 6749 §5.2, RFC 8628 §3.5). The status decides first: 429 and 5xx are never the
 * account owner's fault.
 */
export function errorFrom(answer: HttpAnswer, clock: Clock): PosternError {
  const facts = factsOf(answer);
  const { error, codes } = facts;
  const waitMs = retryAfterMs(answer.headers['retry-after'], clock.now());
  const retryAt = waitMs === undefined ? {} : { retryAt: new Date(clock.now() + Math.min(waitMs, LONGEST_RETRY_MS)) };
  const options = { detail: facts.detail, ...retryAt };
  const said = facts.description ? `: ${facts.description}` : '';

  if (answer.status === 429) return oauthError('oauth.provider-busy', 'the provider asks us to slow down', options);
  if (answer.status >= 500 || error === 'temporarily_unavailable' || error === 'server_error') {
    return oauthError('oauth.provider-unreachable', `the provider answered ${answer.status}${said}`, {
      ...options,
      detail: { ...facts.detail, reason: `HTTP ${answer.status}` },
    });
  }
  if (error === undefined) {
    return oauthError(
      'oauth.provider-garbled',
      `the provider answered ${answer.status} without an OAuth error`,
      options,
    );
  }

  const known = judge({ aadsts: codes, oauth: { error, ...facts.words } });
  if (!known)
    return oauthError('oauth.misconfigured', `the provider refused our application (${error})${said}`, options);
  // Microsoft's own sentence is long and quotes ids; its number says the same. Others have only their words.
  const which = codes.length > 0 ? ` (AADSTS${codes[0]})` : ` (${error})${said}`;
  // RFC 6749 §5.2: with this word it is the token, whatever the number says.
  const outcome = known.id === 'microsoft.request-invalid' && error === 'invalid_grant' ? 'consent' : known.outcome;
  const detail = known.mayBeLifted ? { ...options.detail, mayBeLifted: true } : options.detail;
  return oauthError(CODES[outcome], `${known.cause}${which}`, { ...options, detail, hint: remedyText(known.remedy) });
}

const CODES = {
  later: 'oauth.provider-busy',
  consent: 'oauth.needs-consent',
  admin: 'oauth.admin-consent',
  misconfigured: 'oauth.misconfigured',
  declined: 'oauth.consent-declined',
  expired: 'oauth.consent-expired',
} as const satisfies Readonly<Record<Outcome, string>>;

interface Facts {
  readonly error: string | undefined;
  readonly description: string | undefined;
  readonly codes: readonly number[];
  /** What tells errors of one name apart. */
  readonly words: { readonly suberror?: string; readonly description?: string };
  readonly detail: Readonly<Record<string, unknown>>;
}

const KEPT = [
  'error',
  'error_codes',
  'suberror',
  'error_subtype',
  'trace_id',
  'correlation_id',
  'timestamp',
  'error_uri',
  'claims',
] as const;

function factsOf(answer: HttpAnswer): Facts {
  const body = answer.body ?? {};
  const error = typeof body['error'] === 'string' ? body['error'] : undefined;
  const whole = typeof body['error_description'] === 'string' ? scrub(body['error_description']) : undefined;
  const listed = Array.isArray(body['error_codes']) ? body['error_codes'].map(Number) : [];
  const named = /AADSTS(\d+)/.exec(whole ?? '')?.[1];
  const codes = [...new Set([...listed, ...(named ? [Number(named)] : [])])].filter(Number.isInteger);
  // Google's name for it is error_subtype.
  const sub = body['suberror'] ?? body['error_subtype'];
  const suberror = typeof sub === 'string' ? sub : undefined;
  const kept = Object.fromEntries(KEPT.flatMap((key) => (body[key] === undefined ? [] : [[key, body[key]]])));
  return {
    error,
    // Microsoft appends trace ids after the first sentence; they stay in the detail.
    description: whole?.split(/\sTrace ID:/)[0]?.trimEnd(),
    codes,
    words: { ...(suberror === undefined ? {} : { suberror }), ...(whole === undefined ? {} : { description: whole }) },
    detail: { status: answer.status, ...kept, ...(whole === undefined ? {} : { error_description: whole }) },
  };
}

/** Bounded, so that a mistake at the provider does not silence us for days. */
const LONGEST_RETRY_MS = 60 * 60_000;

function secretOf(value: unknown): Secret | undefined {
  return typeof value === 'string' && value !== '' ? new Secret(value) : undefined;
}
