/**
 * The commands of the Azure CLI that make a registration, as arguments: printed as a script, or run one by one. Names and
 * behaviour of the options: Azure/azure-cli, command module role (`_params.py`, `custom.py`).
 */
import type { Cloud } from '../../oauth/cloud.ts';
import { type RequiredResourceAccess, type ResourceName, RESOURCES } from './permissions.ts';
import type { Plan } from './plan.ts';

export type Argv = readonly string[];

/** @param words that hold no spaces of their own */
const argv = (words: string, ...more: readonly string[]): Argv => [...words.split(' '), ...more];

export const showAccount: Argv = argv('account show');

/** Finds by the beginning of the name; the caller compares whole names. */
export const listApplications = (name: string): Argv => argv('ad app list --display-name', name);

export const createApplication = (plan: Plan, access: readonly RequiredResourceAccess[]): Argv =>
  argv(
    'ad app create --display-name',
    plan.name,
    '--sign-in-audience',
    plan.audience,
    ...shape(plan, access, plan.redirectUris),
  );

/** Keeps what is there and adds what is missing; `access` and `redirectUris` replace the whole list. */
export const updateApplication = (
  plan: Plan,
  clientId: string,
  access: readonly RequiredResourceAccess[],
  redirectUris: readonly string[],
): Argv => argv('ad app update --id', clientId, ...shape(plan, access, redirectUris));

function shape(plan: Plan, access: readonly RequiredResourceAccess[], redirectUris: readonly string[]): Argv {
  return [
    ...(plan.publicClient ? ['--is-fallback-public-client', 'true'] : []),
    ...(redirectUris.length > 0 ? ['--public-client-redirect-uris', ...redirectUris] : []),
    ...(access.length > 0 ? ['--required-resource-accesses', JSON.stringify(access)] : []),
  ];
}

export const showServicePrincipal = (id: string): Argv => argv('ad sp show --id', id);

export const createServicePrincipal = (clientId: string): Argv => argv('ad sp create --id', clientId);

export const showResource = (resource: ResourceName): Argv => showServicePrincipal(RESOURCES[resource].appId);

/** `--append`, because the default removes every credential there is. */
const addCredential = (clientId: string, ...what: readonly string[]): Argv =>
  argv('ad app credential reset --id', clientId, '--append', '--display-name', ...what);

/** The answer holds the secret, once. */
export const createSecret = (clientId: string, label: string): Argv => addCredential(clientId, label, '--years', '1');

/** `file` holds the certificate only. */
export const addCertificate = (clientId: string, label: string, file: string): Argv =>
  addCredential(clientId, label, '--cert', `@${file}`);

export const listFederated = (clientId: string): Argv => argv('ad app federated-credential list --id', clientId);

export const addFederated = (
  clientId: string,
  { issuer, subject, audience }: { readonly issuer: string; readonly subject: string; readonly audience: string },
): Argv => {
  const trust = { name: 'postern', issuer, subject, audiences: [audience] };
  return argv('ad app federated-credential create --id', clientId, '--parameters', JSON.stringify(trust));
};

export const consentForAll = (clientId: string): Argv => argv('ad app permission admin-consent --id', clientId);

/** Delegated consents given so far. */
export const listGrants = (clientId: string): Argv => argv('ad app permission list-grants --id', clientId);

const assignments = (method: string, { graph }: Cloud, principalId: string): Argv =>
  argv(
    `rest --method ${method} --url`,
    `${graph}/v1.0/servicePrincipals/${principalId}/appRoleAssignments`,
    '--resource',
    graph,
  );

export const listAssignments = (cloud: Cloud, principalId: string): Argv => assignments('GET', cloud, principalId);

/** Gives one application permission: what the portal's consent button does for each, in every cloud and for managed identities. */
export const assignRole = (cloud: Cloud, principalId: string, resourceId: string, roleId: string): Argv => [
  ...assignments('POST', cloud, principalId),
  '--body',
  JSON.stringify({ principalId, resourceId, appRoleId: roleId }),
];
