/** Which provider a domain, a mail exchanger or a mail server belongs to, as data. */
import { passwordProviders, type PasswordProvider } from '../password-providers.ts';
import { before } from '../../base/text.ts';
import { presets } from '../../oauth/providers.ts';

interface Rule {
  readonly preset: string;
  readonly pattern: RegExp;
}

/** Domains whose mailboxes are all at one provider. Sources: Thunderbird autoconfig (ISPDB), Microsoft and Google documentation. */
const DOMAINS: readonly Rule[] = [
  {
    preset: 'outlook',
    pattern:
      /^(?:outlook|hotmail|live)\.(?:com|[a-z]{2}|co\.[a-z]{2}|com\.[a-z]{2})$|^(?:msn|passport|windowslive)\.com$/,
  },
  { preset: 'google', pattern: /^(?:gmail|googlemail)\.com$/ },
  { preset: 'aol', pattern: /^aol\.(?:com|[a-z]{2}|co\.[a-z]{2})$|^aim\.com$/ },
  // yahoo.co.jp is another company's, with servers of its own.
  {
    preset: 'yahoo',
    pattern: /^yahoo\.(?:com|[a-z]{2}|co\.(?!jp)[a-z]{2}|com\.[a-z]{2})$|^(?:ymail|rocketmail)\.com$/,
  },
  { preset: 'mailru', pattern: /^(?:mail|inbox|list|bk|internet)\.ru$/ },
  { preset: 'comcast', pattern: /^(?:comcast|xfinity)\.net$/ },
  {
    preset: 'fastmail',
    pattern: /^fastmail\.(?:com|fm|net|org|[a-z]{2}|co\.uk|com\.au)$|^(?:messagingengine\.com|sent\.com)$/,
  },
  { preset: 'yandex', pattern: /^yandex\.(?:com|[a-z]{2}|com\.[a-z]{2})$|^ya\.ru$/ },
  { preset: 'microsoft', pattern: /\.onmicrosoft\.com$/ },
  { preset: 'microsoft-gcc-high', pattern: /\.onmicrosoft\.us$/ },
  { preset: 'microsoft-china', pattern: /\.partner\.onmschina\.cn$/ },
];

/** Names of mail exchangers, and of what `autodiscover.` stands for. */
const EXCHANGERS: readonly Rule[] = [
  { preset: 'outlook', pattern: /\.olc\.protection\.outlook\.com$/ },
  {
    preset: 'microsoft',
    pattern: /\.mail\.protection\.outlook\.com$|\.mx\.microsoft$|^autodiscover(?:-s)?\.outlook\.com$/,
  },
  { preset: 'microsoft-gcc-high', pattern: /\.mail\.protection\.office365\.us$|^autodiscover(?:-s)?\.office365\.us$/ },
  { preset: 'microsoft-dod', pattern: /^autodiscover(?:-s)?-dod\.office365\.us$/ },
  {
    preset: 'microsoft-china',
    pattern: /\.mail\.protection\.partner\.outlook\.cn$|^autodiscover\.partner\.outlook\.cn$/,
  },
  { preset: 'google', pattern: /^(?:alt\d\.)?aspmx\.l\.google\.com$|^aspmx\d?\.googlemail\.com$|^smtp\.google\.com$/ },
  { preset: 'aol', pattern: /^mx-aol\.mail\..*\.yahoodns\.net$/ },
  { preset: 'yahoo', pattern: /\.yahoodns\.net$/ },
  { preset: 'fastmail', pattern: /\.messagingengine\.com$/ },
  { preset: 'yandex', pattern: /^mx\.yandex\.(?:ru|net|com)$/ },
  { preset: 'mailru', pattern: /^(?:emx|mxs)\.mail\.ru$/ },
];

const plain = (name: string): string => name.toLowerCase().replace(/\.$/, '');
const match = (rules: readonly Rule[], name: string): string | undefined =>
  rules.find(({ pattern }) => pattern.test(plain(name)))?.preset;

export function presetOfDomain(domain: string): string | undefined {
  return match(DOMAINS, domain);
}

export function presetOfExchanger(name: string): string | undefined {
  return match(EXCHANGERS, name);
}

/** The provider of a domain or a mail exchanger that takes passwords only; undefined for any other. */
export function passwordProviderOf(domain: string, exchanger?: string): PasswordProvider | undefined {
  return passwordProviders.find(
    ({ domains, exchangers }) =>
      domains.test(plain(domain)) || (exchanger !== undefined && exchangers?.test(plain(exchanger)) === true),
  );
}

/** By the host of a mail server that a file or a record names. */
export function presetOfServer(host: string): string | undefined {
  return presets.find(({ mail }) => Object.values(mail).some((server) => server.host === plain(host)))?.id;
}

/** By the issuer that an autoconfig file names: Thunderbird writes a host, not an address. */
export function presetOfIssuer(issuer: string): string | undefined {
  const host = plain(before(issuer.replace(/^https:\/\//, ''), '/'));
  return ISSUERS[host];
}

const ISSUERS: Readonly<Record<string, string>> = {
  'accounts.google.com': 'google',
  'login.microsoftonline.com': 'microsoft',
  'login.microsoftonline.us': 'microsoft-gcc-high',
  'login.partner.microsoftonline.cn': 'microsoft-china',
  'login.yahoo.com': 'yahoo',
  'api.login.yahoo.com': 'yahoo',
  'login.aol.com': 'aol',
  'api.login.aol.com': 'aol',
  'www.fastmail.com': 'fastmail',
  'api.fastmail.com': 'fastmail',
  'oauth.yandex.com': 'yandex',
  'oauth.yandex.ru': 'yandex',
};
