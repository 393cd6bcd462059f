/** One throwaway authority per bed, with a certificate for every name and address the servers are reached by. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority, issueCertificate } from '../../src/protocol/tls/local-ca.ts';

export const NAMES: readonly string[] = ['localhost', 'mail.contoso.test', '127.0.0.1'];

export interface Certificates {
  readonly caPem: string;
  /** Leaf and authority, then the key, as PEM text. */
  readonly certPem: string;
  readonly keyPem: string;
  /** The same as files, for servers and programs that want paths. */
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
}

/** Makes an authority and a certificate valid for two days, written under `folder`. */
export async function makeCertificates(folder: string, names: readonly string[] = NAMES): Promise<Certificates> {
  const authority = await createAuthority('Postern test authority');
  const { certPem, keyPem } = await issueCertificate(authority, { names, days: 2 });
  mkdirSync(folder, { recursive: true });
  const caPath = join(folder, 'ca.pem');
  const certPath = join(folder, 'server.pem');
  const keyPath = join(folder, 'server.key');
  writeFileSync(caPath, authority.certPem);
  writeFileSync(certPath, certPem);
  writeFileSync(keyPath, keyPem, { mode: 0o600 });
  return { caPem: authority.certPem, certPem, keyPem, caPath, certPath, keyPath };
}
