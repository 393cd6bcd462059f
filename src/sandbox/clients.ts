/** The registered applications as programs need them: ids, secrets, key files. Public on purpose: they open only the sandbox. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIDENTIAL_SECRET } from './authority/directory.ts';
import type { Platform } from './authority/platform.ts';
import { FOREIGN_ISSUER, FOREIGN_SUBJECT, mintAssertion, type AuthorityKeys } from './authority/server.ts';

export interface SandboxClients {
  /** Desktop program: authorization code with PKCE on loopback, device code. No credential. */
  readonly public: { readonly id: string };
  /** Web application with a secret; has the mail roles for app-only as well. */
  readonly confidential: { readonly id: string; readonly secret: string };
  /** Daemon whose certificate is registered. */
  readonly certificate: {
    readonly id: string;
    readonly certificatePem: string;
    readonly privateKeyPem: string;
    readonly certificatePath: string;
    readonly privateKeyPath: string;
    /** base64url SHA-256 of the certificate, `x5t#S256`. */
    readonly thumbprint: string;
  };
  /** Workload whose platform's tokens are trusted instead of a credential. */
  readonly federated: {
    readonly id: string;
    readonly issuer: string;
    readonly subject: string;
    /** Holds an assertion good for ten minutes from the start; `sandbox.mintAssertion()` gives fresh ones. */
    readonly assertionFile: string;
  };
  readonly managedIdentity: { readonly id: string; readonly objectId: string };
  /** Gets tokens without roles, which Exchange then refuses. */
  readonly roleless: { readonly id: string; readonly secret: string };
  /** Disabled by the administrator: AADSTS7000112. */
  readonly disabled: { readonly id: string; readonly secret: string };
}

/** Writes the key files into `dir` and describes every client. */
export async function describeClients(platform: Platform, keys: AuthorityKeys, dir: string): Promise<SandboxClients> {
  const { applications } = platform;
  const { certificatePem, privateKeyPem, sha256 } = keys.certificate;
  const certificatePath = join(dir, 'client.pem');
  const privateKeyPath = join(dir, 'client.key');
  const assertionFile = join(dir, 'assertion.jwt');
  await Promise.all([
    writeFile(certificatePath, certificatePem),
    writeFile(privateKeyPath, privateKeyPem, { mode: 0o600 }),
    writeFile(assertionFile, mintAssertion(platform, keys.foreign), { mode: 0o600 }),
  ]);
  return {
    public: { id: applications.public.id },
    confidential: { id: applications.confidential.id, secret: CONFIDENTIAL_SECRET },
    certificate: {
      id: applications.certificate.id,
      certificatePem,
      privateKeyPem,
      certificatePath,
      privateKeyPath,
      thumbprint: sha256,
    },
    federated: { id: applications.federated.id, issuer: FOREIGN_ISSUER, subject: FOREIGN_SUBJECT, assertionFile },
    managedIdentity: { id: applications.managedIdentity.id, objectId: applications.managedIdentity.objectId },
    roleless: { id: applications.roleless.id, secret: CONFIDENTIAL_SECRET },
    disabled: { id: applications.disabled.id, secret: CONFIDENTIAL_SECRET },
  };
}
