/**
 * The providers we know, as data. Every value names how sure we are of it: `vendor` read in the vendor's documentation,
 * `secondary` seen in other software or support threads, `unverified` neither.
 */
import type { Protocol } from '../store/protocols.ts';
import type { MailServer, MicrosoftPreset, Preset, SendingLimits, StandardPreset } from './preset.ts';

const implicit = (host: string, port: number): MailServer => ({ host, port, tls: 'implicit' });
/** TLS from the first octet, on the ports that are registered for it. */
const implicitMail = (imap: string, pop3: string, smtp: string): Preset['mail'] => ({
  imap: implicit(imap, 993),
  pop3: implicit(pop3, 995),
  smtp: implicit(smtp, 465),
});
/** Exchange takes submissions by STARTTLS alone. */
const exchangeMail = (host: string, smtp: string): Preset['mail'] => ({
  imap: implicit(host, 993),
  pop3: implicit(host, 995),
  smtp: { host: smtp, port: 587, tls: 'starttls' },
});
const everyProtocol = (...scopes: string[]): Record<Protocol, readonly string[]> => ({
  imap: scopes,
  pop3: scopes,
  smtp: scopes,
});

/** Where nothing is published: careful with connections, otherwise as fast as the server says. */
export const UNPUBLISHED_LIMITS: SendingLimits = {
  messagesPerMinute: undefined,
  recipientsPerDay: undefined,
  connections: 5,
};

const STANDARD = {
  family: 'standard',
  register: 'vendor',
  sendingLimits: UNPUBLISHED_LIMITS,
  routes: ['smtp'],
  audiences: [],
  extraParameters: {},
  baseScopes: [],
  mechanisms: ['OAUTHBEARER', 'XOAUTH2'],
  deviceCode: 'no',
  identity: 'mail-server',
} as const satisfies Partial<StandardPreset>;

/** What an entry says for itself, and may say otherwise. */
type Own<P extends Preset, Known> = Omit<P, keyof Known | 'applicationName'> & Partial<P>;

const standard = (own: Own<StandardPreset, typeof STANDARD>): StandardPreset => ({
  applicationName: own.id,
  ...STANDARD,
  ...own,
});

const EXCHANGE_ONLINE = {
  family: 'microsoft',
  accounts: 'organization',
  register: 'microsoft',
  // Exchange Online limits, learn.microsoft.com/office365/servicedescriptions (sending limits).
  sendingLimits: { messagesPerMinute: 30, recipientsPerDay: 10_000, connections: 3 },
  savesSent: true,
  routes: ['smtp', 'graph'],
  defaultTenant: 'organizations',
  deviceCode: 'discouraged',
  scopes: { imap: ['IMAP.AccessAsUser.All'], pop3: ['POP.AccessAsUser.All'], smtp: ['SMTP.Send'] },
  // `profile` because Entra puts preferred_username, which we compare with the mailbox, in ID tokens only with it.
  baseScopes: ['openid', 'profile', 'offline_access'],
  mechanisms: ['XOAUTH2'],
  extraParameters: {},
  identity: 'id-token',
  // MicrosoftDocs, refresh tokens in the Microsoft identity platform: 90 days, replaced with every use.
  inactivityDays: 90,
  consents: 'https://myapps.microsoft.com, or an administrator under Enterprise applications',
  notes: [
    'scopes are full URLs: bare names give a token for Microsoft Graph, which the mail servers refuse',
    'device code is blocked by Microsoft-managed policies in many tenants, and its grants may stop renewing',
  ],
} as const satisfies Partial<MicrosoftPreset>;

const microsoft = (own: Own<MicrosoftPreset, typeof EXCHANGE_ONLINE>): MicrosoftPreset => ({
  applicationName: 'work',
  ...EXCHANGE_ONLINE,
  ...own,
});

const WORLDWIDE = {
  cloud: 'global',
  loginOrigin: 'https://login.microsoftonline.com',
  resource: 'https://outlook.office.com',
  appResource: 'https://outlook.office365.com',
  federatedAudience: 'api://AzureADTokenExchange',
} as const;
/** GCC High and DoD; which of them it is the mail servers tell. */
const UNITED_STATES = {
  loginOrigin: 'https://login.microsoftonline.us',
  resource: 'https://outlook.office365.us',
  appResource: 'https://outlook.office365.us',
  federatedAudience: 'api://AzureADTokenExchangeUSGov',
} as const;

const EXCHANGE_DOC = 'MicrosoftDocs: authenticate an IMAP, POP or SMTP connection using OAuth';
const CLOUD_DOC = 'MicrosoftDocs: Microsoft Entra authentication and national clouds';

export const presets: readonly Preset[] = [
  microsoft({
    id: 'microsoft',
    ...WORLDWIDE,
    name: 'Microsoft 365',
    mail: exchangeMail('outlook.office365.com', 'smtp.office365.com'),
    sources: [
      { what: 'scopes, SASL, app-only resource', from: EXCHANGE_DOC, confidence: 'vendor' },
      { what: 'sign-in host', from: CLOUD_DOC, confidence: 'vendor' },
      { what: 'mail hosts', from: 'MicrosoftDocs: OfficeDocs-Exchange (2021)', confidence: 'vendor' },
    ],
  }),
  microsoft({
    id: 'microsoft-gcc-high',
    cloud: 'gcc-high',
    name: 'Microsoft 365 GCC High',
    ...UNITED_STATES,
    mail: exchangeMail('outlook.office365.us', 'smtp.office365.us'),
    sources: [
      { what: 'sign-in host', from: CLOUD_DOC, confidence: 'vendor' },
      { what: 'mail hosts', from: 'MicrosoftDocs: GCC High endpoints (2023)', confidence: 'vendor' },
      { what: 'scopes, submission host', from: 'EmailEngine', confidence: 'secondary' },
    ],
  }),
  microsoft({
    id: 'microsoft-dod',
    cloud: 'dod',
    name: 'Microsoft 365 DoD',
    ...UNITED_STATES,
    mail: exchangeMail('outlook-dod.office365.us', 'outlook-dod.office365.us'),
    sources: [
      { what: 'sign-in host', from: CLOUD_DOC, confidence: 'vendor' },
      { what: 'mail hosts', from: 'MicrosoftDocs: DoD endpoints (2020)', confidence: 'vendor' },
      { what: 'scopes', from: 'EmailEngine', confidence: 'secondary' },
    ],
  }),
  microsoft({
    id: 'microsoft-china',
    cloud: 'china',
    name: 'Microsoft 365 operated by 21Vianet',
    loginOrigin: 'https://login.partner.microsoftonline.cn',
    resource: 'https://partner.outlook.cn',
    appResource: 'https://partner.outlook.cn',
    federatedAudience: 'api://AzureADTokenExchangeChina',
    mail: exchangeMail('partner.outlook.cn', 'partner.outlook.cn'),
    notes: ['scopes and mail ports of this cloud could not be verified; override them in the application’s settings'],
    sources: [
      { what: 'sign-in host', from: CLOUD_DOC, confidence: 'vendor' },
      { what: 'scopes, mail hosts', from: 'EmailEngine, email-oauth2-proxy', confidence: 'unverified' },
    ],
  }),
  microsoft({
    id: 'outlook',
    ...WORLDWIDE,
    accounts: 'personal',
    applicationName: 'outlook',
    name: 'Outlook.com, Hotmail, Live',
    // 300 recipients a day for accounts without history; the SMTP side is Exchange's.
    sendingLimits: { messagesPerMinute: 30, recipientsPerDay: 300, connections: 3 },
    defaultTenant: 'consumers',
    consents: 'https://account.live.com/consent/Manage',
    deviceCode: 'yes',
    mail: exchangeMail('outlook.office365.com', 'smtp-mail.outlook.com'),
    notes: [
      'IMAP and POP are off by default in a personal mailbox; switch them on in its settings',
      'registering an application needs an Entra directory, also for personal accounts only',
    ],
    sources: [{ what: 'mail hosts', from: 'Thunderbird autoconfig, email-oauth2-proxy', confidence: 'secondary' }],
  }),
  standard({
    id: 'google',
    register: 'google',
    needsSecret: true,
    // Google Workspace sending limits: 10,000 recipients a day, of them 3,000 outside; nothing is said of a minute.
    sendingLimits: { messagesPerMinute: undefined, recipientsPerDay: 10_000, connections: 3 },
    savesSent: true,
    name: 'Gmail and Google Workspace',
    issuer: 'https://accounts.google.com',
    endpoints: {
      authorization: 'https://accounts.google.com/o/oauth2/v2/auth',
      token: 'https://oauth2.googleapis.com/token',
      jwks: 'https://www.googleapis.com/oauth2/v3/certs',
      revocation: 'https://oauth2.googleapis.com/revoke',
    },
    consents: 'https://myaccount.google.com/connections',
    scopes: everyProtocol('https://mail.google.com/'),
    baseScopes: ['openid', 'email'],
    // Both, or a second consent of the same person comes without a refresh token.
    extraParameters: { access_type: 'offline', prompt: 'consent' },
    identity: 'id-token',
    // Six months, Google: “Using OAuth 2.0”, refresh token expiration.
    inactivityDays: 180,
    mail: implicitMail('imap.gmail.com', 'pop.gmail.com', 'smtp.gmail.com'),
    notes: [
      'https://mail.google.com/ is a restricted scope: use an Internal application in your own Workspace, or publish a personal one',
      'while the consent screen is in “Testing”, grants end after seven days',
    ],
    sources: [
      { what: 'scope', from: 'developers.google.com: XOAUTH2 mechanism', confidence: 'vendor' },
      { what: 'endpoints, parameters', from: 'EmailEngine', confidence: 'secondary' },
      { what: 'mail hosts', from: 'Thunderbird autoconfig', confidence: 'secondary' },
      { what: 'revocation', from: 'developers.google.com: Using OAuth 2.0, revoking a token', confidence: 'vendor' },
      { what: 'key set address', from: 'Google’s discovery document', confidence: 'unverified' },
    ],
  }),
  ...(['yahoo', 'aol'] as const).map((id) =>
    standard({
      id,
      needsSecret: true,
      name: id === 'yahoo' ? 'Yahoo Mail' : 'AOL Mail',
      issuer: `https://api.login.${id}.com`,
      endpoints: {
        authorization: `https://api.login.${id}.com/oauth2/request_auth`,
        token: `https://api.login.${id}.com/oauth2/get_token`,
      },
      scopes: everyProtocol('mail-w'),
      mail:
        id === 'yahoo'
          ? implicitMail('imap.mail.yahoo.com', 'pop.mail.yahoo.com', 'smtp.mail.yahoo.com')
          : implicitMail('imap.aol.com', 'pop.aol.com', 'smtp.aol.com'),
      notes: ['new applications need a review and an agreement; without them use an app password of the provider'],
      sources: [
        { what: 'scope, mechanism', from: 'senders.yahooinc.com developer documentation', confidence: 'vendor' },
        { what: 'endpoints, mail hosts', from: 'Thunderbird', confidence: 'secondary' },
      ],
    }),
  ),
  standard({
    id: 'fastmail',
    name: 'Fastmail',
    issuer: 'https://api.fastmail.com',
    endpoints: {
      authorization: 'https://api.fastmail.com/oauth/authorize',
      token: 'https://api.fastmail.com/oauth/refresh',
    },
    scopes: {
      imap: ['https://www.fastmail.com/dev/protocol-imap'],
      pop3: ['https://www.fastmail.com/dev/protocol-pop'],
      smtp: ['https://www.fastmail.com/dev/protocol-smtp'],
    },
    baseScopes: ['offline_access'],
    mail: implicitMail('imap.fastmail.com', 'pop.fastmail.com', 'smtp.fastmail.com'),
    notes: ['registration is by contacting the vendor; http://localhost/ is allowed as redirect'],
    sources: [
      { what: 'registration, redirect', from: 'fastmail.com/for-developers/oauth', confidence: 'vendor' },
      { what: 'endpoints, scopes', from: 'Thunderbird', confidence: 'secondary' },
    ],
  }),
  standard({
    id: 'yandex',
    name: 'Yandex Mail',
    issuer: 'https://oauth.yandex.com',
    endpoints: { authorization: 'https://oauth.yandex.com/authorize', token: 'https://oauth.yandex.com/token' },
    // POP3 is not mentioned by the vendor, so it is not offered.
    scopes: { imap: ['mail:imap_full'], smtp: ['mail:smtp'] },
    mechanisms: ['XOAUTH2'],
    mail: { imap: implicit('imap.yandex.com', 993), smtp: implicit('smtp.yandex.com', 465) },
    notes: ['IMAP must be switched on in the mailbox’s settings'],
    sources: [{ what: 'scopes, mechanism', from: 'Yandex help', confidence: 'vendor' }],
  }),
  standard({
    id: 'mailru',
    name: 'Mail.ru',
    issuer: 'https://o2.mail.ru',
    endpoints: { authorization: 'https://o2.mail.ru/login', token: 'https://o2.mail.ru/token' },
    scopes: everyProtocol('mail.imap'),
    mechanisms: ['XOAUTH2'],
    mail: implicitMail('imap.mail.ru', 'pop.mail.ru', 'smtp.mail.ru'),
    notes: [
      'which host issues tokens could not be verified (EmailEngine uses oauth.mail.ru); where it is refused, set the issuer or use an app password of the provider',
    ],
    sources: [{ what: 'endpoints, scope, mail hosts', from: 'Thunderbird, ISPDB', confidence: 'secondary' }],
  }),
  standard({
    id: 'comcast',
    name: 'Comcast Xfinity',
    issuer: 'https://oauth.xfinity.com/oauth',
    endpoints: {
      authorization: 'https://oauth.xfinity.com/oauth/authorize',
      token: 'https://oauth.xfinity.com/oauth/token',
    },
    scopes: everyProtocol('https://email.comcast.net/'),
    baseScopes: ['profile', 'openid'],
    mechanisms: ['XOAUTH2'],
    mail: implicitMail('imap.comcast.net', 'mail.comcast.net', 'smtp.comcast.net'),
    notes: ['no public registration of applications is known; without one use an app password of the provider'],
    sources: [{ what: 'endpoints, scopes, mail hosts', from: 'Thunderbird', confidence: 'secondary' }],
  }),
  standard({
    id: 'oidc',
    register: 'oidc',
    name: 'Any OpenID Connect or OAuth 2.0 server',
    issuer: undefined,
    endpoints: undefined,
    scopes: {},
    baseScopes: ['openid', 'email', 'offline_access'],
    deviceCode: 'yes',
    identity: 'id-token',
    mail: {},
    notes: ['issuer, mail servers and scopes come from the application’s settings'],
    sources: [],
  }),
];

/** @returns the preset with this id, or undefined. */
export function presetById(id: string): Preset | undefined {
  return presets.find((preset) => preset.id === id);
}
