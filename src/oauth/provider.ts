/** A preset joined with what the operator set for one application: everything a flow or a sign-in needs to know. */
import { type ApplicationSettings, applicationSettings } from '../store/application-settings.ts';
import type { Application } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import type { TlsPolicy } from '../base/tls-policy.ts';
import { issueText, valueAt } from '../base/schema-words.ts';
import { shellWord } from '../base/shell.ts';
import { oauthError } from './errors.ts';
import { presetById, presets } from './providers.ts';
import type { Endpoints, MailServer, MicrosoftPreset, Preset, StandardPreset } from './preset.ts';

export interface ProviderProfile {
  readonly preset: Preset;
  readonly microsoft: boolean;
  /** Exact issuer, or with `{tenantid}` where any tenant may sign in; undefined for OAuth-only providers. */
  readonly issuer: string;
  /** Set: no discovery needed. */
  readonly endpoints: Endpoints | undefined;
  /** Microsoft only: `https://login…/tenant`. */
  readonly authority: string | undefined;
  /** A directory id when the tenant is pinned to one; then ID tokens must name it. */
  readonly tenantId: string | undefined;
  readonly baseScopes: readonly string[];
  readonly scopes: Partial<Readonly<Record<Protocol, readonly string[]>>>;
  readonly appScopes: readonly string[];
  /** Accepted `aud` of readable access tokens; empty accepts any but Microsoft Graph's. */
  readonly audiences: readonly string[];
  readonly mail: Partial<Readonly<Record<Protocol, MailServer & { readonly trust: TlsPolicy }>>>;
  readonly mechanisms: readonly ('XOAUTH2' | 'OAUTHBEARER')[];
  readonly extraParameters: Readonly<Record<string, string>>;
  readonly identity: 'id-token' | 'mail-server';
  readonly ca: string | undefined;
  /** Origin of Microsoft Graph, where the application names one. */
  readonly graph: string | undefined;
  /**
   * The authority or issuer is another than the preset's: then its mail servers and Microsoft Graph are others as well, and tokens of
   * the one are not shown to the other. What the settings do not name is not there.
   */
  readonly foreign: boolean;
  /** Host of the token endpoint, or of the issuer that names it: what is up or down for all its grants at once. */
  readonly authorizationServer: string;
  /** Grants that were not renewed for so long end. */
  readonly inactivityMs: number | undefined;
}

/** The tenants that stand for many, whose metadata names its issuer with a placeholder. */
const SHARED_TENANTS = new Set(['common', 'organizations']);
/** The directory all personal Microsoft accounts live in. */
export const CONSUMER_TENANT = '9188040d-6c67-4c5b-b112-36a304b66dad';
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws oauth.unknown-provider, oauth.misconfigured (settings that do not fit the schema, or lack what the provider needs) */
export function resolveProvider(
  application: Pick<Application, 'name' | 'provider' | 'tenant' | 'settings'>,
): ProviderProfile {
  const preset = presetById(application.provider);
  if (!preset) {
    throw oauthError('oauth.unknown-provider', `there is no provider called ${application.provider}`, {
      hint: `known providers: ${presets.map((p) => p.id).join(', ')}`,
    });
  }
  const parsed = applicationSettings.safeParse(application.settings);
  if (!parsed.success) {
    const first = parsed.error.issues[0]!;
    throw oauthError(
      'oauth.misconfigured',
      `the settings of application ${application.name} are not valid: ${first.path.join('.')}: ${issueText(first, valueAt(application.settings, first.path))}`,
      {
        hint: `correct it: postern application set ${shellWord(application.name)} --help`,
        detail: { issues: parsed.error.issues.map((i) => ({ path: i.path.join('.'), message: i.message })) },
      },
    );
  }
  const settings = parsed.data;
  const profile =
    preset.family === 'microsoft'
      ? microsoftProfile(preset, application, settings)
      : standardProfile(preset, application, settings);
  return { ...profile, authorizationServer: new URL(profile.endpoints?.token ?? profile.issuer).host };
}

function standardProfile(
  preset: StandardPreset,
  application: Pick<Application, 'name'>,
  settings: ApplicationSettings,
): Omit<ProviderProfile, 'authorizationServer'> {
  return {
    ...sharedProfile(preset, settings, isForeign(preset.issuer, settings)),
    microsoft: false,
    authority: undefined,
    tenantId: undefined,
    issuer: standardIssuer(preset.issuer, application.name, settings),
    endpoints: settings.issuer || settings.authority ? undefined : preset.endpoints,
    scopes: { ...preset.scopes, ...defined(settings.scopes) },
    appScopes: settings.scopes?.app ?? [],
    audiences: settings.resource ? [settings.resource] : preset.audiences,
  };
}

function microsoftProfile(
  preset: MicrosoftPreset,
  application: Pick<Application, 'tenant'>,
  settings: ApplicationSettings,
): Omit<ProviderProfile, 'authorizationServer'> {
  const given = settings.authority ? new URL(settings.authority) : undefined;
  const tenant = given?.pathname.split('/')[1] || application.tenant || preset.defaultTenant;
  const authority = `${given?.origin ?? preset.loginOrigin}/${tenant}`;
  const resource = settings.resource ?? preset.resource;
  const appResource = settings.resource ?? preset.appResource;
  const tenantId = tenant === 'consumers' ? CONSUMER_TENANT : GUID.test(tenant) ? tenant.toLowerCase() : undefined;
  // A verified domain as tenant has an issuer with a directory id we do not know yet: any, like the shared tenants.
  const issuerTenant = SHARED_TENANTS.has(tenant) || !tenantId ? '{tenantid}' : tenantId;
  const full = (names: readonly string[] | undefined): readonly string[] =>
    (names ?? []).map((name) => `${resource}/${name}`);
  return {
    ...sharedProfile(preset, settings, isForeign(preset.loginOrigin, settings)),
    microsoft: true,
    authority,
    tenantId,
    issuer: settings.issuer ?? `${given?.origin ?? preset.loginOrigin}/${issuerTenant}/v2.0`,
    endpoints: {
      authorization: `${authority}/oauth2/v2.0/authorize`,
      token: `${authority}/oauth2/v2.0/token`,
      deviceAuthorization: `${authority}/oauth2/v2.0/devicecode`,
      jwks: `${authority}/discovery/v2.0/keys`,
    },
    scopes: {
      imap: full(preset.scopes.imap),
      pop3: full(preset.scopes.pop3),
      smtp: full(preset.scopes.smtp),
      ...defined(settings.scopes),
    },
    appScopes: settings.scopes?.app ?? [`${appResource}/.default`],
    // Exchange Online answers to both names and to its application id, whichever was asked for.
    audiences: [...new Set([resource, appResource, ...EXCHANGE_AUDIENCES])],
  };
}

const EXCHANGE_AUDIENCES = [
  'https://outlook.office.com',
  'https://outlook.office365.com',
  '00000002-0000-0ff1-ce00-000000000000',
];

/** Whether the settings name another authorization server than that of the preset; one that names none has no other. */
function isForeign(known: string | undefined, { authority, issuer }: ApplicationSettings): boolean {
  if (known === undefined) return false;
  const { origin } = new URL(known);
  return [authority, issuer].some((given) => given !== undefined && !sameSite(new URL(given).origin, origin));
}

/** Microsoft's authorities of one cloud have several names; whoever gives one of another preset has that preset's servers. */
function sameSite(given: string, known: string): boolean {
  return given === known || (MICROSOFT_GLOBAL.has(given) && MICROSOFT_GLOBAL.has(known));
}

/** Names of one and the same cloud (MicrosoftDocs, identity platform endpoints: aliases in its instance metadata). */
const MICROSOFT_GLOBAL: ReadonlySet<string> = new Set([
  'https://login.microsoftonline.com',
  'https://login.windows.net',
  'https://login.microsoft.com',
  'https://sts.windows.net',
]);

function sharedProfile(preset: Preset, settings: ApplicationSettings, foreign: boolean) {
  const inactivityDays = settings.inactivityDays ?? preset.inactivityDays;
  return {
    preset,
    baseScopes: settings.scopes?.base ?? preset.baseScopes,
    mechanisms: settings.mechanisms ?? preset.mechanisms,
    extraParameters: preset.extraParameters,
    identity: preset.identity,
    ca: settings.ca,
    graph: settings.graph,
    foreign,
    inactivityMs: inactivityDays === undefined ? undefined : inactivityDays * 86_400_000,
    mail: {
      ...mailOf('imap', preset, settings, foreign),
      ...mailOf('pop3', preset, settings, foreign),
      ...mailOf('smtp', preset, settings, foreign),
    },
  };
}

function mailOf(
  protocol: Protocol,
  preset: Preset,
  settings: ApplicationSettings,
  foreign: boolean,
): ProviderProfile['mail'] {
  const own = settings[protocol];
  const known = foreign ? undefined : preset.mail[protocol];
  // The CA of the application is for its mail servers too.
  const ca = own?.ca ?? settings.ca;
  if (!own) return known ? { [protocol]: { ...known, trust: ca ? { ca } : {} } } : {};
  const trust: TlsPolicy = {
    ...(ca ? { ca } : {}),
    ...(own.fingerprints ? { fingerprints: own.fingerprints.map((f) => f.replaceAll(':', '').toLowerCase()) } : {}),
  };
  return { [protocol]: { host: own.host, port: own.port, tls: own.tls, trust } };
}

function standardIssuer(known: string | undefined, name: string, settings: ApplicationSettings): string {
  const issuer = settings.issuer ?? settings.authority ?? known;
  if (issuer) return issuer;
  throw oauthError('oauth.misconfigured', `application ${name} names no issuer`, {
    hint: 'give the address of the authorization server with the application’s issuer setting',
  });
}

/** Drops undefined members, which an exact optional type does not take, and what is not a protocol. */
function defined(scopes: ApplicationSettings['scopes']): Partial<Record<Protocol, readonly string[]>> {
  return {
    ...(scopes?.imap ? { imap: scopes.imap } : {}),
    ...(scopes?.pop3 ? { pop3: scopes.pop3 } : {}),
    ...(scopes?.smtp ? { smtp: scopes.smtp } : {}),
  };
}
