/** Who and what the tenant knows: people, resources with their permissions, registered applications. */
import { createHash, type KeyObject } from 'node:crypto';
import { faultOfAddress } from '../faults/address.ts';

export const TENANT_ID = 'c0117050-5a4d-4b0c-8e57-00000000c0de';
export const TENANT_DOMAIN = 'contoso.test';
/** A mailbox nobody signs in to; alice has full access and may send as it. */
export const SHARED_ADDRESS = `sales@${TENANT_DOMAIN}`;

export interface User {
  readonly address: string;
  readonly name: string;
  readonly objectId: string;
}

export const users: readonly User[] = [
  { address: `alice@${TENANT_DOMAIN}`, name: 'Alice Andersson', objectId: 'a11ce000-0000-4000-8000-000000000001' },
  { address: `bob@${TENANT_DOMAIN}`, name: 'Bob Berger', objectId: 'b0b00000-0000-4000-8000-000000000002' },
];

export function findUser(address: string): User | undefined {
  const wanted = address.trim().toLowerCase();
  return users.find((user) => user.address === wanted) ?? faultUser(wanted);
}

/** Whoever has a magic address of the tenant is somebody, too. */
function faultUser(address: string): User | undefined {
  if (!address.endsWith(`@${TENANT_DOMAIN}`) || !faultOfAddress(address)) return undefined;
  let user = faultUsers.get(address);
  if (!user) {
    const digits = createHash('sha256').update(address).digest('hex');
    const objectId = `fa170000-0000-4000-8000-${digits.slice(0, 12)}`;
    faultUsers.set(address, (user = { address, name: address.slice(0, address.indexOf('@')), objectId }));
  }
  return user;
}

const faultUsers = new Map<string, User>();

/** A protected resource. Several audiences may name the same one, as the two Outlook hosts do. */
export interface Resource {
  readonly id: string;
  readonly name: string;
  /** First one is used for bare names, where the resource has any. */
  readonly audiences: readonly string[];
  /** Delegated permission → what the consent page says. */
  readonly scopes: Readonly<Record<string, string>>;
  /** True for the resource that scope names without a host belong to. */
  readonly bareNames: boolean;
}

const mailScopes = {
  'IMAP.AccessAsUser.All': 'Read and change your mail over IMAP',
  'POP.AccessAsUser.All': 'Read and delete your mail over POP',
  'SMTP.Send': 'Send mail as you over SMTP',
};

export const exchangeOnline: Resource = {
  id: '00000002-0000-0ff1-ce00-000000000000',
  name: 'Office 365 Exchange Online',
  audiences: ['https://outlook.office.com', 'https://outlook.office365.com'],
  scopes: mailScopes,
  bareNames: false,
};

/** Bare names belong to Graph, also those of mail protocols: the trap that makes tokens Exchange refuses. */
export const graph: Resource = {
  id: '00000003-0000-0000-c000-000000000000',
  name: 'Microsoft Graph',
  audiences: ['https://graph.microsoft.com'],
  scopes: {
    ...mailScopes,
    'User.Read': 'See your profile',
    'Mail.Read': 'Read your mail',
    'Mail.ReadWrite': 'Read and change your mail',
    'Mail.Send': 'Send mail as you',
    'Mail.Read.Shared': 'Read mail you share with others',
    'Mail.ReadWrite.Shared': 'Read and change mail you share with others',
    'Mail.Send.Shared': 'Send mail on behalf of others',
    'Application.Read.All': 'Read applications',
    'Directory.Read.All': 'Read directory data',
  },
  bareNames: true,
};

export const resources: readonly Resource[] = [exchangeOnline, graph];

/** Scopes of OpenID Connect itself; they belong to no resource. */
export const oidcScopes: Readonly<Record<string, string>> = {
  openid: 'Sign you in',
  profile: 'See your name and address',
  email: 'See your mail address',
  offline_access: 'Keep the access you have given it, also while you are away',
};

/** Audience of a token that another platform exchanges for one of ours. */
export const EXCHANGE_AUDIENCE = 'api://AzureADTokenExchange';

export type ApplicationCredential =
  | { readonly type: 'secret'; readonly value: string; readonly keyId: string; readonly expiresAt: number }
  | {
      readonly type: 'certificate';
      readonly publicKey: KeyObject;
      readonly sha256: string;
      readonly sha1: string;
      readonly expiresAt: number;
    }
  | { readonly type: 'federated'; readonly issuer: string; readonly subject: string; readonly publicKey: KeyObject };

export interface RegisteredApplication {
  readonly id: string;
  readonly name: string;
  /** Object id of its service principal in the tenant. */
  readonly objectId: string;
  /** A public client must not present a credential, any other must. A managed identity is neither public nor has one. */
  readonly publicClient: boolean;
  /** Secrets come and go while the tenant runs. */
  readonly credentials: ApplicationCredential[];
  readonly redirectUris: readonly string[];
  /** Application permissions on Exchange Online, granted by the administrator. */
  readonly roles: readonly string[];
  /** Application permissions on Graph. */
  readonly graphRoles: readonly string[];
  readonly disabled?: boolean;
}

export const mailRoles = ['IMAP.AccessAsApp', 'POP.AccessAsApp', 'SMTP.SendAsApp'];
export const graphRoles = ['Mail.Send', 'Mail.ReadWrite', 'Application.Read.All'];

/** Fixed on purpose: examples can be copied. They open nothing but this sandbox. */
export const CONFIDENTIAL_SECRET = 'sandbox~secret/for+contoso-only';

const app = (number: number): string => `5a4db0c5-0000-4000-8000-0000000000${number}0`;
const principal = (number: number): string => `5a4db0c5-0000-4000-9000-0000000000${number}0`;

/**
 * The tenant's applications. `redirectUris` are added to the loopback ones of every application with users.
 * @param keys credentials made at start
 * @param now milliseconds since the epoch; secrets last two years from then
 */
export function registerApplications(
  keys: {
    readonly certificate: ApplicationCredential;
    readonly federated: (managedIdentityObjectId: string) => readonly ApplicationCredential[];
  },
  redirectUris: readonly string[],
  now: number,
): Readonly<Record<ApplicationName, RegisteredApplication>> {
  const redirects = [...loopbackRedirects, ...redirectUris];
  const secret = (keyId: string): ApplicationCredential => ({
    type: 'secret',
    value: CONFIDENTIAL_SECRET,
    keyId: `5a4db0c5-0000-4000-b000-0000000000${keyId}`,
    expiresAt: now + SECRET_MS,
  });
  const make = (
    number: number,
    name: string,
    credentials: readonly ApplicationCredential[],
    more: Partial<RegisteredApplication> = {},
  ): RegisteredApplication => ({
    id: app(number),
    objectId: principal(number),
    name,
    publicClient: number === 1,
    credentials: [...credentials],
    redirectUris: redirects,
    roles: mailRoles,
    graphRoles,
    ...more,
  });
  return {
    public: make(1, 'Sandbox desktop program', [], { roles: [], graphRoles: [] }),
    confidential: make(2, 'Sandbox web application', [secret('20')]),
    certificate: make(3, 'Sandbox daemon with a certificate', [keys.certificate]),
    federated: make(4, 'Sandbox workload with a federated credential', keys.federated(principal(5))),
    managedIdentity: make(5, 'Sandbox managed identity', [], { redirectUris: [] }),
    roleless: make(6, 'Sandbox daemon without application permissions', [secret('60')], { roles: [], graphRoles: [] }),
    disabled: make(7, 'Sandbox application that is disabled', [secret('70')], { disabled: true }),
  };
}

/** The longest that the portal offers. */
const SECRET_MS = 730 * 86_400_000;

export type ApplicationName =
  | 'public'
  | 'confidential'
  | 'certificate'
  | 'federated'
  | 'managedIdentity'
  | 'roleless'
  | 'disabled';

const loopbackPaths = ['', '/', '/callback', '/redirect', '/auth', '/oauth/callback'];
const loopbackRedirects: readonly string[] = ['http://localhost', 'http://127.0.0.1'].flatMap((host) =>
  loopbackPaths.map((path) => host + path),
);

/**
 * Microsoft's rule: exact text, except that the port of an `http` loopback address does not count (RFC 8252 §7.3);
 * `http://[::1]` cannot be registered.
 */
export function redirectMatches(registered: readonly string[], uri: string): boolean {
  if (registered.includes(uri)) return true;
  const loopback = /^(http:\/\/(?:localhost|127\.0\.0\.1))(?::\d{1,5})?(\/[^?#]*)?$/.exec(uri);
  return loopback !== null && registered.includes(`${loopback[1]}${loopback[2] ?? ''}`);
}
