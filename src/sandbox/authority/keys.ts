/** The keys of a tenant, made at start: token signing, the certificate client's, a foreign issuer's. */
import { createHash, generateKeyPair, KeyObject } from 'node:crypto';
import { promisify } from 'node:util';

const generate = promisify(generateKeyPair);

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** RSA, 2048 bits: Microsoft signs with RS256, and certificates for PS256 need RSA as well. */
export async function createSigningKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await generate('rsa', { modulusLength: 2048 });
  const kid = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url')
    .slice(0, 27);
  return { kid, privateKey, publicKey };
}

export interface ClientCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** base64url thumbprints of the DER: `x5t#S256` and `x5t` (RFC 7515 §4.1.7–8). */
  readonly sha256: string;
  readonly sha1: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** A self-signed certificate as an administrator uploads it to a registration. */
export async function createClientCertificate(name: string, now: number): Promise<ClientCertificate> {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 2048,
  };
  const expiresAt = now + 365 * 86_400_000;
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${name}`,
      notBefore: new Date(now - 3_600_000),
      notAfter: new Date(expiresAt),
      signingAlgorithm: algorithm,
      keys,
      serialNumber: '01',
    },
    crypto,
  );
  const der = Buffer.from(certificate.rawData);
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    privateKeyPem: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey: KeyObject.from(keys.privateKey),
    publicKey: KeyObject.from(keys.publicKey),
    sha256: createHash('sha256').update(der).digest('base64url'),
    sha1: createHash('sha1').update(der).digest('base64url'),
    expiresAt,
  };
}
