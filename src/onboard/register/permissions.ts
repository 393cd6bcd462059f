/**
 * The permissions of mail programs, as data. Delegated ones are listed under Microsoft Graph in the portal although the
 * tokens are for Outlook; application permissions belong to Office 365 Exchange Online.
 *
 * Ids come from public application manifests, which agree, not from Microsoft's own list; `--apply` therefore looks each one
 * up by name in the directory first and takes the directory's.
 */
import type { Protocol } from '../../store/protocols.ts';

export const RESOURCES = {
  graph: { appId: '00000003-0000-0000-c000-000000000000', name: 'Microsoft Graph' },
  exchange: { appId: '00000002-0000-0ff1-ce00-000000000000', name: 'Office 365 Exchange Online' },
} as const;
export type ResourceName = keyof typeof RESOURCES;

export interface Permission {
  readonly name: string;
  readonly resource: ResourceName;
  /** `Scope` is delegated: a person consents. `Role` is the application's own: an administrator consents. */
  readonly type: 'Scope' | 'Role';
  readonly id: string;
  /** What it is needed for. */
  readonly why: string;
}

const scope = (name: string, id: string, why: string): Permission => ({
  name,
  id,
  why,
  resource: 'graph',
  type: 'Scope',
});
const role = (name: string, id: string, why: string): Permission => ({
  name,
  id,
  why,
  resource: 'exchange',
  type: 'Role',
});

/** A person's consent: reading and sending mail as that person. */
export const delegated: Readonly<Record<Protocol, Permission>> = {
  imap: scope('IMAP.AccessAsUser.All', '652390e4-393a-48de-9484-05f9b1212954', 'read and change mail by IMAP'),
  pop3: scope('POP.AccessAsUser.All', 'd7b7f2d9-0f45-4ea1-9d42-e50810c06991', 'collect mail by POP3'),
  smtp: scope('SMTP.Send', '258f6531-6087-4cc4-bb90-092c5fb3ed3f', 'send mail by SMTP'),
};

/**
 * The other way out, asked for only where somebody wants it: SMTP.Send sends through SMTP alone, and that is switched off in
 * many organisations. An application’s own right to it is given in Exchange, for named mailboxes.
 */
export const graphSend = scope(
  'Mail.Send',
  'e383f46e-2787-4529-855e-0e479a3ffac0',
  'send mail by Microsoft Graph where SMTP AUTH is switched off',
);

/** The sign-in itself: who signed in, and a refresh token. No right on anything. */
export const signIn: readonly Permission[] = [
  scope('openid', '37f7f235-527c-4136-accd-4a02d197296e', 'tell who signed in'),
  scope('profile', '14dad69e-099b-42c9-810b-d002981feec1', 'compare the address with the mailbox'),
  scope('offline_access', '7427e0e9-2fba-42fe-b0c0-848c9e6a8182', 'renew without asking every hour'),
];

/** The application's own rights; which mailboxes they open is decided in Exchange. */
export const application: Readonly<Record<Protocol, Permission>> = {
  imap: role('IMAP.AccessAsApp', '5e5addcd-3e8d-4e90-baf5-964efab2b20a', 'open mailboxes by IMAP'),
  pop3: role('POP.AccessAsApp', 'cb842b43-da6e-4506-86fe-bb12199c656d', 'open mailboxes by POP3'),
  smtp: role('SMTP.SendAsApp', '7146a1f0-8703-45b3-9eae-527a64c00995', 'send from mailboxes by SMTP'),
};

/** The form of an application's manifest (Microsoft Graph, requiredResourceAccess). */
export interface RequiredResourceAccess {
  readonly resourceAppId: string;
  readonly resourceAccess: readonly { readonly id: string; readonly type: 'Scope' | 'Role' }[];
}

export function requiredResourceAccess(permissions: readonly Permission[]): readonly RequiredResourceAccess[] {
  return (['graph', 'exchange'] as const).flatMap((resource) => {
    const own = permissions.filter((permission) => permission.resource === resource);
    if (own.length === 0) return [];
    return [{ resourceAppId: RESOURCES[resource].appId, resourceAccess: own.map(({ id, type }) => ({ id, type })) }];
  });
}

/** Everything that was there, and what is missing: the directory replaces the whole list with what it is given. */
export function withRequired(
  present: readonly RequiredResourceAccess[],
  permissions: readonly Permission[],
): readonly RequiredResourceAccess[] {
  const merged = new Map(present.map((one) => [one.resourceAppId, [...one.resourceAccess]]));
  for (const { resourceAppId, resourceAccess } of requiredResourceAccess(permissions)) {
    const list = merged.get(resourceAppId) ?? [];
    list.push(...resourceAccess.filter(({ id }) => !list.some((one) => one.id === id)));
    merged.set(resourceAppId, list);
  }
  return [...merged].map(([resourceAppId, resourceAccess]) => ({ resourceAppId, resourceAccess }));
}
