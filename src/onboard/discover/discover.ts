/**
 * From a mail address to provider and servers: domains we know, the domain's own autoconfig file, SRV records, MX records.
 * Only https, and only the domain itself is asked; a third party (Mozilla's ISPDB) hears of the domain only when told to.
 */
import { asError, isError } from '../../base/error.ts';
import { before } from '../../base/text.ts';
import type { Http } from '../../oauth/http.ts';
import { presetById } from '../../oauth/providers.ts';
import { readAutoconfig } from './autoconfig.ts';
import type { Dns } from './dns.ts';
import { discoverError } from './errors.ts';
import type { PasswordProvider } from '../password-providers.ts';
import { passwordProviderOf, presetOfDomain, presetOfExchanger, presetOfServer } from './known.ts';
import { lookUpServers, outside } from './srv.ts';
import type { Attempt, Candidate, Discovery, Source } from './types.ts';

export interface DiscoverOptions {
  readonly dns: Dns;
  readonly http: Http;
  /** Address of a database of autoconfig files, asked with the domain only. Undefined: nobody is asked. */
  readonly ispdb?: string;
  /** Milliseconds for everything together. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Thunderbird's, for {@link DiscoverOptions.ispdb}. */
export const MOZILLA_ISPDB = 'https://autoconfig.thunderbird.net/v1.1/';

const TIMEOUT_MS = 10_000;
const LARGEST_FILE = 128 * 1024;
const REDIRECTS = 3;

/** Never fails because a source does: what was tried and why it gave nothing is in the result. @throws discover.address */
export async function discover(address: string, options: DiscoverOptions): Promise<Discovery> {
  const { normal, domain } = split(address);
  const signals = [AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS), ...(options.signal ? [options.signal] : [])];
  const context: Context = { ...options, address: normal, domain, signal: AbortSignal.any(signals) };
  const listed = byDomain(context);
  // What is known need not be asked for, and nobody hears of it.
  if (listed.candidate) return { address: normal, domain, candidates: [listed.candidate], attempts: [listed.attempt] };
  const asked = await Promise.all([
    byFile(context, `https://autoconfig.${domain}/mail/config-v1.1.xml?emailaddress=${encodeURIComponent(normal)}`),
    byFile(context, `https://${domain}/.well-known/autoconfig/mail/config-v1.1.xml`),
    bySrv(context),
    byExchanger(context),
    byAutodiscover(context),
    byDatabase(context),
  ]);
  const all = [listed, ...asked];
  options.signal?.throwIfAborted();
  return {
    address: normal,
    domain,
    candidates: distinct(all.flatMap(({ candidate }) => candidate ?? [])),
    attempts: all.map(({ attempt }) => attempt),
  };
}

interface Context extends Omit<DiscoverOptions, 'signal' | 'timeoutMs'> {
  readonly address: string;
  readonly domain: string;
  readonly signal: AbortSignal;
}

interface Found {
  readonly attempt: Attempt;
  readonly candidate?: Candidate;
}

function split(address: string): { readonly normal: string; readonly domain: string } {
  const match = /^([^\s@]{1,64})@([^\s@]{1,253})$/.exec(address.trim());
  const domain = match ? domainToAscii(match[2]!) : '';
  if (!match || domain === '') throw discoverError('discover.address', `${address} is not a mail address`);
  return { normal: `${match[1]!}@${domain}`.toLowerCase(), domain };
}

/** Empty where it is no domain name: addresses in numbers, empty labels, anything a URL would read differently. */
function domainToAscii(text: string): string {
  if (!URL.canParse(`https://${text}/`)) return '';
  const { hostname, host, pathname } = new URL(`https://${text}/`);
  const isName = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$/.test(hostname);
  return isName && hostname === host && pathname === '/' ? hostname : '';
}

function byDomain({ domain }: Context): Found {
  const preset = presetOfDomain(domain);
  const other = passwordProviderOf(domain);
  if (other) return passwordOnly('domain', domain, other);
  return preset === undefined ? nothing('domain', 'the list of known domains') : known('domain', domain, preset);
}

async function byFile(context: Context, url: string, source: Source = 'autoconfig'): Promise<Found> {
  const where = before(url, '?');
  try {
    const text = await fetchFile(context, url);
    if (text === undefined) return nothing(source, where);
    const file = readAutoconfig(text);
    const caution = source === 'ispdb' ? { caution: 'somebody else’s database says so, not the domain' } : {};
    return found(source, where, { ...file, ...caution });
  } catch (error) {
    if (isError(error, 'oauth.provider-unreachable') && /ENOTFOUND/.test(error.message))
      return nothing(source, where, 'there is no such host');
    return failed(source, where, error, context);
  }
}

/** Undefined where there is no file. Redirects are followed a little, as long as they stay on https. */
async function fetchFile({ http, signal }: Context, url: string): Promise<string | undefined> {
  let target = url;
  for (let hop = 0; hop <= REDIRECTS; hop++) {
    const answer = await http.request(target, {
      method: 'GET',
      headers: { accept: 'text/xml, application/xml' },
      signal,
    });
    const location = answer.headers.get('location');
    if (answer.status >= 300 && answer.status < 400 && location !== null) {
      if (!URL.canParse(location, target)) return undefined;
      const next = new URL(location, target);
      if (next.protocol !== 'https:')
        throw discoverError(
          'discover.garbled',
          `${new URL(target).host} redirects to ${next.protocol}//, which is not followed`,
        );
      target = next.href;
      continue;
    }
    if (answer.status !== 200) return undefined;
    const body = await answer.arrayBuffer();
    if (body.byteLength > LARGEST_FILE)
      throw discoverError('discover.garbled', `the file is larger than ${LARGEST_FILE} octets`);
    const text = new TextDecoder('utf-8').decode(body);
    // Many web servers answer every address with a page of theirs.
    return /^\ufeff?\s*(?:<\?xml|<!--|<clientConfig)/.test(text) ? text : undefined;
  }
  throw discoverError('discover.garbled', `more than ${REDIRECTS} redirects`);
}

async function bySrv(context: Context): Promise<Found> {
  const { dns, domain } = context;
  const where = `SRV records of ${domain}`;
  try {
    const mail = await lookUpServers(dns, domain);
    const hosts = Object.values(mail).map(({ host }) => host);
    if (hosts.length === 0) return nothing('srv', where);
    const preset = hosts.map(presetOfServer).find((id) => id !== undefined);
    const strangers = outside(mail, domain);
    return found('srv', where, {
      preset: preset ?? 'oidc',
      name: hosts[0]!,
      mail,
      signIn: preset === undefined ? 'unstated' : 'oauth2',
      ...(preset === undefined && strangers.length > 0
        ? {
            caution: `${strangers.join(', ')} is outside ${domain}, and DNS answers can be forged: confirm it is your provider’s`,
          }
        : {}),
    });
  } catch (error) {
    return failed('srv', where, error, context);
  }
}

async function byExchanger(context: Context): Promise<Found> {
  const { dns, domain } = context;
  const where = `MX records of ${domain}`;
  try {
    const records = (await dns.mx(domain)).toSorted((a, b) => a.priority - b.priority);
    const hit = records.find(({ exchange }) => presetOfExchanger(exchange) !== undefined);
    if (hit) return known('mx', hit.exchange, presetOfExchanger(hit.exchange)!);
    for (const { exchange } of records) {
      const other = passwordProviderOf(domain, exchange);
      if (other) return passwordOnly('mx', exchange, other);
    }
    return nothing(
      'mx',
      where,
      records.length === 0
        ? undefined
        : `${records[0]!.exchange} is not known to Postern; it may be a mail filter in front`,
    );
  } catch (error) {
    return failed('mx', where, error, context);
  }
}

/** Where a mail filter stands in front, Exchange's own name still tells. */
async function byAutodiscover(context: Context): Promise<Found> {
  const where = `autodiscover.${context.domain}`;
  try {
    const hit = (await context.dns.cname(where)).find((name) => presetOfExchanger(name) !== undefined);
    return hit === undefined ? nothing('mx', where) : known('mx', `${where} → ${hit}`, presetOfExchanger(hit)!);
  } catch (error) {
    return failed('mx', where, error, context);
  }
}

async function byDatabase(context: Context): Promise<Found> {
  const { ispdb, domain } = context;
  if (ispdb === undefined) {
    return {
      attempt: {
        source: 'ispdb',
        where: MOZILLA_ISPDB,
        outcome: 'not-asked',
        note: `--ispdb asks it; then Mozilla hears that somebody looks up ${domain}`,
      },
    };
  }
  return byFile(context, new URL(domain, ispdb.endsWith('/') ? ispdb : `${ispdb}/`).href, 'ispdb');
}

function known(source: Source, evidence: string, id: string): Found {
  const preset = presetById(id);
  if (!preset) return nothing(source, evidence);
  return found(source, evidence, { preset: id, name: preset.name, mail: preset.mail, signIn: 'oauth2' });
}

function passwordOnly(source: Source, evidence: string, { name, mail, appPassword }: PasswordProvider): Found {
  return found(source, evidence, { preset: 'oidc', name, mail, signIn: 'password', appPassword });
}

const found = (source: Source, where: string, about: Omit<Candidate, 'source' | 'evidence'>): Found => ({
  attempt: { source, where, outcome: 'found' },
  candidate: { source, evidence: where, ...about },
});

const nothing = (source: Source, where: string, note?: string): Found => ({
  attempt: { source, where, outcome: 'nothing', ...(note === undefined ? {} : { note }) },
});

function failed(source: Source, where: string, thrown: unknown, { signal }: Context): Found {
  const note = signal.aborted ? 'no answer in time' : asError(thrown).message.replace(/^unexpected: /, '');
  return { attempt: { source, where, outcome: 'failed', note } };
}

const SIGN_IN_RANK = { oauth2: 0, unstated: 1, password: 2 } as const;

/** What opens by OAuth 2.0 first, in the order of the sources otherwise; the same provider twice is one candidate. */
function distinct(candidates: readonly Candidate[]): readonly Candidate[] {
  const seen = new Set<string>();
  const ordered = candidates.toSorted((a, b) => SIGN_IN_RANK[a.signIn] - SIGN_IN_RANK[b.signIn]);
  return ordered.filter(({ preset, mail }) => {
    const key = preset === 'oidc' ? JSON.stringify(mail) : preset;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
