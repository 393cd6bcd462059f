/** The authorization server of a mailbox: reachable, really one, the one that was meant, and with our idea of the time. */
import { scrub } from '../base/secret.ts';
import { openHttp } from '../oauth/http.ts';
import type { Diagnosis } from '../oauth/catalogue/diagnose.ts';
import { type ProviderProfile, resolveProvider } from '../oauth/provider.ts';
import type { Application } from '../store/types.ts';
import type { SignInLimits } from '../upstream/sign-in.ts';
import { checkError } from './errors.ts';
import { reach, resolveName } from './reach.ts';
import { type Found, operatorWarning, Steps } from './step.ts';
import { describeTls } from './tls-facts.ts';
import type { CheckDeps, CheckOptions, Finding } from './types.ts';

const MAX_MS = 15_000;
/** A person notices nothing yet; certificates and ID tokens do later. */
const SKEW_WARNING_MS = 60_000;
/** What authorization servers commonly allow (RFC 7519 §4.1.4 speaks of "a few minutes"; Microsoft allows five). */
const SKEW_FAILURE_MS = 5 * 60_000;

/** What is wrong with the metadata of an application’s provider, with what to do; undefined when it is as it should be. */
export async function authorityTrouble(
  deps: Pick<CheckDeps, 'clock'>,
  application: Application,
  options: CheckOptions = {},
): Promise<Diagnosis | undefined> {
  const { name, tenant } = application;
  const steps = new Steps(deps.clock, options, { application: name, ...(tenant === undefined ? {} : { tenant }) });
  const findings = await Array.fromAsync(checkAuthority(deps, resolveProvider(application), steps, options));
  return findings.find(({ outcome }) => outcome === 'failed')?.diagnosis;
}

/** The findings, in order. Never throws but the abort. */
export async function* checkAuthority(
  deps: Pick<CheckDeps, 'clock'>,
  profile: ProviderProfile,
  steps: Steps,
  options: CheckOptions,
): AsyncGenerator<Finding, void, void> {
  const address = metadataAddress(profile);
  const origin = new URL(address);
  const limits = { timeoutMs: Math.min(options.timeoutMs ?? MAX_MS, MAX_MS), signal: options.signal };
  if (proxyFor(origin)) {
    yield steps.skipped(
      'authority.tcp',
      'authority connection',
      'requests go through a proxy, which makes the connection',
    );
  } else {
    const { findings, through } = await reachOrigin(deps, origin, profile.ca, steps, limits);
    yield* findings;
    if (!through) return;
  }
  let dated: { readonly serverTime: number; readonly ourTime: number } | undefined;
  yield await steps.run('authority.metadata', 'authority metadata', async () => {
    const seen = await readMetadata(address, profile, deps, limits);
    dated = seen.dated;
    return seen.found;
  });
  const seen = dated;
  if (seen) yield await steps.run('clock', 'clock', () => judgeClock(seen.serverTime, seen.ourTime));
}

async function reachOrigin(
  deps: Pick<CheckDeps, 'clock'>,
  origin: URL,
  ca: string | undefined,
  steps: Steps,
  limits: SignInLimits,
): Promise<{ readonly findings: readonly Finding[]; readonly through: boolean }> {
  const host = origin.hostname.replace(/^\[|\]$/g, '');
  const port = Number(origin.port || 443);
  const dns = await steps.run('authority.dns', 'authority name', () => resolveName(host));
  if (dns.outcome === 'failed') return { findings: [dns], through: false };
  const reached = await reach({ host, port, tls: 'implicit', trust: ca === undefined ? {} : { ca } }, limits, () =>
    deps.clock.now(),
  );
  if (reached.type === 'no-tcp')
    return { findings: [dns, steps.failed('authority.tcp', 'authority connection', reached.error)], through: false };
  const tcp = await steps.run('authority.tcp', 'authority connection', () => ({
    says: `${host}:${port} answers`,
    facts: { host, port },
  }));
  if (reached.type === 'no-tls')
    return { findings: [dns, tcp, steps.failed('authority.tls', 'authority TLS', reached.error)], through: false };
  const tls = await steps.run('authority.tls', 'authority TLS', () =>
    describeTls(reached.conn.socket, host, deps.clock.now()),
  );
  reached.conn.destroy();
  return { findings: [dns, tcp, tls], through: true };
}

interface Seen {
  readonly found: Found;
  readonly dated: { readonly serverTime: number; readonly ourTime: number } | undefined;
}

/** @throws oauth.provider-*, check.metadata */
async function readMetadata(
  address: string,
  profile: ProviderProfile,
  { clock }: Pick<CheckDeps, 'clock'>,
  { timeoutMs, signal }: SignInLimits,
): Promise<Seen> {
  const http = openHttp({ ca: profile.ca, timeoutMs });
  try {
    const before = clock.now();
    const answer = await http.request(address, { method: 'GET', ...(signal ? { signal } : {}) });
    const serverTime = Date.parse(answer.headers.get('date') ?? '');
    const dated = Number.isNaN(serverTime) ? undefined : { serverTime, ourTime: (before + clock.now()) / 2 };
    return { found: judgeMetadata(address, answer.status, await bodyOf(answer), profile), dated };
  } finally {
    await http.close();
  }
}

function judgeMetadata(
  address: string,
  status: number,
  body: Readonly<Record<string, unknown>> | undefined,
  profile: ProviderProfile,
): Found {
  const host = new URL(address).host;
  const facts = { address, status, issuer: body?.['issuer'] ?? null };
  if (status !== 200 || !body) {
    // OAuth without OpenID Connect: what a preset knows is enough.
    if (profile.endpoints && !profile.microsoft && status >= 400 && status < 500)
      return { says: `${host} publishes no metadata; the preset’s endpoints are used`, facts };
    const words = providerWords(body);
    const said = words?.error_description === undefined ? '' : `: ${words.error_description}`;
    throw checkError('check.metadata', `${host} answers ${status} where its metadata should be${said}`, {
      detail: { ...facts, host, ...words },
      hint:
        status >= 500
          ? 'the provider has a problem of its own; try again in some minutes'
          : 'check authority, issuer and tenant of the application: postern application show NAME',
    });
  }
  const issuer = String(body['issuer']);
  if (!sameIssuer(issuer, profile))
    throw checkError('check.metadata', `the authority calls itself ${issuer}, not ${profile.issuer}`, {
      detail: { ...facts, host, expected: profile.issuer },
    });
  return { says: `${host} is ${issuer}`, facts };
}

/** What the provider says of a refusal, as at its token endpoint (RFC 6749 §5.2): the catalogue knows it by these. */
function providerWords(
  body: Readonly<Record<string, unknown>> | undefined,
): { readonly error: string; readonly error_codes?: unknown; readonly error_description?: string } | undefined {
  if (typeof body?.['error'] !== 'string') return undefined;
  const { error, error_codes: codes, error_description: description } = body;
  return {
    error: scrub(error),
    ...(codes === undefined ? {} : { error_codes: codes }),
    // The lines behind the first are trace ids and the time.
    ...(typeof description === 'string'
      ? { error_description: scrub(description.split(/[\r\n]/)[0]!.slice(0, 500)) }
      : {}),
  };
}

/** Microsoft names a shared tenant’s issuer with a placeholder, and one found by a domain with its directory id. */
function sameIssuer(issuer: string, { issuer: wanted }: ProviderProfile): boolean {
  const plain = (text: string): string => text.replace(/\/$/, '').toLowerCase();
  if (plain(issuer) === plain(wanted)) return true;
  const [before, after] = plain(wanted).split('{tenantid}');
  return after !== undefined && plain(issuer).startsWith(before!) && plain(issuer).endsWith(after);
}

function judgeClock(serverTime: number, ourTime: number): Found {
  const skewMs = ourTime - serverTime;
  // The header has whole seconds.
  const seconds = Math.round((skewMs - 500) / 1000);
  const facts = { skewSeconds: seconds };
  const words = `this machine’s clock is ${Math.abs(seconds)} seconds ${seconds > 0 ? 'fast' : 'slow'}`;
  if (Math.abs(skewMs) >= SKEW_FAILURE_MS) throw checkError('check.clock', words, { detail: facts });
  if (Math.abs(skewMs) < SKEW_WARNING_MS) return { says: 'agrees with the provider’s', facts };
  return {
    says: words,
    facts,
    warning: operatorWarning('clock.skew', words, { do: 'set the clock by NTP', run: 'timedatectl set-ntp true' }),
  };
}

/** OpenID Connect Discovery 1.0 §4; RFC 8414 §3 puts it elsewhere for issuers with a path, which no provider here has. */
function metadataAddress(profile: ProviderProfile): string {
  const base = profile.microsoft ? `${profile.authority}/v2.0` : profile.issuer;
  return `${base.replace(/\/$/, '')}/.well-known/openid-configuration`;
}

async function bodyOf(answer: Response): Promise<Readonly<Record<string, unknown>> | undefined> {
  const text = await answer.text();
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    // A page, not metadata: the status is told.
    return undefined;
  }
}

/** As undici's EnvHttpProxyAgent decides, roughly: enough to know that a direct connection proves nothing. */
function proxyFor({ hostname }: URL): boolean {
  const { env } = process;
  const proxy = env['https_proxy'] ?? env['HTTPS_PROXY'] ?? '';
  if (proxy === '') return false;
  const except = (env['no_proxy'] ?? env['NO_PROXY'] ?? '').split(/[\s,]+/).filter(Boolean);
  return !except.some(
    (name) => name === '*' || hostname === name || hostname.endsWith(`.${name.replace(/^\.|^\*\./, '')}`),
  );
}
