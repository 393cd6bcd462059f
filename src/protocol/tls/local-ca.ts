/**
 * A certificate authority of one's own: for the gateway's first run, the sandbox and tests. EC P-256, RFC 5280 profiles.
 * The X.509 library is loaded only when a certificate is made.
 */
import { isIP } from 'node:net';
import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';

export interface CertificateAuthority {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface IssueOptions {
  /** DNS names and IP addresses the certificate is for. */
  readonly names: readonly string[];
  readonly days: number;
  /** Now, in milliseconds; validity starts an hour earlier against clocks that are behind. */
  readonly now?: number;
  /** Of its key; `ecdsa` unless given. `rsa` takes a few hundred milliseconds. */
  readonly kind?: 'ecdsa' | 'rsa';
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** For programs that know no ECDSA: 2,048 bits are what RFC 9325 §4.5 asks for. */
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
} as const;
const DAY = 86_400_000;
const HOUR = 3_600_000;
/** As browsers and systems accept for private authorities. */
const CA_DAYS = 3650;

/** Makes an authority named `name`, valid for ten years, that may sign end certificates only. */
export async function createAuthority(name: string, now = Date.now()): Promise<CertificateAuthority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  return { certPem: await selfSigned(`CN=${escapeName(name)}`, keys, now), keyPem: await privatePem(keys.privateKey) };
}

/**
 * Another certificate for the key of an authority, valid for ten years from now: whoever trusts the one before trusts what this one signs.
 * @param like its certificate (DER), whose name stays, or a name where there is none
 */
export async function renewAuthority(
  keyPem: string,
  like: Buffer | string,
  now: number,
): Promise<CertificateAuthority> {
  const x509 = await library();
  const publicKey = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
  const keys = {
    privateKey: await signingKey(keyPem),
    publicKey: await webcrypto.subtle.importKey('spki', publicKey, ALGORITHM, true, ['verify']),
  };
  const name = typeof like === 'string' ? `CN=${escapeName(like)}` : new x509.X509Certificate(like).subject;
  return { certPem: await selfSigned(name, keys, now), keyPem };
}

async function selfSigned(name: string, keys: webcrypto.CryptoKeyPair, now: number): Promise<string> {
  const x509 = await library();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name,
    notBefore: new Date(now - HOUR),
    notAfter: new Date(now + CA_DAYS * DAY),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

function signingKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

/** Issues a server certificate; `certPem` is the leaf followed by the authority. */
export async function issueCertificate(
  authority: CertificateAuthority,
  options: IssueOptions,
): Promise<CertificateAuthority> {
  const x509 = await library();
  const now = options.now ?? Date.now();
  const keys = await webcrypto.subtle.generateKey(options.kind === 'rsa' ? RSA : ALGORITHM, true, ['sign', 'verify']);
  const issuer = new x509.X509Certificate(authority.certPem);
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=${escapeName(options.names[0] ?? 'localhost')}`,
    issuer: issuer.subject,
    notBefore: new Date(now - HOUR),
    notAfter: new Date(Math.min(now + options.days * DAY, issuer.notAfter.getTime())),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await signingKey(authority.keyPem),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        // An address stands as a DNS name as well: fetchmail and mbsync look at no other kind.
        options.names.flatMap((value) =>
          isIP(value) === 0
            ? [{ type: 'dns', value }]
            : [{ type: 'ip', value }, ...(isIP(value) === 4 ? [{ type: 'dns' as const, value }] : [])],
        ),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: `${leaf.toString('pem')}\n${authority.certPem}`, keyPem: await privatePem(keys.privateKey) };
}

async function library() {
  await import('reflect-metadata'); // the library refuses to load without it
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return `-----BEGIN PRIVATE KEY-----\n${der
    .toString('base64')
    .match(/.{1,64}/g)!
    .join('\n')}\n-----END PRIVATE KEY-----\n`;
}

/** 126 random bits, positive and without a leading zero octet (RFC 5280 §4.1.2.2). */
function serial(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

/** RFC 4514 §2.4. */
function escapeName(text: string): string {
  return text.replace(/[,+"\\<>;=#]/g, String.raw`\$&`);
}
