/** The registration as something a person can follow: a shell script of `az` commands, and the clicks in the portal. */
import { lines } from '../../base/lines.ts';
import { shellWord } from '../../base/shell.ts';
import type { Argv } from './az-commands.ts';
import * as az from './az-commands.ts';
import { RESOURCES, requiredResourceAccess } from './permissions.ts';
import type { Plan } from './plan.ts';

export interface ScriptOptions {
  /** Known already: the script changes this application instead of making one. */
  readonly clientId?: string;
  /** Path of the certificate for the flow `certificate`. */
  readonly certificateFile?: string;
}

/** A script for bash, complete and safe to run as it is. The client secret is never shown: it goes into a private file. */
export function azScript(plan: Plan, options: ScriptOptions = {}): readonly string[] {
  if (plan.cloud.az === undefined)
    return [`# The Azure CLI knows no cloud with the directory of ${plan.cloud.name}: follow the steps by hand.`];
  return [
    '#!/usr/bin/env bash',
    `# Registers "${commentWord(plan.name)}" in ${plan.cloud.name}.`,
    // In a shell of its own, so that a failure does not end the terminal that this is pasted into.
    '(',
    'set -euo pipefail',
    ...(plan.cloud.az === 'AzureCloud' ? [] : [run(['cloud', 'set', '--name', plan.cloud.az])]),
    `${run(az.showAccount)} --output none || ${run(['login', '--allow-no-subscriptions', ...(plan.tenant === undefined ? [] : ['--tenant', plan.tenant])])}`,
    '',
    ...(plan.credential.type === 'managed-identity'
      ? [`SP_ID=${word(plan.credential.objectId)}`]
      : applicationLines(plan, options)),
    ...credentialLines(plan, options),
    ...roleLines(plan),
    ...(plan.credential.type === 'managed-identity'
      ? []
      : ['', 'echo "client id: $APP_ID   enterprise application: $SP_ID"']),
    ')',
  ];
}

function applicationLines(plan: Plan, { clientId }: ScriptOptions): readonly string[] {
  const access = requiredResourceAccess(plan.permissions);
  return [
    ...plan.permissions.map(({ name, why }) => `#   ${name}: ${why}`),
    ...(clientId === undefined
      ? [`APP_ID=$(${run(az.createApplication(plan, access))} --query appId --output tsv)`]
      : [
          `APP_ID=${word(clientId)}`,
          '# replaces the lists of permissions and redirect URIs: add here what else the application needs',
          run(az.updateApplication(plan, '$APP_ID', access, plan.redirectUris)),
        ]),
    '# the enterprise application: what the organisation sees and consents to',
    `SP_ID=$(${run(az.showServicePrincipal('$APP_ID'))} --query id --output tsv 2>/dev/null || ${run(az.createServicePrincipal('$APP_ID'))} --query id --output tsv)`,
  ];
}

function credentialLines(plan: Plan, { certificateFile }: ScriptOptions): readonly string[] {
  switch (plan.credential.type) {
    case 'none':
    case 'managed-identity':
      return [];
    case 'secret':
      return [
        '# the secret is shown once: into a file that only you can read, from there into Postern, then gone',
        `(umask 077; ${run(az.createSecret('$APP_ID', 'Postern'))} --only-show-errors --query password --output tsv > client-secret)`,
      ];
    case 'certificate': {
      const file = certificateFile ?? 'postern.pem';
      return lines(
        certificateFile === undefined && [
          '# a key that never leaves this machine; Entra gets the certificate only',
          `(umask 077; openssl req -x509 -newkey rsa:3072 -nodes -days 365 -subj /CN=Postern -keyout postern.key -out ${file})`,
        ],
        `${run(az.addCertificate('$APP_ID', 'Postern', file))} --output none`,
      );
    }
    case 'federated':
      return [
        '# issuer, subject and audience must be, letter by letter, what the platform writes into its tokens',
        `${run(az.addFederated('$APP_ID', plan.credential))} --output none`,
      ];
  }
}

function roleLines(plan: Plan): readonly string[] {
  const roles = plan.permissions.filter(({ type }) => type === 'Role');
  if (roles.length === 0) return [];
  return [
    '',
    '# admin consent: gives each application permission for the whole organisation',
    `EXCHANGE_ID=$(${run(az.showResource('exchange'))} --query id --output tsv)`,
    ...roles.flatMap(({ id, name }) => [
      `${run(az.assignRole(plan.cloud, '$SP_ID', '$EXCHANGE_ID', id))} --output none   # ${name}`,
    ]),
  ];
}

const run = (argv: Argv): string => ['az', ...argv.map(word)].join(' ');

/** One word of a shell command; the script's own variables are expanded, everything else is literal. */
function word(text: string): string {
  if (OWN.test(text)) return `"${text.replace(/["\\`]|\$(?!(?:APP_ID|SP_ID|EXCHANGE_ID)\b)/g, '\\$&')}"`;
  return shellWord(text);
}

const OWN = /\$(?:APP_ID|SP_ID|EXCHANGE_ID)\b/;
const commentWord = (text: string): string => text.replace(/[\r\n]+/g, ' ');

/** The same by hand in the admin centre. */
export function portalSteps(plan: Plan): readonly string[] {
  const { credential, permissions } = plan;
  if (credential.type === 'managed-identity') {
    return ['The portal cannot give application permissions to a managed identity; run the commands.'];
  }
  const list = (resource: 'graph' | 'exchange', kind: string): readonly string[] => {
    const names = permissions.filter((permission) => permission.resource === resource).map(({ name }) => name);
    if (names.length === 0) return [];
    return [
      `API permissions → Add a permission → ${resource === 'graph' ? 'Microsoft Graph' : `APIs my organization uses → ${RESOURCES.exchange.name}`} → ${kind}: ${names.join(', ')}. Remove User.Read, it is not needed.`,
    ];
  };
  return lines(
    `${plan.cloud.portal} → Entra ID → App registrations → New registration. Name: ${plan.name}. Supported account types: ${ACCOUNT_TYPES[plan.audience]}.${plan.redirectUris.length > 0 ? ` Redirect URI: Public client/native (mobile & desktop), ${plan.redirectUris.join(', ')}.` : ' No redirect URI.'}`,
    plan.publicClient && 'Authentication → Advanced settings → Allow public client flows: Yes.',
    ...list('graph', 'Delegated permissions'),
    ...list('exchange', 'Application permissions'),
    ...(permissions.length === 0
      ? ['API permissions: none. Remove User.Read too; sending is allowed inside Exchange, see the script.']
      : ['API permissions → Grant admin consent.']),
    ...credentialStep(plan),
    'Overview: copy Application (client) ID and Directory (tenant) ID.',
    plan.appOnly &&
      `${plan.cloud.portal} → Enterprise applications → ${plan.name} → Overview: copy the Object ID. It differs from the Object ID of the app registration, which Exchange does not accept.`,
  );
}

const ACCOUNT_TYPES: Readonly<Record<Plan['audience'], string>> = {
  AzureADMyOrg: 'Accounts in this organizational directory only',
  AzureADMultipleOrgs: 'Accounts in any organizational directory',
  AzureADandPersonalMicrosoftAccount: 'Accounts in any organizational directory and personal Microsoft accounts',
  PersonalMicrosoftAccount: 'Personal Microsoft accounts only',
};

function credentialStep({ credential }: Plan): readonly string[] {
  switch (credential.type) {
    case 'none':
    case 'managed-identity':
      return [];
    case 'secret':
      return [
        'Certificates & secrets → New client secret. Copy the Value, not the Secret ID; it is shown once. It ends after the time you choose: Postern warns before.',
      ];
    case 'certificate':
      return [
        'Certificates & secrets → Certificates → Upload certificate: the .pem with the certificate only, never the key.',
      ];
    case 'federated':
      return [
        `Certificates & secrets → Federated credentials → Add → Other issuer. Issuer: ${credential.issuer}. Subject: ${credential.subject}. Audience: ${credential.audience}.`,
      ];
  }
}

/** The command that tells Postern about the finished application. */
export function addCommand(plan: Plan, provider: string, clientId: string): string {
  return [
    `postern application add ${shellWord(provider)} --preset ${shellWord(plan.preset.id)} --client-id ${shellWord(clientId)}`,
    ...(plan.tenant === undefined ? (plan.appOnly ? ['--tenant TENANT_ID'] : []) : [`--tenant ${plan.tenant}`]),
    ...credentialOption(plan),
  ].join(' ');
}

function credentialOption({ credential }: Plan): readonly string[] {
  switch (credential.type) {
    case 'none':
      return [];
    case 'secret':
      return ['--client-secret-file client-secret'];
    case 'certificate':
      return ['--certificate postern.pem --private-key postern.key'];
    case 'federated':
      return ['--assertion-file /path/to/the/platforms/token'];
    case 'managed-identity':
      return ['--managed-identity'];
  }
}
