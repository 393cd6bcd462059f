/** Discovery for commands: the real DNS and network, loaded when asked for. */
import type { Candidate, Discovery } from '../onboard/discover/types.ts';
import { tenantOf } from '../onboard/register/command.ts';
import { readText } from './ask.ts';
import type { Context } from './context.ts';
import { cliError } from './errors.ts';

/** @throws discover.address, cli.usage */
export async function discoverAddress(
  address: string,
  options: { readonly ispdb?: string | true; readonly ca?: string } = {},
): Promise<Discovery> {
  const { openHttp } = await import('../oauth/http.ts');
  const { systemDns } = await import('../onboard/discover/dns.ts');
  const { discover, MOZILLA_ISPDB } = await import('../onboard/discover/discover.ts');
  const ispdb = options.ispdb === true ? MOZILLA_ISPDB : options.ispdb;
  if (ispdb !== undefined && !/^https:\/\/[^/]/.test(ispdb))
    throw cliError('cli.usage', `${ispdb} is no address of a database`, { hint: 'write it as https://…/' });
  const http = openHttp({
    ca: options.ca === undefined ? undefined : readText(options.ca, 'CA'),
    timeoutMs: 8000,
  });
  try {
    return await discover(address, { dns: systemDns(), http, ...(ispdb === undefined ? {} : { ispdb }) });
  } finally {
    await http.close();
  }
}

/** What an application has to know of the best candidate. */
export interface FoundProvider {
  readonly preset: string;
  /** Microsoft: the address’s own domain, which stands for the directory it is verified in. */
  readonly tenant: string | undefined;
  /** A preset knows its servers by itself. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export function foundProvider({ preset, mail, issuer }: Candidate, domain: string): FoundProvider {
  return {
    preset,
    tenant: tenantOf(preset, domain),
    settings: preset === 'oidc' ? { ...mail, ...(issuer === undefined ? {} : { issuer }) } : {},
  };
}

/** Discovers, says what was found and from where. @throws cli.nothing-found, discover.address */
export async function providerFor(context: Context, address: string, ca?: string): Promise<FoundProvider> {
  const { candidates, domain } = await discoverAddress(address, ca === undefined ? {} : { ca });
  const [best] = candidates;
  if (!best) throw cliError('cli.nothing-found', `nothing is known about ${domain}`);
  context.say(`${domain}: ${best.name}, from ${best.evidence}`);
  if (best.caution !== undefined) context.say(`careful: ${best.caution}`);
  return foundProvider(best, domain);
}
