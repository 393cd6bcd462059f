/**
 * The Exchange side as a PowerShell script: what must be switched on, which mailboxes an application may open, how to see
 * that it took effect, how to undo it. Every cmdlet and parameter: MicrosoftDocs/office-docs-powershell, and “SMTP
 * Onboarding to App RBAC” and “Authenticate an IMAP, POP or SMTP connection using OAuth” in office-developer-exchange-docs.
 */
import { lines } from '../../base/lines.ts';
import type { Plan } from './plan.ts';

export interface ExchangeIds {
  readonly clientId: string;
  /** Object id of the enterprise application (service principal), not of the app registration. */
  readonly objectId: string;
}

const PLACEHOLDERS: ExchangeIds = { clientId: 'CLIENT_ID', objectId: 'ENTERPRISE_APPLICATION_OBJECT_ID' };

/** @param ids once they are known; otherwise the script holds placeholders in one place on top */
export function exchangeScript(plan: Plan, ids: ExchangeIds = PLACEHOLDERS): string {
  const sections = [
    ...(plan.appOnly ? [principal(plan)] : []),
    ...(plan.appOnly && needsMailboxPermission(plan) ? [mailboxPermission(plan)] : []),
    ...(plan.appOnly && assignedRoles(plan).length > 0 ? [roleAssignment(plan)] : []),
    switches(plan),
  ];
  const text = lines(
    '#Requires -Modules ExchangeOnlineManagement',
    `# Exchange Online side of the application ${quoted(plan.name)}.`,
    '# Safe to run again: each step looks first. Needs the roles Exchange Administrator and, for role assignments,',
    '# Organization Management. Changes take effect within minutes, some within an hour.',
    "$ErrorActionPreference = 'Stop'",
    '',
    plan.appOnly && [
      `$AppId     = ${quoted(ids.clientId)}`,
      '# Object ID of the *enterprise application*. The one of the app registration is accepted here and fails at sign-in.',
      `$ObjectId  = ${quoted(ids.objectId)}`,
    ],
    plan.mailboxes.length === 0 &&
      '# A placeholder: put the real addresses here, or run the command again with --mailbox ADDRESS (repeatable).',
    `$Mailboxes = @(${(plan.mailboxes.length > 0 ? plan.mailboxes : ['mailbox@example.com']).map(quoted).join(', ')})`,
    '',
    `Connect-ExchangeOnline -ShowBanner:$false${plan.cloud.exchange === undefined ? '' : ` -ExchangeEnvironmentName ${plan.cloud.exchange}`}`,
    ...sections.flatMap(({ title, lines, check, undo }, index) => [
      '',
      `# ${index + 1}. ${title}`,
      ...lines,
      '# Check:',
      ...check,
      '# Undo:',
      ...undo.map((line) => `#   ${line}`),
    ]),
    '',
    'Disconnect-ExchangeOnline -Confirm:$false',
  );
  return `${text.join('\n')}\n`;
}

interface Section {
  readonly title: string;
  readonly lines: readonly string[];
  /** Commands that show whether it took effect. */
  readonly check: readonly string[];
  readonly undo: readonly string[];
}

/** IMAP and POP3 know no other way than a permission on each mailbox; SMTP only when the application permission is used. */
function needsMailboxPermission(plan: Plan): boolean {
  return plan.protocols.some((protocol) => protocol !== 'smtp' || plan.smtpBy === 'permission');
}

function principal(plan: Plan): Section {
  return {
    title: 'Tell Exchange about the application.',
    lines: [
      '$Principal = Get-ServicePrincipal | Where-Object { $_.AppId -eq $AppId }',
      'if (-not $Principal) {',
      `  $Principal = New-ServicePrincipal -AppId $AppId -ObjectId $ObjectId -DisplayName ${quoted(plan.name)}`,
      '}',
      'elseif ($Principal.ObjectId -ne $ObjectId) {',
      '  throw "Exchange knows this application under the object id $($Principal.ObjectId). If that is the app registration, run: Remove-ServicePrincipal -Identity $AppId"',
      '}',
    ],
    check: ['Get-ServicePrincipal -Identity $AppId | Format-List DisplayName, AppId, ObjectId'],
    undo: ['Remove-ServicePrincipal -Identity $AppId'],
  };
}

function mailboxPermission(plan: Plan): Section {
  const send = plan.protocols.includes('smtp') && plan.smtpBy === 'permission';
  return {
    title: `Let the application open these mailboxes, and no others${send ? ', and send as them' : ''}.`,
    lines: lines(
      'foreach ($Mailbox in $Mailboxes) {',
      '  Add-MailboxPermission -Identity $Mailbox -User $Principal.Identity -AccessRights FullAccess | Out-Null',
      send &&
        '  Add-RecipientPermission -Identity $Mailbox -Trustee $Principal.Identity -AccessRights SendAs -Confirm:$false | Out-Null',
      '}',
    ),
    check: [
      'foreach ($Mailbox in $Mailboxes) { Get-MailboxPermission -Identity $Mailbox -User $Principal.Identity | Format-Table Identity, User, AccessRights }',
    ],
    undo: lines(
      'foreach ($Mailbox in $Mailboxes) { Remove-MailboxPermission -Identity $Mailbox -User $Principal.Identity -AccessRights FullAccess -Confirm:$false }',
      send &&
        'foreach ($Mailbox in $Mailboxes) { Remove-RecipientPermission -Identity $Mailbox -Trustee $Principal.Identity -AccessRights SendAs -Confirm:$false }',
    ),
  };
}

/** What the application sends by as members of a group: SMTP unless a permission allows it, Graph always so. */
function assignedRoles(plan: Plan): readonly ('SMTP' | 'Graph')[] {
  return [
    ...(plan.protocols.includes('smtp') && plan.smtpBy === 'role-assignment' ? ['SMTP' as const] : []),
    ...(plan.graph === true ? ['Graph' as const] : []),
  ];
}

const ROLES = { SMTP: 'Application SMTP.SendAsApp', Graph: 'Application Mail.Send' } as const;

function roleAssignment(plan: Plan): Section {
  const roles = assignedRoles(plan);
  const group = plan.group ?? `${plan.name} senders`;
  const scope = `${plan.name} SMTP scope`.slice(-64);
  return {
    title: `Let the application send by ${roles.join(' and ')} as members of one group, and as nobody else (RBAC for Applications).`,
    lines: lines(
      roles.includes('SMTP') &&
        '# No permission on the application itself: SMTP.SendAsApp besides this would ask for mailbox permissions as well.',
      roles.includes('Graph') &&
        '# Not the permission Mail.Send of Microsoft Graph: that would let it send as everybody in the organisation.',
      `$GroupName = ${quoted(group)}`,
      '$Group = Get-DistributionGroup -Identity $GroupName -ErrorAction SilentlyContinue',
      'if (-not $Group) { $Group = New-DistributionGroup -Name $GroupName -Type Security }',
      '$Members = @(Get-DistributionGroupMember -Identity $GroupName -ResultSize Unlimited | ForEach-Object { $_.PrimarySmtpAddress })',
      'foreach ($Mailbox in $Mailboxes) {',
      '  if ($Members -notcontains $Mailbox) { Add-DistributionGroupMember -Identity $GroupName -Member $Mailbox }',
      '}',
      `$ScopeName = ${quoted(scope)}`,
      `$Filter = "MemberOfGroup -eq '" + $Group.DistinguishedName.Replace("'", "''") + "'"`,
      'if (-not (Get-ManagementScope -Identity $ScopeName -ErrorAction SilentlyContinue)) {',
      '  New-ManagementScope -Name $ScopeName -RecipientRestrictionFilter $Filter | Out-Null',
      '}',
      ...roles.flatMap((role) => [
        `$AssignmentName = ${quoted(assignmentName(plan, role))}`,
        'if (-not (Get-ManagementRoleAssignment -Identity $AssignmentName -ErrorAction SilentlyContinue)) {',
        `  New-ManagementRoleAssignment -Name $AssignmentName -Role '${ROLES[role]}' -App $AppId -CustomResourceScope $ScopeName | Out-Null`,
        '}',
      ]),
    ),
    check: [
      '# InScope must be True for each; a new assignment may need up to two hours.',
      'foreach ($Mailbox in $Mailboxes) { Test-ServicePrincipalAuthorization -Identity $AppId -Resource $Mailbox | Format-Table RoleName, AllowedResourceScope, InScope }',
    ],
    undo: [
      ...roles.map(
        (role) => `Remove-ManagementRoleAssignment -Identity ${quoted(assignmentName(plan, role))} -Confirm:$false`,
      ),
      'Remove-ManagementScope -Identity $ScopeName -Confirm:$false',
      'Remove-DistributionGroup -Identity $GroupName -Confirm:$false',
    ],
  };
}

const assignmentName = (plan: Plan, role: keyof typeof ROLES): string => `${plan.name} ${role}`.slice(-64);

function switches(plan: Plan): Section {
  const settings = [
    ...(plan.protocols.includes('imap') ? ['-ImapEnabled $true'] : []),
    ...(plan.protocols.includes('pop3') ? ['-PopEnabled $true'] : []),
    ...(plan.protocols.includes('smtp') ? ['-SmtpClientAuthenticationDisabled $false'] : []),
  ];
  const smtp = plan.protocols.includes('smtp');
  return {
    title: 'Switch the protocols on for these mailboxes.',
    lines: lines(
      smtp && [
        '# SMTP AUTH has three states for a mailbox: $false on, $true off, $null as the organisation says, and that is off in',
        '# organisations made since 2020. Switching it on for single mailboxes is the narrower way; for all of them:',
        '#   Set-TransportConfig -SmtpClientAuthenticationDisabled $false',
        '#   (undo: Set-TransportConfig -SmtpClientAuthenticationDisabled $true)',
      ],
      `foreach ($Mailbox in $Mailboxes) { Set-CASMailbox -Identity $Mailbox ${settings.join(' ')} }`,
    ),
    check: [
      'foreach ($Mailbox in $Mailboxes) { Get-CASMailbox -Identity $Mailbox | Format-Table Name, ImapEnabled, PopEnabled, SmtpClientAuthenticationDisabled }',
      ...(smtp ? ['Get-TransportConfig | Format-List SmtpClientAuthenticationDisabled'] : []),
    ],
    undo: [
      `foreach ($Mailbox in $Mailboxes) { Set-CASMailbox -Identity $Mailbox ${settings
        .map((setting) =>
          setting.startsWith('-Smtp') ? '-SmtpClientAuthenticationDisabled $null' : setting.replace('$true', '$false'),
        )
        .join(' ')} }`,
    ],
  };
}

/** A literal string: nothing is expanded, an apostrophe is doubled; PowerShell takes the typographic ones for apostrophes too. */
function quoted(text: string): string {
  return `'${text.replace(/[\r\n]+/g, ' ').replace(/['\u2018-\u201b]/g, '$&$&')}'`;
}
