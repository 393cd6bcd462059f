/** What a TLS connection shows of itself: version, cipher, certificate chain and its end. */
import { TLSSocket, type DetailedPeerCertificate } from 'node:tls';
import type { Socket } from 'node:net';
import { DAY_MS, type Found } from './step.ts';

/** A provider renews its certificates weeks before; one this close to its end is forgotten. */
const SOON_DAYS = 7;

export function describeTls(socket: Socket, host: string, now: number): Found {
  if (!(socket instanceof TLSSocket)) return { says: 'no TLS: the connection stays plain', facts: { protocol: null } };
  const protocol = socket.getProtocol() ?? 'unknown';
  const cipher = socket.getCipher().name;
  const chain = chainOf(socket.getPeerCertificate(true));
  const leaf = chain[0];
  const facts = { protocol, cipher, chain: chain.map((one) => one.facts) };
  if (!leaf) return { says: `${protocol}, ${cipher}, resumed`, facts };
  const days = Math.floor((leaf.until - now) / DAY_MS);
  const says = `${protocol}, certificate of ${leaf.facts.issuer} valid until ${day(leaf.until)} (${days} days), chain of ${chain.length}`;
  if (days >= SOON_DAYS) return { says, facts };
  return {
    says,
    facts,
    warning: {
      id: 'tls.certificate-ends',
      cause: `the certificate of ${host} ends in ${days} days`,
      blame: 'provider',
      remedy: [{ do: 'tell whoever runs the server; nothing needs doing at a large provider' }],
    },
  };
}

interface Certificate {
  readonly until: number;
  readonly facts: { readonly subject: string; readonly issuer: string; readonly from: string; readonly until: string };
}

function chainOf(first: DetailedPeerCertificate): readonly Certificate[] {
  const chain: Certificate[] = [];
  const seen = new Set<string>();
  // The root is its own issuer; a resumed session has none.
  for (let one: DetailedPeerCertificate | undefined = first; one?.fingerprint256 && !seen.has(one.fingerprint256);) {
    seen.add(one.fingerprint256);
    chain.push({
      until: Date.parse(one.valid_to),
      facts: {
        subject: nameOf(one.subject),
        issuer: nameOf(one.issuer),
        from: day(Date.parse(one.valid_from)),
        until: day(Date.parse(one.valid_to)),
      },
    });
    one = one.issuerCertificate;
  }
  return chain;
}

function nameOf(name: DetailedPeerCertificate['subject'] | undefined): string {
  return [name?.CN ?? name?.O ?? name?.OU ?? 'an unnamed issuer'].flat().join(', ');
}

const day = (at: number): string => (Number.isNaN(at) ? 'unknown' : new Date(at).toISOString().slice(0, 10));
