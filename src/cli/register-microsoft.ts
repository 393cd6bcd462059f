/** `postern register microsoft`: the least registration, printed, made through the Azure CLI, or verified. */
import { shellWord } from '../base/shell.ts';
import { Option } from 'commander';
import { clouds } from '../oauth/cloud.ts';
import { exchangeScript } from '../onboard/register/exchange-script.ts';
import { consentPage } from '../onboard/register/plan.ts';
import { addCommand, azScript, portalSteps } from '../onboard/register/script.ts';
import { requiredResourceAccess } from '../onboard/register/permissions.ts';
import { checkApplicationName } from '../admin/applications.ts';
import type { Context } from './context.ts';
import { afterConsent, type MicrosoftOptions, planOf, saveExchangeScript } from './microsoft-plan.ts';
import { addSettingsOptions } from './new-application.ts';
import { Subcommand } from './subcommand.ts';
import { collect, protocols } from './value.ts';

export function microsoft(): Subcommand {
  const command = new Subcommand(
    'microsoft',
    'Microsoft 365 and Outlook.com: the least registration in Entra, and the Exchange side',
  )
    .option('--name <text>', 'name of the application in the directory', 'Postern')
    .option('--application <name>', 'its name in Postern', 'work')
    .option(
      '--flow <way>',
      'browser (default), device, or without a person: app-only (a certificate), client-secret, certificate, federated, managed-identity',
    )
    .option('--protocols <list>', 'imap, pop3, smtp: only what is named is asked for', protocols, [
      'imap',
      'smtp',
    ] as const)
    .addOption(
      new Option('--cloud <cloud>', 'where the organisation is').choices(Object.keys(clouds)).default('global'),
    )
    .addOption(
      new Option(
        '--accounts <whose>',
        'whose mailboxes: of this organisation, of any organisation, personal, or everyone',
      )
        .choices(['organization', 'organizations', 'personal', 'everyone'])
        .default('organization'),
    )
    .option('--tenant <tenant>', 'directory id or verified domain of the organisation')
    .addOption(
      new Option(
        '--smtp-by <way>',
        'app-only sending: by a role assignment scoped to a group, or by permission on each mailbox',
      )
        .choices(['role-assignment', 'permission'])
        .default('role-assignment'),
    )
    .option(
      '--graph',
      'also let mail leave by Microsoft Graph, for organisations that keep SMTP AUTH off: asks for Mail.Send (app-only: a role assignment for the same group)',
    )
    .option('--mailbox <addresses>', 'mailboxes for the Exchange script (repeatable)', collect)
    .option('--group <name>', 'group whose members the application may send as (default: NAME senders)')
    .option('--client-id <id>', 'print for this application instead of a new one')
    .option('--certificate <file>', 'PEM certificate for the application (default with --apply: one is made)')
    .option('--private-key <file>', 'PEM private key of the certificate')
    .option('--federated-issuer <url>', 'flow federated: issuer of the platform’s tokens')
    .option('--federated-subject <text>', 'flow federated: subject of the platform’s tokens')
    .option('--assertion-file <file>', 'flow federated: where the platform keeps its token')
    .option('--managed-identity <object-id>', 'flow managed-identity: object id of its service principal')
    .option('--exchange-script <file>', 'write the PowerShell script there')
    .option('--apply', 'do it with the Azure CLI (az), and tell Postern about the application')
    .option('--admin-consent', 'with --apply: also consent for everybody in the organisation')
    .option('--verify', 'look whether the registration took effect; with --apply afterwards')
    .option('--authority <url>', 'authority other than the cloud’s');
  return addSettingsOptions(command)
    .remark('Without --apply nothing is changed anywhere: commands, portal steps and the Exchange script are printed.')
    .example(
      'postern register microsoft --tenant example.com --apply',
      'postern register microsoft --flow app-only --protocols smtp --tenant example.com --mailbox scanner@example.com',
      'postern register microsoft --tenant example.com --graph --apply --admin-consent',
      'postern register microsoft --verify --application work',
    )
    .run(async (context, options: MicrosoftOptions) => {
      checkApplicationName(options.application);
      if (options.apply !== true && options.verify !== true) return print(context, options);
      // Loaded here and not above: no other command needs the engines.
      const { applyRegistration, verifyRegistration } = await import('./register-apply.ts');
      return options.apply === true ? applyRegistration(context, options) : verifyRegistration(context, options);
    });
}

function print(context: Context, options: MicrosoftOptions): void {
  const plan = planOf(options);
  const clientId = options.clientId ?? 'CLIENT_ID';
  const commands = azScript(plan, {
    ...(options.clientId === undefined ? {} : { clientId: options.clientId }),
    ...(options.certificate === undefined ? {} : { certificateFile: options.certificate }),
  });
  const portal = portalSteps(plan);
  const exchange = exchangeScript(plan, { clientId, objectId: 'ENTERPRISE_APPLICATION_OBJECT_ID' });
  const consent = plan.permissions.length === 0 ? undefined : consentPage(plan, clientId);
  const add = addCommand(plan, options.application, clientId);
  saveExchangeScript(context, options, exchange);
  context.result(
    {
      name: plan.name,
      cloud: plan.cloud.name,
      flow: plan.flow,
      accounts: plan.audience,
      publicClient: plan.publicClient,
      redirectUris: plan.redirectUris,
      permissions: plan.permissions,
      requiredResourceAccess: requiredResourceAccess(plan.permissions),
      commands,
      portal,
      exchangeScript: exchange,
      consentPage: consent ?? null,
      next: add,
    },
    [
      `# ${plan.name} in ${plan.cloud.name}`,
      '',
      '## With the Azure CLI (or let Postern do it: the same command with --apply)',
      '',
      ...commands,
      '',
      '## Or by hand',
      '',
      ...portal.map((step, index) => `${index + 1}. ${step}`),
      '',
      ...(consent === undefined
        ? []
        : ['## An administrator consents for everybody', '', consent, ...afterConsent(consent), '']),
      '## In Exchange Online (PowerShell)',
      '',
      ...exchange.trimEnd().split('\n'),
      '',
      '## Then tell Postern',
      '',
      add,
      `postern register microsoft --verify --application ${shellWord(options.application)}${options.flow === undefined ? '' : ` --flow ${shellWord(options.flow)}`} --protocols ${plan.protocols.join(',')}${plan.graph === true ? ' --graph' : ''}`,
    ],
  );
}
