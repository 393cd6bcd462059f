/** What the directory says of a registration, through the Azure CLI: permissions, consent, switches. */
import { asError, type PosternError } from '../../base/error.ts';
import type { Az } from './az.ts';
import * as az from './az-commands.ts';
import { changeOf } from './apply.ts';
import { application, ask, assignments, find, grants, servicePrincipal } from './directory.ts';
import { consentPage, type Plan } from './plan.ts';
import type { Check } from './verify.ts';

/** Never throws: a directory that cannot be asked is an unknown. */
export async function verifyInDirectory(cli: Az, clientId: string, plan: Plan): Promise<readonly Check[]> {
  try {
    return await look(cli, clientId, plan);
  } catch (thrown) {
    const error = asError(thrown);
    return [{ name: 'directory', outcome: 'unknown', found: error.message, next: nextOf(error) }];
  }
}

/** Looking needs no registration by the same way: only what is not looked at is told. */
function nextOf({ code, hint }: PosternError): string {
  return code === 'register.az-missing'
    ? 'with the Azure CLI (https://aka.ms/azure-cli) this can look into the directory as well; everything else works without it'
    : hint;
}

async function look(cli: Az, clientId: string, plan: Plan): Promise<readonly Check[]> {
  const principal = await find(cli, az.showServicePrincipal(clientId), servicePrincipal);
  if (!principal) {
    return [
      {
        name: 'enterprise application',
        outcome: 'failed',
        found: `the directory has no enterprise application ${clientId}`,
        next: `az ad sp create --id ${clientId}, or consent once as an administrator: ${consentPage(plan, clientId)}`,
      },
    ];
  }
  const disabled = principal.accountEnabled === false || String(principal.accountEnabled).toLowerCase() === 'false';
  return [
    {
      name: 'enterprise application',
      outcome: disabled ? 'failed' : 'ok',
      found: `object id ${principal.id}${disabled ? ', switched off' : ''}`,
      ...(disabled
        ? {
            next: `${plan.cloud.portal} → Enterprise applications → ${plan.name} → Properties → Enabled for users to sign-in: Yes`,
          }
        : {}),
    },
    await registration(cli, clientId, plan),
    await consent(cli, { clientId, principalId: principal.id }, plan),
  ];
}

async function registration(cli: Az, clientId: string, plan: Plan): Promise<Check> {
  const name = 'registration';
  const found = await find(cli, ['ad', 'app', 'show', '--id', clientId], application);
  if (!found) return { name, outcome: 'unknown', found: 'it is registered in another directory' };
  if (!changeOf(plan, found, plan.permissions)) {
    const names = plan.permissions.map((permission) => permission.name).join(', ');
    return { name, outcome: 'ok', found: names === '' ? 'no permission needed' : `lists ${names}` };
  }
  return {
    name,
    outcome: 'failed',
    found: 'permissions, redirect URI or the public client switch are missing',
    next: 'run the same command with --apply: it adds what is missing and takes nothing away',
  };
}

async function consent(
  cli: Az,
  ids: { readonly clientId: string; readonly principalId: string },
  plan: Plan,
): Promise<Check> {
  const name = 'admin consent';
  if (plan.permissions.length === 0) return { name, outcome: 'ok', found: 'none needed' };
  const missing = plan.appOnly
    ? await rolesMissing(cli, ids.principalId, plan)
    : await scopesMissing(cli, ids.clientId, plan);
  if (missing.length === 0) return { name, outcome: 'ok', found: 'given for the whole organisation' };
  return {
    name,
    outcome: plan.appOnly ? 'failed' : 'unknown',
    found: plan.appOnly
      ? `not given for ${missing.join(', ')}`
      : `not given for everybody (${missing.join(', ')}); each person may be asked, or told to ask an administrator`,
    next: `an administrator opens ${consentPage(plan, ids.clientId)}`,
  };
}

async function rolesMissing(cli: Az, principalId: string, plan: Plan): Promise<readonly string[]> {
  const exchange = await ask(cli, az.showResource('exchange'), servicePrincipal);
  const ids = new Map((exchange.appRoles ?? []).map(({ id, value }) => [value, id]));
  const { value } = await ask(cli, az.listAssignments(plan.cloud, principalId), assignments);
  return plan.permissions
    .filter((one) => !value.some(({ appRoleId }) => appRoleId === (ids.get(one.name) ?? one.id)))
    .map((one) => one.name);
}

async function scopesMissing(cli: Az, clientId: string, plan: Plan): Promise<readonly string[]> {
  const given = await ask(cli, az.listGrants(clientId), grants);
  const scopes = new Set(
    given
      .filter(({ consentType }) => consentType === 'AllPrincipals')
      .flatMap(({ scope }) => (scope ?? '').trim().split(/\s+/)),
  );
  return plan.permissions.filter((one) => !scopes.has(one.name)).map((one) => one.name);
}
