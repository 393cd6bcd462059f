/** Whether a certificate chain and a key are whole and belong together: files may be read while somebody writes them. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { protocolError } from '../errors.ts';
import { type CertificatePair, serverContext } from './server.ts';

/** What a usable pair is for. */
export interface PairFacts {
  /** Milliseconds since the epoch. */
  readonly from: number;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly leaf: X509Certificate;
}

/** @throws tls.certificate, saying what is wrong with which of the two */
export function checkPair(pair: CertificatePair): PairFacts {
  const chain = certificatesIn(pair.cert);
  const leaf = chain[0]!;
  const key = privateKey(pair.key);
  if (!leaf.checkPrivateKey(key)) throw unusable('the key does not belong to the certificate');
  serverContext(pair);
  if (pair.also) checkPair(pair.also);
  return { from: leaf.validFromDate.getTime(), until: leaf.validToDate.getTime(), leaf };
}

/** True when the certificate is good for this name or address. A name that is no host name is covered by nothing. */
export function covers(leaf: X509Certificate, name: string): boolean {
  const names = (leaf.subjectAltName ?? '').split(', ');
  const plain = name.toLowerCase();
  // As it stands first: a name with an underscore is none for checkHost, yet it may be in the certificate.
  if (names.some((one) => one.toLowerCase() === `dns:${plain}`)) return true;
  return isIP(name) === 0 ? leaf.checkHost(name) !== undefined : leaf.checkIP(name) !== undefined;
}

/** Names and addresses it is for, each once: an address may stand there as a name too. */
export function namesOf(leaf: X509Certificate): readonly string[] {
  const entries = (leaf.subjectAltName ?? '').split(', ').map((one) => one.replace(/^(?:DNS|IP Address):/, ''));
  return [...new Set(entries)].filter((name) => name !== '');
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

function certificatesIn(text: string): readonly X509Certificate[] {
  if (text.trim() === '') throw unusable('the certificate file is empty');
  const blocks = text.match(BLOCK) ?? [];
  const begun = text.split('-----BEGIN CERTIFICATE-----').length - 1;
  if (begun === 0) throw unusable('the certificate file holds no PEM certificate');
  if (begun !== blocks.length) throw unusable('the certificate file is cut off');
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw unusable('the certificate file is damaged or cut off', cause);
    }
  });
}

function privateKey(text: string): KeyObject {
  if (text.trim() === '') throw unusable('the key file is empty');
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw unusable(
      text.includes('ENCRYPTED')
        ? 'the key file is protected by a passphrase'
        : 'the key file is damaged, cut off or holds no PEM private key',
      cause,
    );
  }
}

function unusable(what: string, cause?: unknown): Error {
  return protocolError('tls.certificate', what, { cause });
}
