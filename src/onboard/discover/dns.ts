/** The DNS questions of discovery, bounded in time. An interface, so that tests answer them. */
import type { MxRecord, SrvRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';

/** Empty where there is no such record; throws where nobody answers. */
export interface Dns {
  mx(domain: string): Promise<readonly MxRecord[]>;
  srv(name: string): Promise<readonly SrvRecord[]>;
  cname(name: string): Promise<readonly string[]>;
}

const TIMEOUT_MS = 2500;
const NONE = new Set(['ENOTFOUND', 'ENODATA']);

export function systemDns(): Dns {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 2 });
  const ask = async <T>(question: Promise<readonly T[]>): Promise<readonly T[]> => {
    try {
      return await question;
    } catch (error) {
      if (NONE.has((error as NodeJS.ErrnoException).code ?? '')) return [];
      throw error;
    }
  };
  return {
    mx: (domain) => ask(resolver.resolveMx(domain)),
    srv: (name) => ask(resolver.resolveSrv(name)),
    cname: (name) => ask(resolver.resolveCname(name)),
  };
}
