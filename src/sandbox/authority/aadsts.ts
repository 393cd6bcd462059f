/** The refusals of the identity platform: AADSTS codes, OAuth error names, texts and the body Microsoft puts around them. */
import { randomUUID } from 'node:crypto';
import { isError, type PosternError } from '../../base/error.ts';
import { sandboxError } from '../errors.ts';

interface Row {
  /** OAuth 2.0 `error` (RFC 6749 §5.2, RFC 8628 §3.5) as Microsoft uses it. */
  readonly error: string;
  /** HTTP status, 400 unless given. */
  readonly status?: number;
  readonly suberror?: string;
  /** `{name}` is replaced by the fact of that name. */
  readonly text: string;
}

/** Every code that a client can cause here. Texts follow the published error reference of the identity platform. */
export const aadsts = {
  28002: {
    error: 'invalid_scope',
    text: "Provided value for the input parameter scope '{scope}' is not valid when requesting an access token. Please specify a valid scope.",
  },
  50011: {
    error: 'invalid_request',
    text: "The redirect URI '{uri}' specified in the request does not match the redirect URIs configured for the application '{client}'. Make sure the redirect URI sent in the request matches one added to your application in the Azure portal.",
  },
  500011: {
    error: 'invalid_resource',
    text: 'The resource principal named {resource} was not found in the tenant named Contoso. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.',
  },
  500112: {
    error: 'invalid_grant',
    text: "The reply address '{uri}' does not match the reply address '{expected}' provided when requesting Authorization code.",
  },
  50027: { error: 'invalid_client', status: 401, text: 'JWT token is invalid or malformed: {reason}.' },
  50034: {
    error: 'invalid_grant',
    text: 'The user account {user} does not exist in the {tenant} directory. To sign into this application, the account must be added to the directory.',
  },
  50053: {
    error: 'invalid_grant',
    text: "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
  },
  50055: { error: 'invalid_grant', suberror: 'user_password_expired', text: 'The password is expired.' },
  50057: { error: 'invalid_grant', text: 'The user account is disabled.' },
  50058: {
    error: 'login_required',
    text: 'A silent sign-in request was sent but no user is signed in.',
  },
  50076: {
    error: 'invalid_grant',
    suberror: 'basic_action',
    text: "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{resource}'.",
  },
  50079: {
    error: 'invalid_grant',
    suberror: 'basic_action',
    text: "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'.",
  },
  50105: {
    error: 'invalid_grant',
    text: "Your administrator has configured the application {name} ('{client}') to block users unless they are specifically granted ('assigned') access to the application. The signed in user '{user}' is blocked because they are not a direct member of a group with access, nor had access directly assigned by an administrator. Please contact your administrator to assign access to this application.",
  },
  50132: {
    error: 'invalid_grant',
    text: 'The session is not valid due to the following reasons: password expiration or recent password change.',
  },
  50133: {
    error: 'invalid_grant',
    suberror: 'bad_token',
    text: 'Session is invalid due to expiration or recent password change.',
  },
  50147: { error: 'invalid_request', text: 'Invalid size of Code_Challenge parameter.' },
  501481: {
    error: 'invalid_grant',
    text: 'The Code_Verifier does not match the code_challenge supplied in the authorization request.',
  },
  501491: { error: 'invalid_grant', text: 'Invalid size of Code_Verifier parameter.' },
  50173: {
    error: 'invalid_grant',
    suberror: 'bad_token',
    text: "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before which tokens are not valid) for this user is '{validFrom}'.",
  },
  50196: {
    error: 'invalid_grant',
    text: 'The server terminated an operation because it encountered a client request loop. Please contact your app vendor.',
  },
  500014: {
    error: 'invalid_resource',
    text: "The service principal for resource '{resource}' is disabled. This indicate that a subscription within the tenant has lapsed, or that the administrator for this tenant has disabled the application, preventing tokens from being issued for it.",
  },
  53000: {
    error: 'invalid_grant',
    suberror: 'message_only',
    text: 'Device is not in required device state: {state}. Conditional Access policy requires a compliant device, and the device is not compliant. The user must enroll their device with an approved MDM provider like Intune.',
  },
  53003: {
    error: 'invalid_grant',
    suberror: 'message_only',
    text: 'Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.',
  },
  530036: {
    error: 'invalid_grant',
    suberror: 'bad_token',
    text: 'The refresh token is invalid due to authentication flow checks by Conditional Access.',
  },
  54005: {
    error: 'invalid_grant',
    text: 'OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.',
  },
  65001: {
    error: 'invalid_grant',
    suberror: 'consent_required',
    text: "The user or administrator has not consented to use the application with ID '{client}' named '{name}'. Send an interactive authorization request for this user and resource.",
  },
  65004: { error: 'access_denied', text: 'User declined to consent to access the app.' },
  650053: {
    error: 'invalid_client',
    text: "The application '{name}' asked for scope '{scope}' that doesn't exist on the resource '{resource}'. Contact the app vendor.",
  },
  70000: {
    error: 'invalid_grant',
    suberror: 'bad_token',
    text: 'Provided grant is invalid or malformed.',
  },
  700005: {
    error: 'invalid_grant',
    text: 'Provided Authorization Code is intended to use against other tenant, thus rejected.',
  },
  70002: { error: 'invalid_client', status: 401, text: 'Error validating credentials: {reason}.' },
  70003: { error: 'unsupported_grant_type', text: "The app requested an unsupported grant type '{grant}'." },
  70005: { error: 'unsupported_response_type', text: "The app requested an unsupported response type '{type}'." },
  700051: { error: 'unsupported_response_type', text: "response_type 'token' is not enabled for the application." },
  700054: { error: 'unsupported_response_type', text: "response_type 'id_token' is not enabled for the application." },
  70007: {
    error: 'unsupported_response_type',
    text: "'{mode}' is not a supported value of 'response_mode' when requesting a token.",
  },
  70008: {
    error: 'invalid_grant',
    text: 'The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.',
  },
  700082: {
    error: 'invalid_grant',
    suberror: 'bad_token',
    text: 'The refresh token has expired due to inactivity. The token was issued on {issued} and was inactive for 90.00:00:00.',
  },
  70043: {
    error: 'interaction_required',
    suberror: 'token_expired',
    text: 'The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. The token was issued on {issued} and the maximum allowed lifetime for this request is 28800.',
  },
  70011: {
    error: 'invalid_scope',
    text: "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.",
  },
  7000112: { error: 'unauthorized_client', text: "Application '{client}'({name}) is disabled." },
  700016: {
    error: 'unauthorized_client',
    text: "Application with identifier '{client}' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
  },
  70016: {
    error: 'authorization_pending',
    text: 'OAuth 2.0 device flow error. Authorization is pending. Continue polling.',
  },
  70018: {
    error: 'bad_verification_code',
    text: 'Invalid verification code due to User typing in wrong user code for device code flow.',
  },
  70019: { error: 'expired_token', text: 'Verification code expired. Have the user retry the sign-in.' },
  700021: {
    error: 'invalid_client',
    status: 401,
    text: "Client assertion application identifier doesn't match 'client_id' parameter.",
  },
  7000215: {
    error: 'invalid_client',
    status: 401,
    text: "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'.",
  },
  7000222: {
    error: 'invalid_client',
    status: 401,
    text: "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
  },
  7000218: {
    error: 'invalid_client',
    status: 401,
    text: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
  },
  700023: {
    error: 'invalid_client',
    status: 401,
    text: 'Client assertion audience claim does not match Realm issuer. Review the documentation at https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials.',
  },
  700024: {
    error: 'invalid_client',
    status: 401,
    text: 'Client assertion is not within its valid time range. Current time: {now}, expiry time of assertion {expires}.',
  },
  700025: {
    error: 'invalid_client',
    status: 401,
    text: "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
  },
  700027: {
    error: 'invalid_client',
    status: 401,
    text: 'Client assertion failed signature validation. [Reason - {reason}.]',
  },
  700213: {
    error: 'invalid_client',
    status: 401,
    text: "No matching federated identity record found for presented assertion subject '{subject}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion.",
  },
  90002: {
    error: 'invalid_request',
    text: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
  },
  90023: { error: 'invalid_request', text: 'Invalid request: {reason}.' },
  90033: {
    error: 'temporarily_unavailable',
    status: 503,
    text: 'A transient error has occurred. Please try again.',
  },
  90094: {
    error: 'access_denied',
    text: '{name} needs permission to access resources in your organization that only an admin can grant. Please ask an admin to grant permission to this app before you can use it.',
  },
  90095: {
    error: 'access_denied',
    text: 'Admin consent is required for the permissions requested by this application. An admin consent request may be sent to the admin.',
  },
  900144: {
    error: 'invalid_request',
    text: "The request body must contain the following parameter: '{parameter}'.",
  },
  9000411: {
    error: 'invalid_request',
    text: "The request is not properly formatted. The parameter '{parameter}' is duplicated.",
  },
  9001023: {
    error: 'invalid_request',
    text: "The grant type '{grant}' is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.",
  },
  901002: { error: 'invalid_request', text: "The 'resource' request parameter is not supported." },
  9002313: { error: 'invalid_request', text: 'Invalid request. Request is malformed or invalid.' },
} as const satisfies Readonly<Record<number, Row>>;

export type AadstsCode = keyof typeof aadsts;

/** What a refusal carries in `detail`. */
export interface RefusalDetail {
  readonly aadsts: number;
  readonly error: string;
  readonly status: number;
  readonly suberror?: string;
  /** The claims challenge of a policy: JSON, as the client sends it back. */
  readonly claims?: string;
}

/** A refusal to throw; the endpoints turn it into Microsoft's body, a redirect or a page. `more` overrides what the row says. */
export function refuse(
  code: AadstsCode,
  facts: Readonly<Record<string, string>> = {},
  more: Readonly<Partial<Pick<RefusalDetail, 'error' | 'claims'>>> = {},
): PosternError {
  const row: Row = aadsts[code];
  const text = row.text.replace(/\{(\w+)\}/g, (whole, name: string) => facts[name] ?? whole);
  const detail: RefusalDetail = {
    aadsts: code,
    error: more.error ?? row.error,
    status: row.status ?? 400,
    ...(row.suberror === undefined ? {} : { suberror: row.suberror }),
    ...(more.claims === undefined ? {} : { claims: more.claims }),
  };
  return sandboxError('sandbox.refused', `AADSTS${code}: ${text}`, { detail: { ...detail } });
}

/** The detail of a refusal, or undefined for any other failure. */
export function refusalOf(error: unknown): RefusalDetail | undefined {
  return isError(error, 'sandbox.refused')
    ? (error.detail as Readonly<Record<string, unknown>> & RefusalDetail)
    : undefined;
}

/** Microsoft's error body. `correlationId` is the caller's `client-request-id` where it sent one. */
export function errorBody(
  refusal: RefusalDetail,
  message: string,
  context: { readonly now: number; readonly origin: string; readonly correlationId?: string | undefined },
) {
  const timestamp = microsoftTime(context.now);
  const trace = randomUUID();
  const asked = context.correlationId;
  const correlation = asked !== undefined && GUID.test(asked) ? asked : randomUUID();
  return {
    error: refusal.error,
    error_description: `${message} Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
    error_codes: [refusal.aadsts],
    timestamp,
    trace_id: trace,
    correlation_id: correlation,
    error_uri: `${context.origin}/error?code=${refusal.aadsts}`,
    ...(refusal.suberror === undefined ? {} : { suberror: refusal.suberror }),
    ...(refusal.claims === undefined ? {} : { claims: refusal.claims }),
  };
}

export type ErrorBody = ReturnType<typeof errorBody>;

/** `2026-11-21 07:30:00Z`, the form of the platform's time stamps. */
export function microsoftTime(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

const GUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;
