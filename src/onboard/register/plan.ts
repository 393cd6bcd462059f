/** The least registration at Microsoft that a flow and its protocols need. Pure: nothing is asked, nothing is done. */
import type { Flow } from '../../store/types.ts';
import type { Protocol } from '../../store/protocols.ts';
import { isAppOnly } from '../../oauth/flows.ts';
import { type Cloud, clouds } from '../../oauth/cloud.ts';
import { presets } from '../../oauth/providers.ts';
import type { CloudName, MicrosoftPreset } from '../../oauth/preset.ts';
import { registerError } from './errors.ts';
import { application, delegated, graphSend, type Permission, signIn } from './permissions.ts';

/** Who may sign in. `organization` is the directory the application is registered in. */
export type Accounts = 'organization' | 'organizations' | 'personal' | 'everyone';

export interface PlanRequest {
  /** Display name in the directory. */
  readonly name: string;
  readonly flow: Flow;
  readonly protocols: readonly Protocol[];
  readonly cloud: CloudName;
  readonly accounts: Accounts;
  /** Directory id or verified domain. */
  readonly tenant?: string;
  /**
   * App-only sending: `role-assignment` scopes it to a group of mailboxes inside Exchange and needs no permission on the
   * application; `permission` is the older SMTP.SendAsApp with a permission on each mailbox.
   */
  readonly smtpBy: 'role-assignment' | 'permission';
  /** Also lets mail leave by Microsoft Graph, where SMTP AUTH is switched off. Default: not, because most need it not. */
  readonly graph?: boolean;
  /** Trust in another platform's tokens (flow `federated`). */
  readonly federated?: { readonly issuer: string; readonly subject: string };
  /** Object id of the managed identity's service principal (flow `managed-identity`). */
  readonly managedIdentity?: string;
  readonly mailboxes: readonly string[];
  /** Mail-enabled security group whose members the application may send as. */
  readonly group?: string;
}

export interface Plan extends Omit<PlanRequest, 'cloud' | 'managedIdentity' | 'federated'> {
  readonly cloud: Cloud;
  readonly cloudName: CloudName;
  readonly preset: MicrosoftPreset;
  readonly appOnly: boolean;
  readonly audience:
    | 'AzureADMyOrg'
    | 'AzureADMultipleOrgs'
    | 'AzureADandPersonalMicrosoftAccount'
    | 'PersonalMicrosoftAccount';
  readonly publicClient: boolean;
  readonly redirectUris: readonly string[];
  readonly permissions: readonly Permission[];
  readonly credential: PlanCredential;
  /** Where to sign in, `https://login…/tenant`. */
  readonly authority: string;
}

export type PlanCredential =
  | { readonly type: 'none' }
  | { readonly type: 'secret' }
  | { readonly type: 'certificate' }
  | { readonly type: 'federated'; readonly issuer: string; readonly subject: string; readonly audience: string }
  | { readonly type: 'managed-identity'; readonly objectId: string };

/** Microsoft matches `http://localhost` with any port, and no other loopback name (reply-url, MicrosoftDocs). */
const LOOPBACK = 'http://localhost';
const AUDIENCES = {
  organization: 'AzureADMyOrg',
  organizations: 'AzureADMultipleOrgs',
  everyone: 'AzureADandPersonalMicrosoftAccount',
  personal: 'PersonalMicrosoftAccount',
} as const;
/** What stands for the tenant where accounts of several sign in. */
const SHARED = {
  organization: 'organizations',
  organizations: 'organizations',
  everyone: 'common',
  personal: 'consumers',
} as const;

/** @throws register.incomplete (a flow that lacks what it needs, or that its accounts cannot use) */
export function planRegistration(request: PlanRequest): Plan {
  const { flow, accounts, managedIdentity, federated, ...rest } = request;
  const cloud = clouds[request.cloud];
  const appOnly = isAppOnly(flow);
  if (request.protocols.length === 0)
    throw registerError('register.incomplete', 'name at least one of imap, pop3, smtp');
  if (appOnly && accounts !== 'organization') {
    throw registerError('register.incomplete', 'an application that signs in by itself belongs to one organisation', {
      hint: 'leave --accounts out, or use --flow browser',
    });
  }
  const preset = presets.find(
    (one): one is MicrosoftPreset =>
      one.family === 'microsoft' &&
      one.cloud === request.cloud &&
      (one.accounts === 'personal') === (accounts === 'personal'),
  );
  if (preset === undefined || (request.cloud !== 'global' && accounts === 'everyone')) {
    throw registerError('register.incomplete', `${cloud.name} has no personal accounts`, {
      hint: 'leave --accounts out for this cloud',
    });
  }
  const tenant = request.tenant ?? SHARED[accounts];
  const person = !appOnly;
  return {
    ...rest,
    flow,
    accounts,
    cloud,
    cloudName: request.cloud,
    preset,
    appOnly,
    audience: AUDIENCES[accounts],
    publicClient: person,
    // A device code comes back to the program by itself.
    redirectUris: flow === 'authorization-code' ? [LOOPBACK] : [],
    permissions: person
      ? [
          ...request.protocols.map((protocol) => delegated[protocol]),
          ...(request.graph === true ? [graphSend] : []),
          ...signIn,
        ]
      : request.protocols
          .filter((protocol) => protocol !== 'smtp' || request.smtpBy === 'permission')
          .map((protocol) => application[protocol]),
    credential: credentialOf(flow, preset, federated, managedIdentity),
    authority: `${preset.loginOrigin}/${tenant}`,
  };
}

function credentialOf(
  flow: Flow,
  { federatedAudience }: MicrosoftPreset,
  federated: PlanRequest['federated'],
  managedIdentity: string | undefined,
): PlanCredential {
  switch (flow) {
    case 'authorization-code':
    case 'device-code':
      return { type: 'none' };
    case 'client-secret':
      return { type: 'secret' };
    case 'certificate':
      return { type: 'certificate' };
    case 'federated':
      if (federated) return { type: 'federated', ...federated, audience: federatedAudience };
      throw registerError('register.incomplete', 'a federated credential trusts one issuer and one subject', {
        hint: 'add --federated-issuer URL and --federated-subject TEXT, exactly as the platform writes them into its tokens',
      });
    case 'service-account':
      throw registerError('register.incomplete', 'service accounts exist only at Google', {
        hint: 'postern register google',
      });
    case 'managed-identity':
      if (managedIdentity !== undefined) return { type: 'managed-identity', objectId: managedIdentity };
      throw registerError('register.incomplete', 'which managed identity?', {
        hint: 'add --managed-identity OBJECT_ID: az identity show --name NAME --resource-group GROUP --query principalId',
      });
  }
}

/**
 * The page on which an administrator agrees for the whole organisation.
 * @param clientId of the application, or a placeholder
 */
export function consentPage(plan: Plan, clientId: string): string {
  if (plan.appOnly || plan.redirectUris.length === 0) {
    // Consent to what the registration lists; without a redirect URI the portal's own button is the way that ends well.
    return `${plan.cloud.portal}/#view/Microsoft_AAD_RegisteredApps/ApplicationMenuBlade/~/CallAnAPI/appId/${clientId}`;
  }
  const scopes = plan.protocols.map((protocol) => `${plan.preset.resource}/${delegated[protocol].name}`);
  const query = new URLSearchParams({
    client_id: clientId,
    scope: [
      ...scopes,
      ...(plan.graph === true ? [`${plan.cloud.graph}/${graphSend.name}`] : []),
      'openid',
      'profile',
      'offline_access',
    ].join(' '),
    redirect_uri: LOOPBACK,
  });
  // Spaces as %20: some pages show a plus sign as it is.
  return `${plan.authority}/v2.0/adminconsent?${query.toString().replaceAll('+', '%20')}`;
}
