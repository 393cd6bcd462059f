/**
 * Roll-over of an application's credentials. Several are kept and live; the first is shown to the provider, and when the
 * provider refuses it the next one is, so that a secret or certificate is replaced without a moment in which nothing works.
 */
import { shellWord } from '../base/shell.ts';
import type { Application, CredentialFacts } from '../store/types.ts';
import {
  type ClientCredential,
  type HeldCredential,
  holdCredential,
  openCredentials,
  sealCredentials,
} from './application.ts';
import { dayOf } from './credential-ends.ts';
import { oauthError } from './errors.ts';
import type { RenewalDeps } from './renewal-deps.ts';

export type CredentialDeps = Pick<RenewalDeps, 'store' | 'vault' | 'clock'>;

/**
 * Adds a credential behind those that are there, or with `first` in front.
 * @throws oauth.misconfigured (already there; a managed identity beside others), store.*
 */
export async function addCredential(
  deps: CredentialDeps,
  applicationId: string,
  credential: ClientCredential,
  options: { readonly first?: boolean; readonly secretExpiresAt?: number } = {},
): Promise<CredentialFacts> {
  const added = holdCredential(credential, deps.clock.now(), options.secretExpiresAt);
  await change(deps, applicationId, (held, application) => {
    const same = held.find((other) => isSame(other, added));
    if (same) {
      const { id } = same.facts;
      const { name } = application;
      throw oauthError('oauth.misconfigured', `application ${application.name} has this credential already: ${id}`, {
        hint:
          options.secretExpiresAt === undefined
            ? `see when it ends: postern application credential list ${shellWord(name)}`
            : `to correct when it ends: postern application credential set ${shellWord(name)} ${shellWord(id)} --secret-expires ${shellWord(dayOf(options.secretExpiresAt))}`,
      });
    }
    return options.first ? [added, ...held] : [...held, added];
  });
  return added.facts;
}

/** Corrects when a secret ends, which only the provider's pages tell. @throws oauth.misconfigured (unknown, or no secret), store.* */
export async function dateCredential(
  deps: CredentialDeps,
  applicationId: string,
  id: string,
  expiresAt: number,
): Promise<CredentialFacts> {
  let changed: CredentialFacts | undefined;
  await change(deps, applicationId, (held, application) => {
    const chosen = find(held, application, id);
    if (chosen.facts.type !== 'secret')
      throw oauthError('oauth.misconfigured', `credential ${id} is no client secret`, {
        hint: 'when a certificate ends is read from it; the others have no end',
      });
    const facts = (changed = { ...chosen.facts, expiresAt });
    return held.map((other) => (other === chosen ? { ...chosen, facts } : other));
  });
  return changed!;
}

/** Puts a credential in front. @throws oauth.misconfigured (unknown), store.* */
export async function activateCredential(deps: CredentialDeps, applicationId: string, id: string): Promise<void> {
  await change(deps, applicationId, (held, application) => {
    const chosen = find(held, application, id);
    return [chosen, ...held.filter((other) => other !== chosen)];
  });
}

/** Forgets a credential; the last one only while no grant needs it. @throws oauth.misconfigured, store.* */
export async function removeCredential(deps: CredentialDeps, applicationId: string, id: string): Promise<void> {
  const grants = (await deps.store.grants.overview()).filter((grant) => grant.applicationId === applicationId);
  await change(deps, applicationId, (held, application) => {
    const gone = find(held, application, id);
    if (held.length === 1 && grants.length > 0) {
      throw oauthError('oauth.misconfigured', `it is the only credential of ${application.name}, which is in use`, {
        hint: `add its successor first: postern application credential add ${shellWord(application.name)} --client-secret-file FILE --secret-expires DATE`,
      });
    }
    return held.filter((other) => other !== gone);
  });
}

/** One change at a time, since each writes all credentials. */
async function change(
  { store, vault }: CredentialDeps,
  applicationId: string,
  edit: (held: readonly HeldCredential[], application: Application) => readonly HeldCredential[],
): Promise<void> {
  const lease = await store.leases.acquire(`application/${applicationId}`, 'credentials', LEASE_MS);
  if (!lease) {
    throw oauthError('oauth.misconfigured', 'somebody else is changing the credentials of this application', {
      hint: 'try again in a moment',
    });
  }
  try {
    const application = await store.applications.find(applicationId);
    if (!application) throw oauthError('oauth.misconfigured', 'the application is gone');
    const held = edit(await openCredentials(vault, application), application);
    await store.applications.update(applicationId, await sealCredentials(vault, applicationId, held));
  } finally {
    await store.leases.release(lease);
  }
}

const LEASE_MS = 10_000;

function find(held: readonly HeldCredential[], application: Application, id: string): HeldCredential {
  const found = held.find(({ facts }) => facts.id === id);
  if (found) return found;
  const known = held.map(({ facts }) => facts.id).join(', ');
  throw oauthError('oauth.misconfigured', `application ${application.name} has no credential ${id}`, {
    hint:
      known === ''
        ? `it has none: postern application credential add ${shellWord(application.name)} --client-secret-file FILE --secret-expires DATE`
        : `it has: ${known}`,
  });
}

function isSame(a: HeldCredential, b: HeldCredential): boolean {
  if (a.facts.fingerprint !== undefined) return a.facts.fingerprint === b.facts.fingerprint;
  if (a.credential.type === 'secret' && b.credential.type === 'secret') {
    return a.credential.secret.reveal() === b.credential.secret.reveal();
  }
  return a.credential.type === b.credential.type && a.credential.type !== 'secret';
}
