/** Applications: our registrations at providers, and the credentials we show there. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { newId } from '../store/id.ts';
import type { Application, CredentialFacts, Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import { oauthError } from './errors.ts';
import { applicationSettings } from '../store/application-settings.ts';
import { resolveProvider } from './provider.ts';

const secret = z.string().transform((text) => new Secret(text));
const credentialSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('secret'), secret }),
  z.object({ type: z.literal('certificate'), certificatePem: z.string(), privateKey: secret }),
  /** The file holds a JWT another identity provider wrote; read again for every request because it is replaced in place. */
  z.object({ type: z.literal('federated'), assertionFile: z.string() }),
  z.object({ type: z.literal('managed-identity'), clientId: z.string().optional() }),
  /** Google's key for a service account that may act for the people of its Workspace (domain-wide delegation). */
  z.object({
    type: z.literal('service-account'),
    email: z.string(),
    keyId: z.string().optional(),
    privateKey: secret,
  }),
]);

/** How the application proves itself; public clients have none. */
export type ClientCredential = z.infer<typeof credentialSchema>;

export interface NewApplication {
  readonly name: string;
  readonly provider: string;
  readonly clientId: string;
  readonly tenant?: string | undefined;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly credential?: ClientCredential | undefined;
  /** When a client secret ends, which only the provider's pages tell. Milliseconds since the epoch. */
  readonly secretExpiresAt?: number | undefined;
}

/** A credential with what may be known of it without opening it. */
export interface HeldCredential {
  readonly facts: CredentialFacts;
  readonly credential: ClientCredential;
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
  const now = (deps.clock ?? systemClock).now();
  const held = request.credential ? [holdCredential(request.credential, now, request.secretExpiresAt)] : [];
  const row: Application = {
    id,
    name: request.name,
    provider: request.provider,
    clientId: request.clientId,
    tenant: request.tenant,
    settings: request.settings ?? {},
    ...(await sealCredentials(deps.vault, id, held)),
    createdAt: now,
  };
  checkClientId(row);
  await deps.store.applications.insert({ ...row, settings: applicationSettings.parse(row.settings) });
  return row;
}

/**
 * What a provider would refuse only when a person has typed a password there. Another authority than the preset's may name its clients
 * as it likes. @throws oauth.unknown-provider, oauth.misconfigured
 */
export function checkClientId(application: Application): void {
  const { clientId } = application;
  if (clientId.trim() !== clientId || clientId === '')
    throw oauthError('oauth.misconfigured', 'the client id is empty or has spaces around it', {
      hint: 'copy it from the application’s page at the provider: --client-id ID',
    });
  const { microsoft, foreign } = resolveProvider(application);
  if (!microsoft || foreign || GUID.test(clientId)) return;
  throw oauthError('oauth.misconfigured', 'the client id is no application id of Microsoft', {
    hint: 'copy “Application (client) ID” from the overview page of the app registration; it looks like 1b4e28ba-2fa1-11d2-883f-0016d3cca427. A secret’s value or id is something else',
  });
}

/** Microsoft identity platform, “Register an application”: the application (client) ID is a GUID. */
const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Gives a credential its id and reads when it ends. @throws oauth.misconfigured (a certificate that does not fit its key) */
export function holdCredential(credential: ClientCredential, now: number, secretExpiresAt?: number): HeldCredential {
  if (credential.type === 'certificate') checkKeyPair(credential);
  return { facts: factsOf(newId('cred'), credential, now, secretExpiresAt), credential };
}

/** The columns of an application's credentials, the one to use first in front. */
export async function sealCredentials(
  vault: Vault,
  applicationId: string,
  held: readonly HeldCredential[],
): Promise<Required<Pick<Application, 'credential' | 'credentials'>>> {
  const credentials = held.map(({ facts }) => facts);
  if (held.length === 0) return { credential: undefined, credentials };
  const plain = held.map(({ facts: { id }, credential }) => {
    if (credential.type === 'secret') return { ...credential, id, secret: credential.secret.reveal() };
    if (credential.type === 'certificate' || credential.type === 'service-account')
      return { ...credential, id, privateKey: credential.privateKey.reveal() };
    return { ...credential, id };
  });
  const sealed = await vault.seal(recordOf(applicationId), new Secret(JSON.stringify({ credentials: plain })));
  return { credential: sealed, credentials };
}

/** Every credential of an application, the one to use first in front. @throws vault.*, oauth.misconfigured (sealed by something else) */
export async function openCredentials(
  vault: Vault,
  application: Pick<Application, 'id' | 'name' | 'credential' | 'credentials' | 'createdAt'>,
): Promise<readonly HeldCredential[]> {
  if (!application.credential) return [];
  const plain = await vault.open(recordOf(application.id), application.credential);
  const parsed = stored.safeParse(JSON.parse(plain.reveal()));
  if (!parsed.success) {
    throw oauthError(
      'oauth.misconfigured',
      `the stored credential of application ${application.name} is of an unknown kind`,
    );
  }
  return parsed.data.credentials.map(({ id, ...credential }) => {
    const facts = application.credentials?.find((known) => known.id === id);
    return { facts: facts ?? factsOf(id, credential, application.createdAt), credential };
  });
}

/** The credential to use first. @throws as {@link openCredentials} */
export async function openCredential(
  vault: Vault,
  application: Parameters<typeof openCredentials>[1],
): Promise<ClientCredential | undefined> {
  return (await openCredentials(vault, application))[0]?.credential;
}

function factsOf(id: string, credential: ClientCredential, addedAt: number, secretExpiresAt?: number): CredentialFacts {
  const { type } = credential;
  if (type === 'certificate') {
    const { validToDate, fingerprint256 } = new X509Certificate(credential.certificatePem);
    const fingerprint = fingerprint256.replaceAll(':', '').toLowerCase();
    return { id, type, addedAt, expiresAt: validToDate.getTime(), fingerprint };
  }
  return { id, type, addedAt, ...(secretExpiresAt === undefined ? {} : { expiresAt: secretExpiresAt }) };
}

/** Version 0.1.0 sealed one credential by itself, without an id. */
const stored = z.preprocess(
  (value) =>
    typeof value === 'object' && value !== null && 'type' in value
      ? { credentials: [{ id: 'first', ...value }] }
      : value,
  z.object({ credentials: z.array(z.object({ id: z.string() }).and(credentialSchema)) }),
);

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
