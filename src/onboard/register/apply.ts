/**
 * Carries a plan out through the Azure CLI. Everything is looked for before it is made, so that running it again after a
 * failure goes on where it stopped, and nothing that others added is taken away.
 */
import { lines } from '../../base/lines.ts';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { ClientCredential } from '../../oauth/application.ts';
import type { Az } from './az.ts';
import * as az from './az-commands.ts';
import {
  account,
  application,
  ask,
  assignments,
  type DirectoryApplication,
  federatedCredentials,
  find,
  newCredential,
  servicePrincipal,
  type ServicePrincipal,
} from './directory.ts';
import { registerError } from './errors.ts';
import { type Permission, RESOURCES, withRequired } from './permissions.ts';
import type { Plan } from './plan.ts';

export interface ApplyOptions {
  readonly az: Az;
  /** Told before and after each step, for the person who waits. */
  readonly progress: (line: string) => void;
  /** Certificate and key for the flow `certificate`; only the certificate leaves this machine. */
  readonly certificate?: Extract<ClientCredential, { type: 'certificate' }>;
  /** File of the platform's token for the flow `federated`. */
  readonly assertionFile?: string;
  /** True when Postern has a credential of this application already, so that no other is made. */
  readonly hasCredential: (clientId: string) => Promise<boolean>;
  /** Stores what was made, called as soon as it exists: a secret is shown once. */
  readonly keep: (made: Registered) => Promise<void>;
  /** Consents for the whole organisation as well. */
  readonly adminConsent: boolean;
  readonly signal?: AbortSignal;
}

export interface Registered {
  readonly clientId: string;
  readonly tenantId: string;
  /** New; undefined when none is needed or Postern has one. */
  readonly credential: ClientCredential | undefined;
}

export interface Applied {
  /** The application was made now, was there and lacked something, or was as it should be. */
  readonly outcome: 'created' | 'completed' | 'unchanged';
  readonly clientId: string;
  /** Object id of the enterprise application, which Exchange wants. */
  readonly objectId: string;
  readonly tenantId: string;
  /** `granted`; `pending`: an administrator has yet to agree; `none-needed`. */
  readonly consent: 'granted' | 'pending' | 'none-needed';
}

/** @throws register.* and the signal's reason */
export async function applyPlan(plan: Plan, options: ApplyOptions): Promise<Applied> {
  const { signal, progress } = options;
  const { tenantId } = await checkAccount(plan, options);
  const permissions = await resolvePermissions(plan, options);
  if (plan.credential.type === 'managed-identity') {
    const { id, appId } = await ask(
      options.az,
      az.showServicePrincipal(plan.credential.objectId),
      servicePrincipal,
      signal,
    );
    const credential: ClientCredential = { type: 'managed-identity', clientId: appId };
    await options.keep({
      clientId: appId,
      tenantId,
      credential: (await options.hasCredential(appId)) ? undefined : credential,
    });
    const consent = await assignRoles(plan, id, permissions, options, true);
    return { outcome: 'unchanged', clientId: appId, objectId: id, tenantId, consent };
  }
  const { outcome, clientId } = await ensureApplication(plan, permissions, options);
  const principal =
    (await find(options.az, az.showServicePrincipal(clientId), servicePrincipal, signal)) ??
    (await ask(options.az, az.createServicePrincipal(clientId), servicePrincipal, signal));
  progress(`enterprise application ${principal.id}`);
  const credential = (await options.hasCredential(clientId))
    ? undefined
    : await makeCredential(plan, clientId, options);
  await options.keep({ clientId, tenantId, credential });
  const consent = await consentFor(plan, { clientId, principalId: principal.id }, permissions, options);
  return { outcome, clientId, objectId: principal.id, tenantId, consent };
}

async function checkAccount(plan: Plan, options: ApplyOptions): Promise<{ readonly tenantId: string }> {
  if (plan.cloud.az === undefined) {
    throw registerError(
      'register.wrong-cloud',
      `the Azure CLI knows no cloud with the directory of ${plan.cloud.name}`,
      {
        hint: 'leave --apply out and follow the printed steps',
      },
    );
  }
  const found = await ask(options.az, az.showAccount, account, options.signal);
  options.progress(`Azure CLI: ${found.user.name}, directory ${found.tenantId}, ${found.environmentName}`);
  if (found.environmentName !== plan.cloud.az) {
    throw registerError(
      'register.wrong-cloud',
      `the Azure CLI is signed in to ${found.environmentName}, but the organisation is in ${plan.cloud.az}`,
      {
        hint: `az cloud set --name ${plan.cloud.az}, then az login --allow-no-subscriptions`,
      },
    );
  }
  const { tenant } = plan;
  if (
    tenant !== undefined &&
    /^[0-9a-f-]{36}$/i.test(tenant) &&
    tenant.toLowerCase() !== found.tenantId.toLowerCase()
  ) {
    throw registerError(
      'register.wrong-tenant',
      `the Azure CLI is signed in to directory ${found.tenantId}, not to ${tenant}`,
      {
        hint: `az login --tenant ${tenant} --allow-no-subscriptions`,
      },
    );
  }
  return found;
}

/** The directory's own ids, found by name. @throws register.no-exchange */
async function resolvePermissions(plan: Plan, { az: cli, signal }: ApplyOptions): Promise<readonly Permission[]> {
  const known = new Map<string, string>();
  for (const resource of new Set(plan.permissions.map((permission) => permission.resource))) {
    const principal = await find(cli, az.showResource(resource), servicePrincipal, signal);
    if (!principal) {
      if (resource === 'exchange')
        throw registerError('register.no-exchange', `this directory has no ${RESOURCES.exchange.name}`);
      continue;
    }
    for (const { id, value } of namesOf(principal)) known.set(`${resource} ${value}`, id);
  }
  return plan.permissions.map((one) => ({ ...one, id: known.get(`${one.resource} ${one.name}`) ?? one.id }));
}

function namesOf({ appRoles, oauth2PermissionScopes }: ServicePrincipal): readonly { id: string; value: string }[] {
  return [...(appRoles ?? []), ...(oauth2PermissionScopes ?? [])].flatMap(({ id, value }) =>
    typeof value === 'string' ? [{ id, value }] : [],
  );
}

async function ensureApplication(
  plan: Plan,
  permissions: readonly Permission[],
  { az: cli, progress, signal }: ApplyOptions,
): Promise<{ readonly outcome: Applied['outcome']; readonly clientId: string }> {
  const listed = await ask(cli, az.listApplications(plan.name), z.array(application), signal);
  const same = listed.filter(({ displayName }) => displayName === plan.name);
  if (same.length > 1) {
    throw registerError(
      'register.ambiguous',
      `${same.length} applications are called ${plan.name}: ${same.map(({ appId }) => appId).join(', ')}`,
    );
  }
  const [found] = same;
  if (!found) {
    const made = await ask(cli, az.createApplication(plan, withRequired([], permissions)), application, signal);
    progress(`registered ${plan.name}: client id ${made.appId}`);
    return { outcome: 'created', clientId: made.appId };
  }
  for (const line of surplusOf(plan, found, permissions)) progress(line);
  const change = changeOf(plan, found, permissions);
  if (!change) {
    progress(`${plan.name} is registered as it should be: client id ${found.appId}`);
    return { outcome: 'unchanged', clientId: found.appId };
  }
  await cli.run(az.updateApplication(plan, found.appId, change.access, change.redirectUris), signal);
  progress(`completed the registration of ${plan.name}: client id ${found.appId}`);
  return { outcome: 'completed', clientId: found.appId };
}

/** What differs from the least and is left as it is: others may need it. */
function surplusOf(plan: Plan, found: DirectoryApplication, permissions: readonly Permission[]): readonly string[] {
  const wanted = new Set(permissions.map(({ id }) => id));
  const more = (found.requiredResourceAccess ?? []).flatMap(({ resourceAccess }) =>
    resourceAccess.filter(({ id }) => !wanted.has(id)),
  );
  return lines(
    more.length > 0 &&
      `${plan.name} lists ${more.length} permission${more.length === 1 ? '' : 's'} that mail does not need; left as they are`,
    typeof found.signInAudience === 'string' &&
      found.signInAudience !== plan.audience &&
      `${plan.name} is for ${found.signInAudience}, not ${plan.audience}; left as it is`,
  );
}

/** What has to be written so that the application has all the plan wants; undefined when it has. */
export function changeOf(
  plan: Plan,
  found: DirectoryApplication,
  permissions: readonly Permission[],
): { readonly access: ReturnType<typeof withRequired>; readonly redirectUris: readonly string[] } | undefined {
  const present = found.requiredResourceAccess ?? [];
  const access = withRequired(present, permissions);
  const uris = found.publicClient?.redirectUris ?? [];
  const redirectUris = [...new Set([...uris, ...plan.redirectUris])];
  const count = (list: typeof access): number => list.reduce((sum, one) => sum + one.resourceAccess.length, 0);
  const complete =
    count(access) === count(present) &&
    redirectUris.length === uris.length &&
    (!plan.publicClient || found.isFallbackPublicClient === true);
  return complete ? undefined : { access, redirectUris };
}

async function makeCredential(
  plan: Plan,
  clientId: string,
  options: ApplyOptions,
): Promise<ClientCredential | undefined> {
  const { az: cli, progress, signal } = options;
  switch (plan.credential.type) {
    case 'none':
    case 'managed-identity':
      return undefined;
    case 'secret': {
      const { password } = await ask(cli, az.createSecret(clientId, 'Postern'), newCredential, signal);
      progress('made a client secret, good for one year');
      return { type: 'secret', secret: password };
    }
    case 'certificate': {
      const { certificate } = options;
      if (!certificate) throw registerError('register.incomplete', 'the flow needs a certificate and its key');
      await uploadCertificate(clientId, certificate, options);
      return certificate;
    }
    case 'federated': {
      const { assertionFile } = options;
      if (assertionFile === undefined)
        throw registerError('register.incomplete', 'where does the platform keep its token?', {
          hint: 'add --assertion-file FILE',
        });
      const { issuer, subject } = plan.credential;
      const trusted = await ask(cli, az.listFederated(clientId), federatedCredentials, signal);
      if (!trusted.some((one) => one.issuer === issuer && one.subject === subject)) {
        await cli.run(az.addFederated(clientId, plan.credential), signal);
        progress(`tokens of ${issuer} for ${subject} are trusted`);
      }
      return { type: 'federated', assertionFile };
    }
  }
}

async function uploadCertificate(
  clientId: string,
  { certificatePem, privateKey }: Extract<ClientCredential, { type: 'certificate' }>,
  { az: cli, progress, signal }: ApplyOptions,
): Promise<void> {
  const certificate = new X509Certificate(certificatePem);
  if (!certificate.checkPrivateKey(createPrivateKey(privateKey.reveal())))
    throw registerError('register.incomplete', 'the private key does not belong to the certificate');
  if (createPublicKey(certificate.publicKey.export({ type: 'spki', format: 'pem' })).asymmetricKeyType !== 'rsa')
    throw registerError('register.incomplete', 'Entra takes RSA certificates only', {
      hint: 'leave --certificate out and one is made',
    });
  const folder = await mkdtemp(join(tmpdir(), 'postern-certificate-'));
  try {
    const file = join(folder, 'certificate.pem');
    await writeFile(file, certificate.toString());
    await cli.run(az.addCertificate(clientId, 'Postern', file), signal);
    progress(
      `uploaded the certificate ${certificate.fingerprint256.replaceAll(':', '').slice(0, 16)}…, good until ${certificate.validToDate.toISOString().slice(0, 10)}`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function consentFor(
  plan: Plan,
  ids: { readonly clientId: string; readonly principalId: string },
  permissions: readonly Permission[],
  options: ApplyOptions,
): Promise<Applied['consent']> {
  if (permissions.length === 0) return 'none-needed';
  if (plan.appOnly) return assignRoles(plan, ids.principalId, permissions, options, options.adminConsent);
  if (!options.adminConsent || !plan.cloud.azConsents) return 'pending';
  await options.az.run(az.consentForAll(ids.clientId), options.signal);
  options.progress('consented for everybody in the organisation');
  return 'granted';
}

/** @param give false only looks */
async function assignRoles(
  plan: Plan,
  principalId: string,
  permissions: readonly Permission[],
  { az: cli, progress, signal }: ApplyOptions,
  give: boolean,
): Promise<Applied['consent']> {
  if (permissions.length === 0) return 'none-needed';
  const exchange = await ask(cli, az.showResource('exchange'), servicePrincipal, signal);
  const { value: present } = await ask(cli, az.listAssignments(plan.cloud, principalId), assignments, signal);
  const missing = permissions.filter(
    ({ id }) => !present.some((one) => one.appRoleId === id && one.resourceId === exchange.id),
  );
  if (missing.length > 0 && !give) return 'pending';
  for (const { id, name } of missing) {
    await cli.run(az.assignRole(plan.cloud, principalId, exchange.id, id), signal);
    progress(`granted ${name}`);
  }
  return 'granted';
}
