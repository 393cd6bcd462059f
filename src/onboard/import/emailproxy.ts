/**
 * The configuration of email-oauth2-proxy (simonrob/email-oauth2-proxy, emailproxy.config) as what Postern needs: providers,
 * accounts, local ports. Pure: nothing is opened, nobody is asked. What cannot be taken over is said, with what to do instead.
 */
import { lines } from '../../base/lines.ts';
import { shellWord } from '../../base/shell.ts';
import { createHash } from 'node:crypto';
import { Secret } from '../../base/secret.ts';
import { type Protocol, PROTOCOLS } from '../../store/protocols.ts';
import type { Flow } from '../../store/types.ts';
import { presetOfDomain, presetOfServer } from '../discover/known.ts';
import { importError } from './errors.ts';
import { type IniSection, readIni } from './ini.ts';
import { presets } from '../../oauth/providers.ts';

export interface ImportedProvider {
  readonly preset: string;
  readonly clientId: string;
  readonly tenant: string | undefined;
  readonly credential:
    | { readonly type: 'none' }
    | { readonly type: 'secret'; readonly secret: Secret }
    /** Opens with the account's password at the old proxy only. */
    | { readonly type: 'sealed-secret'; readonly sealed: string }
    | { readonly type: 'certificate'; readonly certificateFile: string; readonly keyFile: string }
    /** The password that mail programs used at the old proxy was the client secret. */
    | { readonly type: 'login-password' }
    /** Google's JSON key, or the file it is in. */
    | { readonly type: 'service-account'; readonly key: Secret | { readonly file: string } };
}

export interface ImportedAccount {
  readonly address: string;
  readonly provider: ImportedProvider;
  /** Who signs in, where that is not the mailbox itself. */
  readonly sharedWith?: string;
  readonly flow: Flow;
  readonly protocols: readonly Protocol[];
  readonly scopes: readonly string[];
  /** The refresh token as the proxy stored it; opens with the account's password there. */
  readonly sealedRefreshToken: string | undefined;
  readonly salt: string | undefined;
  readonly iterations: number | undefined;
  /** What a person should know. */
  readonly notes: readonly string[];
}

export interface ImportedListener {
  readonly protocol: Protocol;
  readonly tls: 'none' | 'starttls' | 'implicit';
  readonly host: string;
  readonly port: number;
}

export interface EmailProxyConfig {
  readonly accounts: readonly ImportedAccount[];
  /** The old local ports: with these in postern.yaml mail programs need a new password only. */
  readonly listeners: readonly ImportedListener[];
  /** Certificate for the ports that had one. */
  readonly certificate: { readonly certificate: string; readonly key: string } | undefined;
  readonly skipped: readonly { readonly section: string; readonly why: string; readonly instead: string }[];
  readonly notes: readonly string[];
}

/**
 * @param cache the file of the proxy's `--cache-store`, where it kept tokens apart from its configuration
 * @throws import.garbled
 */
export function readEmailProxy(text: string, cache?: string): EmailProxyConfig {
  const sections = cache === undefined ? readIni(text) : withCache(readIni(text), readIni(cache));
  const servers = [...sections].flatMap(([name, values]) => serverOf(name, values) ?? []);
  const global = sections.get('emailproxy') ?? {};
  const accounts: ImportedAccount[] = [];
  const skipped: EmailProxyConfig['skipped'][number][] = [];
  for (const [name, own] of sections) {
    if (!name.includes('@')) continue;
    if (name.startsWith('@')) {
      skipped.push({
        section: name,
        why: `it stands for every address${name === '@' ? '' : ` of ${name.slice(1)}`}, and a consent is one person’s`,
        instead:
          name === '@'
            ? 'name the mailboxes: postern mailbox add ADDRESS --application NAME'
            : `for an application of its own (app-only): postern mailbox add ${shellWord(`*${name}`)} --application NAME --flow app-only; for people: postern mailbox add ADDRESS --application NAME for each`,
      });
      continue;
    }
    const inherited = isTrue(global['allow_catch_all_accounts']) ? inherit(sections, name, own) : own;
    const read = accountOf(name, { ...switches(global), ...inherited }, servers);
    if ('why' in read) skipped.push({ section: name, ...read });
    else accounts.push(read);
  }
  if (accounts.length === 0 && skipped.length === 0 && servers.length === 0) {
    throw importError('import.garbled', 'there is neither an account nor a server in this file');
  }
  return {
    accounts,
    skipped,
    listeners: servers.map(({ listener }) => listener),
    certificate: servers.map((one) => one.certificate).find((pair) => pair !== undefined),
    notes: servers.flatMap(({ notes }) => notes),
  };
}

/** What the section of the proxy itself says for all accounts. */
function switches(global: IniSection): IniSection {
  const name = 'use_login_password_as_client_credentials_secret';
  return global[name] === undefined ? {} : { [name]: global[name] };
}

const CACHED = ['refresh_token', 'token_salt', 'token_iterations', 'client_secret_encrypted'];

/** Accounts take their tokens from the cache; accounts that catch-all sections brought about are in the cache only. */
function withCache(
  sections: ReadonlyMap<string, IniSection>,
  cache: ReadonlyMap<string, IniSection>,
): ReadonlyMap<string, IniSection> {
  const merged = new Map(sections);
  const catchAll = isTrue(sections.get('emailproxy')?.['allow_catch_all_accounts']);
  for (const [name, values] of cache) {
    if (!name.includes('@') || (!sections.has(name) && !catchAll)) continue;
    const cached = Object.entries(values).filter(([key]) => CACHED.includes(key));
    merged.set(name, { ...sections.get(name), ...Object.fromEntries(cached) });
  }
  return merged;
}

const isTrue = (text: string | undefined): boolean => /^(?:1|yes|true|on)$/i.test(text ?? '');

/** Domain sections give what an account does not say, except its tokens. */
function inherit(sections: ReadonlyMap<string, IniSection>, address: string, own: IniSection): IniSection {
  const domain = `@${address.slice(address.lastIndexOf('@') + 1)}`;
  const settings = Object.entries({ ...sections.get('@'), ...sections.get(domain) }).filter(
    ([key]) => !/^(?:access_token|refresh_token|last_activity)/.test(key),
  );
  return { ...Object.fromEntries(settings), ...own };
}

interface Server {
  readonly listener: ImportedListener;
  readonly certificate: { readonly certificate: string; readonly key: string } | undefined;
  /** Preset of the server behind it. */
  readonly preset: string | undefined;
  readonly notes: readonly string[];
}

const KINDS: Readonly<Record<string, Protocol>> = { IMAP: 'imap', POP: 'pop3', SMTP: 'smtp' };

function serverOf(name: string, values: IniSection): Server | undefined {
  const match = /^(IMAP|POP|SMTP)-(\d{1,5})$/.exec(name);
  if (!match) return undefined;
  const certificate = values['local_certificate_path'];
  const key = values['local_key_path'];
  const encrypted = certificate !== undefined && key !== undefined;
  const given = values['local_address'] ?? '::';
  const loopback = /^(?:127(?:\.\d{1,3}){3}|::1|localhost)$/.test(given);
  const host = loopback || encrypted ? given : '127.0.0.1';
  return {
    listener: {
      protocol: KINDS[match[1]!]!,
      tls: encrypted ? (isTrue(values['local_starttls']) ? 'starttls' : 'implicit') : 'none',
      host,
      port: Number(match[2]),
    },
    certificate: encrypted ? { certificate, key } : undefined,
    preset: presetOfServer(values['server_address'] ?? ''),
    notes:
      host === given
        ? []
        : [
            `${name} listened on ${given} without encryption; here it listens on this machine only. For other machines give a certificate (tls:) and use tls: implicit`,
          ],
  };
}

type Skipped = { readonly why: string; readonly instead: string };

function accountOf(address: string, values: IniSection, servers: readonly Server[]): ImportedAccount | Skipped {
  const clientId = values['client_id'];
  const tokenUrl = values['token_url'];
  if (clientId === undefined || tokenUrl === undefined || !URL.canParse(tokenUrl.split('***').join('x')))
    return { why: 'it has no client id or no token URL', instead: 'postern mailbox add ADDRESS' };
  if (`${clientId}${tokenUrl}`.includes('***'))
    return { why: 'it is an example that was never filled in', instead: 'nothing to do' };
  const flow = FLOWS[values['oauth2_flow'] ?? ''] ?? 'authorization-code';
  const preset = presetOf(new URL(tokenUrl), address);
  if (preset === undefined) {
    return {
      why: `${new URL(tokenUrl).host} is no provider Postern knows`,
      instead: `postern application add NAME --preset oidc --issuer ISSUER --client-id ${shellWord(clientId)} --imap HOST:993/implicit, then postern mailbox add ${shellWord(address)}`,
    };
  }
  const scopes = (values['oauth2_scope'] ?? '').split(/\s+/).filter((scope) => scope !== '');
  const redirect = values['redirect_uri'];
  const secret = usable(values['client_secret']);
  const file = secret === undefined ? usable(values['jwt_certificate_path']) : undefined;
  const sealed = values['client_secret_encrypted'];
  const byLogin =
    flow === 'client-secret' &&
    isTrue(values['use_login_password_as_client_credentials_secret']) &&
    secret === undefined;
  return {
    ...namesOf(address),
    provider: {
      preset: preset.id,
      clientId: flow === 'service-account' ? serviceAccountName(clientId, secret ?? '') : clientId,
      tenant: preset.tenant,
      credential:
        flow === 'service-account'
          ? serviceAccountOf(clientId, secret ?? '')
          : byLogin && file === undefined && sealed === undefined
            ? { type: 'login-password' }
            : secret !== undefined
              ? { type: 'secret', secret: new Secret(secret) }
              : file !== undefined
                ? { type: 'certificate', certificateFile: file, keyFile: values['jwt_key_path'] ?? '' }
                : sealed === undefined
                  ? { type: 'none' }
                  : { type: 'sealed-secret', sealed },
    },
    flow: flow === 'client-secret' && file !== undefined ? 'certificate' : flow,
    protocols: protocolsOf(scopes, preset.id, servers),
    scopes: scopes.length === 0 && flow === 'service-account' ? ['https://mail.google.com/'] : scopes,
    sealedRefreshToken: values['refresh_token'],
    salt: values['token_salt'],
    iterations: values['token_iterations'] === undefined ? undefined : Number(values['token_iterations']),
    notes: lines(
      values['oauth2_flow'] === 'password' &&
        'it signed in with the account’s own password (ROPC), which Postern refuses; a person has to consent instead',
      !(redirect === undefined || /^http:\/\/(?:localhost|127\.0\.0\.1)(?::\d+)?\/?$/.test(redirect)) &&
        `its redirect URI is ${redirect}: postern mailbox reconsent ${shellWord(address)} --flow paste --redirect-uri ${shellWord(redirect)}`,
    ),
  };
}

/**
 * `alice@example.com\\sales` is Exchange's way to name a shared mailbox and who opens it; without a domain of its own the shared
 * mailbox is in the person's.
 */
function namesOf(section: string): Pick<ImportedAccount, 'address' | 'sharedWith'> {
  const [person, shared, ...more] = section.toLowerCase().split(/[\\/]/);
  if (person === undefined || shared === undefined || shared === '' || more.length > 0)
    return { address: section.toLowerCase() };
  return {
    address: shared.includes('@') ? shared : `${shared}${person.slice(person.lastIndexOf('@'))}`,
    sharedWith: person,
  };
}

/** The old proxy takes the file's path or the key itself, and `client_id` says which. */
function serviceAccountOf(kind: string, value: string): ImportedProvider['credential'] {
  return { type: 'service-account', key: kind === 'key' ? new Secret(value) : { file: value } };
}

/** Accounts with the same key share one application. */
function serviceAccountName(kind: string, value: string): string {
  return kind === 'key' ? `service-account-${createHash('sha256').update(value).digest('hex').slice(0, 12)}` : value;
}

/** The old file says where a value belongs and leaves the example in. */
const usable = (text: string | undefined): string | undefined =>
  text === undefined || text === '' || text.includes('***') ? undefined : text;

const FLOWS: Readonly<Record<string, Flow>> = {
  device: 'device-code',
  client_credentials: 'client-secret',
  service_account: 'service-account',
};

const HOSTS: Readonly<Record<string, string>> = {
  'login.microsoftonline.com': 'microsoft',
  'login.microsoftonline.us': 'microsoft-gcc-high',
  'login.partner.microsoftonline.cn': 'microsoft-china',
  'login.chinacloudapi.cn': 'microsoft-china',
  'login.microsoft.com': 'microsoft',
  'login.windows.net': 'microsoft',
  'sts.windows.net': 'microsoft',
  'login.live.com': 'outlook',
  'www.googleapis.com': 'google',
  'oauth2.googleapis.com': 'google',
  'accounts.google.com': 'google',
  'api.login.yahoo.com': 'yahoo',
  'api.login.aol.com': 'aol',
  'api.fastmail.com': 'fastmail',
  'oauth.yandex.com': 'yandex',
  'oauth.yandex.ru': 'yandex',
  'o2.mail.ru': 'mailru',
  'oauth.xfinity.com': 'comcast',
};

function presetOf(
  tokenUrl: URL,
  address: string,
): { readonly id: string; readonly tenant: string | undefined } | undefined {
  const id = HOSTS[tokenUrl.host];
  if (id === undefined) return undefined;
  if (!id.startsWith('microsoft')) return { id, tenant: undefined };
  // An endpoint of another age: the tenant is the same there.
  const tenant = tokenUrl.pathname.split('/')[1];
  const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase();
  // Personal accounts send through another host.
  if (tenant === 'consumers' || presetOfDomain(domain) === 'outlook') return { id: 'outlook', tenant: undefined };
  return { id, tenant: tenant === undefined || tenant === '' ? undefined : tenant };
}

const NAMED: Readonly<Record<Protocol, RegExp>> = {
  imap: /IMAP\.AccessAsUser|protocol-imap|mail:imap/i,
  pop3: /POP\.AccessAsUser|protocol-pop/i,
  smtp: /SMTP\.Send|protocol-smtp|mail:smtp/i,
};

/** What the scopes name; where one scope opens everything, what the old proxy had a port for. */
function protocolsOf(scopes: readonly string[], preset: string, servers: readonly Server[]): readonly Protocol[] {
  const named = PROTOCOLS.filter((protocol) => scopes.some((scope) => NAMED[protocol].test(scope)));
  if (named.length > 0) return named;
  const family = (id: string | undefined): string | undefined => (id === 'outlook' ? 'microsoft' : id);
  const offered = presets.find(({ id }) => id === preset)?.mail ?? {};
  const ports = PROTOCOLS.filter(
    (protocol) =>
      protocol in offered &&
      servers.some((server) => server.listener.protocol === protocol && family(server.preset) === family(preset)),
  );
  return ports.length > 0 ? ports : ['imap', 'smtp'];
}
