/** Applications: our registrations at providers, and the credentials we show there. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import type { Clock } from '../base/clock.ts';
import { systemClock } from '../base/clock.ts';
import { newId } from '../store/id.ts';
import type { Application, Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import { oauthError } from './errors.ts';
import { applicationSettings, resolveProvider } from './provider.ts';

/** How the application proves itself; public clients have none. */
export type ClientCredential =
  | { readonly type: 'secret'; readonly secret: Secret }
  | { readonly type: 'certificate'; readonly certificatePem: string; readonly privateKey: Secret }
  /** The file holds a JWT another identity provider wrote; read anew for every request because it is replaced in place. */
  | { readonly type: 'federated'; readonly assertionFile: string }
  | { readonly type: 'managed-identity'; readonly clientId?: string };

export interface NewApplication {
  readonly name: string;
  readonly provider: string;
  readonly clientId: string;
  readonly tenant?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly credential?: ClientCredential;
}

/**
 * Stores an application after checking that its settings make sense; asks nobody.
 * @throws oauth.unknown-provider, oauth.misconfigured, store.conflict (name taken)
 */
export async function addApplication(
  deps: { readonly store: Store; readonly vault: Vault; readonly clock?: Clock },
  request: NewApplication,
): Promise<Application> {
  const id = newId('app');
  const row: Application = {
    id,
    name: request.name,
    provider: request.provider,
    clientId: request.clientId,
    tenant: request.tenant,
    settings: request.settings ?? {},
    credential: request.credential ? await sealCredential(deps.vault, id, request.credential) : undefined,
    createdAt: (deps.clock ?? systemClock).now(),
  };
  resolveProvider(row);
  await deps.store.applications.insert({ ...row, settings: applicationSettings.parse(row.settings) });
  return row;
}

/** @throws oauth.misconfigured (a certificate that does not fit its key) */
export async function sealCredential(
  vault: Vault,
  applicationId: string,
  credential: ClientCredential,
): Promise<Uint8Array> {
  if (credential.type === 'certificate') checkKeyPair(credential);
  const plain =
    credential.type === 'secret'
      ? { type: credential.type, secret: credential.secret.reveal() }
      : credential.type === 'certificate'
        ? { ...credential, privateKey: credential.privateKey.reveal() }
        : credential;
  return vault.seal(recordOf(applicationId), new Secret(JSON.stringify(plain)));
}

/** @throws vault.*, oauth.misconfigured (sealed by something else) */
export async function openCredential(
  vault: Vault,
  application: Pick<Application, 'id' | 'name' | 'credential'>,
): Promise<ClientCredential | undefined> {
  if (!application.credential) return undefined;
  const plain = await vault.open(recordOf(application.id), application.credential);
  const parsed = stored.safeParse(JSON.parse(plain.reveal()));
  if (parsed.success) return parsed.data as ClientCredential;
  throw oauthError(
    'oauth.misconfigured',
    `the stored credential of application ${application.name} is of an unknown kind`,
  );
}

const stored = z.discriminatedUnion('type', [
  z.object({ type: z.literal('secret'), secret: z.string().transform((text) => new Secret(text)) }),
  z.object({
    type: z.literal('certificate'),
    certificatePem: z.string(),
    privateKey: z.string().transform((text) => new Secret(text)),
  }),
  z.object({ type: z.literal('federated'), assertionFile: z.string() }),
  z.object({ type: z.literal('managed-identity'), clientId: z.string().optional() }),
]);

function recordOf(applicationId: string): string {
  return `application/${applicationId}/credential`;
}

function checkKeyPair(credential: { readonly certificatePem: string; readonly privateKey: Secret }): void {
  let fits: boolean;
  try {
    fits = new X509Certificate(credential.certificatePem).checkPrivateKey(
      createPrivateKey(credential.privateKey.reveal()),
    );
  } catch (cause) {
    throw oauthError('oauth.misconfigured', 'the certificate or its private key cannot be read', {
      cause,
      hint: 'both must be PEM, the key unencrypted',
    });
  }
  if (!fits) throw oauthError('oauth.misconfigured', 'the private key does not belong to the certificate');
}
