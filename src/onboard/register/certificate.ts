/** A self-signed certificate for an application: RSA, because Entra takes no other kind. The library is loaded when it is used. */
import { createPrivateKey, generateKeyPair, randomBytes, webcrypto } from 'node:crypto';
import { promisify } from 'node:util';
import { Secret } from '../../base/secret.ts';
import type { ClientCredential } from '../../oauth/application.ts';

const DAY_MS = 86_400_000;
const ALGORITHM = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;

/** @param now milliseconds since the epoch; validity starts an hour earlier against clocks that are behind */
export async function makeCertificate(
  name: string,
  days: number,
  now: number,
): Promise<Extract<ClientCredential, { type: 'certificate' }>> {
  await import('reflect-metadata'); // the library refuses to load without it
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  const pair = await promisify(generateKeyPair)('rsa', { modulusLength: 3072 });
  const keys = {
    privateKey: pair.privateKey.toCryptoKey(ALGORITHM, true, ['sign']),
    publicKey: pair.publicKey.toCryptoKey(ALGORITHM, true, ['verify']),
  };
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40; // positive, no leading zero (RFC 5280 §4.1.2.2)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toString('hex'),
    name: `CN=${name.replace(/[,+"\\<>;=#]/g, String.raw`\$&`)}`,
    notBefore: new Date(now - 3_600_000),
    notAfter: new Date(now + days * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  const key = createPrivateKey(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return {
    type: 'certificate',
    certificatePem: `${certificate.toString('pem')}\n`,
    privateKey: new Secret(key.export({ type: 'pkcs8', format: 'pem' }).toString()),
  };
}
