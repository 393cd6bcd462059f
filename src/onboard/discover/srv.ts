/** Mail servers from SRV records: RFC 6186, and RFC 8314 §5.1 for submission with TLS from the first byte. */
import type { MailServer } from '../../oauth/preset.ts';
import type { Protocol } from '../../store/protocols.ts';
import type { SrvRecord } from 'node:dns';
import type { Dns } from './dns.ts';

interface Label {
  readonly protocol: Protocol;
  readonly label: string;
  readonly tls: MailServer['tls'];
}

/** For each protocol the better one first (RFC 8314 §3.3 prefers implicit TLS). */
const LABELS: readonly Label[] = [
  { protocol: 'imap', label: '_imaps._tcp', tls: 'implicit' },
  { protocol: 'imap', label: '_imap._tcp', tls: 'starttls' },
  { protocol: 'pop3', label: '_pop3s._tcp', tls: 'implicit' },
  { protocol: 'pop3', label: '_pop3._tcp', tls: 'starttls' },
  { protocol: 'smtp', label: '_submissions._tcp', tls: 'implicit' },
  { protocol: 'smtp', label: '_submission._tcp', tls: 'starttls' },
];

/** Throws where nobody answers. */
export async function lookUpServers(dns: Dns, domain: string): Promise<Partial<Record<Protocol, MailServer>>> {
  const answers = await Promise.all(
    LABELS.map(async (one) => ({ ...one, records: await dns.srv(`${one.label}.${domain}`) })),
  );
  const found: Partial<Record<Protocol, MailServer>> = {};
  for (const { protocol, tls, records } of answers) {
    const best = pick(records);
    if (best && !found[protocol])
      found[protocol] = { host: best.name.toLowerCase().replace(/\.$/, ''), port: best.port, tls };
  }
  return found;
}

/** The lowest priority, within it the highest weight; a target of "." says: not offered here (RFC 2782). */
function pick(records: readonly SrvRecord[]): SrvRecord | undefined {
  return records
    .filter(({ name }) => name !== '' && name !== '.')
    .toSorted((a, b) => a.priority - b.priority || b.weight - a.weight)[0];
}

/** RFC 6186 §6: a server outside the domain may be an attacker's, unless DNSSEC says otherwise, which we cannot see. */
export function outside(mail: Partial<Readonly<Record<Protocol, MailServer>>>, domain: string): readonly string[] {
  const hosts = Object.values(mail).map(({ host }) => host);
  return [...new Set(hosts.filter((host) => host !== domain && !host.endsWith(`.${domain}`)))];
}
