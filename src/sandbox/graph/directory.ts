/** Graph's directory: what is registered and what was granted, by appId, as a registration is verified. */
import type { Context, Hono } from 'hono';
import {
  exchangeOnline,
  graph,
  type RegisteredApplication,
  type Resource,
  resources,
  TENANT_DOMAIN,
  TENANT_ID,
  users,
} from '../authority/directory.ts';
import { permissionIds, resourcePrincipals } from '../authority/permission-ids.ts';
import { refuse } from './refusal.ts';
import { type GraphSite, requireDirectory, strike, type Verdict } from './site.ts';

/** @param verdictOf whose token the request bears */
export function directoryRoutes(app: Hono, site: GraphSite, verdictOf: (c: Context) => Verdict): void {
  const { platform } = site;
  const get = (path: string, answer: (c: Context) => object): void => {
    app.get(`/v1.0${path}`, (c) => {
      requireDirectory(verdictOf(c));
      strike(site, 'request', []);
      return c.json(answer(c));
    });
  };
  const applications = Object.values(platform.applications);
  const principals = [
    ...applications.map((application) => servicePrincipal(application)),
    ...resources.map((resource) => resourcePrincipal(resource)),
  ];
  const registrations = (): readonly Registration[] => applications.map((application) => registration(application));

  get('/applications', (c) => list(registrations(), c));
  get('/applications/:id', (c) => one(registrations(), c));
  get('/servicePrincipals', (c) => list(principals, c));
  get('/servicePrincipals/:id', (c) => one(principals, c));
  get('/servicePrincipals/:id/appRoleAssignments', (c) => {
    const principal = one(principals, c);
    const application = applications.find(({ id }) => id === principal.appId);
    return { value: application ? roleAssignments(application) : [] };
  });
  get('/servicePrincipals/:id/oauth2PermissionGrants', (c) => {
    const { id } = one(principals, c);
    return { value: permissionGrants(site, applications).filter(({ clientId }) => clientId === id) };
  });
  get('/oauth2PermissionGrants', (c) => {
    const grants = permissionGrants(site, applications);
    const wanted = equalTo(c, 'clientId');
    return { value: wanted === undefined ? grants : grants.filter(({ clientId }) => clientId === wanted) };
  });
  get('/organization', () => ({
    value: [{ id: TENANT_ID, displayName: 'Contoso', verifiedDomains: [{ name: TENANT_DOMAIN, isDefault: true }] }],
  }));

  app.get('/v1.0/me', (c) => {
    const { identity, scopes } = verdictOf(c);
    const user = users.find(({ address }) => address === identity?.toLowerCase());
    if (!user) throw refuse(400, 'BadRequest', '/me request is only valid with delegated authentication flow.');
    if (!scopes.includes('User.Read') && !scopes.includes('Directory.Read.All'))
      throw refuse(403, 'Authorization_RequestDenied', 'Insufficient privileges to complete the operation.');
    return c.json({ id: user.objectId, displayName: user.name, mail: user.address, userPrincipalName: user.address });
  });
}

interface Entry {
  readonly id: string;
  readonly appId: string;
  readonly displayName: string;
}

type Registration = Entry & Readonly<Record<string, unknown>>;

/** Id of the registration itself, which is another than that of its service principal: the classic mistake. */
const registrationId = (application: RegisteredApplication): string => application.objectId.replace('-9000-', '-a000-');

function registration(application: RegisteredApplication): Registration {
  const wanted = (resource: Resource, type: 'Scope' | 'Role', names: readonly string[]): object[] =>
    names.flatMap((name) => {
      const id = permissionIds[resource.id]?.[type]?.[name];
      return id === undefined ? [] : [{ id, type }];
    });
  const access = [
    { resourceAppId: exchangeOnline.id, resourceAccess: wanted(exchangeOnline, 'Role', application.roles) },
    {
      resourceAppId: graph.id,
      resourceAccess: [
        ...(application.publicClient ? wanted(graph, 'Scope', Object.keys(graph.scopes)) : []),
        ...wanted(graph, 'Role', application.graphRoles),
      ],
    },
  ];
  const time = (at: number): string => new Date(at).toISOString();
  return {
    id: registrationId(application),
    appId: application.id,
    displayName: application.name,
    signInAudience: 'AzureADMyOrg',
    isFallbackPublicClient: application.publicClient,
    publicClient: { redirectUris: application.publicClient ? application.redirectUris : [] },
    web: { redirectUris: application.publicClient ? [] : application.redirectUris },
    requiredResourceAccess: access.filter(({ resourceAccess }) => resourceAccess.length > 0),
    passwordCredentials: application.credentials.flatMap((each) =>
      each.type === 'secret'
        ? [{ keyId: each.keyId, hint: each.value.slice(0, 3), endDateTime: time(each.expiresAt) }]
        : [],
    ),
    keyCredentials: application.credentials.flatMap((each) =>
      each.type === 'certificate'
        ? [
            {
              customKeyIdentifier: each.sha1,
              type: 'AsymmetricX509Cert',
              usage: 'Verify',
              endDateTime: time(each.expiresAt),
            },
          ]
        : [],
    ),
  };
}

function servicePrincipal(application: RegisteredApplication): Registration {
  return {
    id: application.objectId,
    appId: application.id,
    displayName: application.name,
    accountEnabled: application.disabled !== true,
    servicePrincipalType: application.name.includes('managed identity') ? 'ManagedIdentity' : 'Application',
    appOwnerOrganizationId: TENANT_ID,
    appRoles: [],
    oauth2PermissionScopes: [],
  };
}

function resourcePrincipal(resource: Resource): Registration {
  const ids = permissionIds[resource.id]!;
  const named = (map: Readonly<Record<string, string>>): { id: string; value: string; isEnabled: true }[] =>
    Object.entries(map).map(([value, id]) => ({ id, value, isEnabled: true }));
  return {
    id: resourcePrincipals[resource.id]!,
    appId: resource.id,
    displayName: resource.name,
    accountEnabled: true,
    servicePrincipalType: 'Application',
    appRoles: named(ids.Role).map((role) => ({ ...role, allowedMemberTypes: ['Application'] })),
    oauth2PermissionScopes: named(ids.Scope).map((scope) => ({ ...scope, type: 'User' })),
  };
}

function roleAssignments(application: RegisteredApplication): readonly object[] {
  const granted = (resource: Resource, names: readonly string[]): object[] =>
    names.flatMap((name) => {
      const appRoleId = permissionIds[resource.id]?.Role[name];
      if (appRoleId === undefined) return [];
      return [
        {
          id: `${application.objectId}-${appRoleId}`,
          appRoleId,
          principalId: application.objectId,
          principalDisplayName: application.name,
          principalType: 'ServicePrincipal',
          resourceId: resourcePrincipals[resource.id]!,
          resourceDisplayName: resource.name,
        },
      ];
    });
  return [...granted(exchangeOnline, application.roles), ...granted(graph, application.graphRoles)];
}

interface PermissionGrant {
  readonly clientId: string;
  readonly consentType: 'AllPrincipals' | 'Principal';
  readonly principalId: string | null;
  readonly resourceId: string;
  readonly scope: string;
}

function permissionGrants(site: GraphSite, applications: readonly RegisteredApplication[]): readonly PermissionGrant[] {
  return applications.flatMap((application) =>
    site.platform.state.consentsTo(application).flatMap(({ user, permissions }) =>
      resources.flatMap((resource): PermissionGrant[] => {
        const scopes = permissions.flatMap((key) =>
          key.startsWith(`${resource.id} `) ? [key.slice(resource.id.length + 1)] : [],
        );
        if (scopes.length === 0) return [];
        return [
          {
            clientId: application.objectId,
            consentType: user === undefined ? 'AllPrincipals' : 'Principal',
            principalId: user ?? null,
            resourceId: resourcePrincipals[resource.id]!,
            scope: scopes.join(' '),
          },
        ];
      }),
    ),
  );
}

function list<T extends Entry>(all: readonly T[], c: Context): { readonly value: readonly T[] } {
  const appId = equalTo(c, 'appId');
  const displayName = equalTo(c, 'displayName');
  const fits = (entry: T): boolean =>
    (appId === undefined || entry.appId === appId) && (displayName === undefined || entry.displayName === displayName);
  return { value: all.filter(fits) };
}

/** `/servicePrincipals/{id}` and `/servicePrincipals(appId='…')`, which the server rewrites. @throws sandbox.graph 404 */
function one<T extends Entry>(all: readonly T[], c: Context): T {
  const wanted = c.req.param('id')!;
  const appId = /^appId=(.+)$/.exec(wanted)?.[1];
  const found = all.find((entry) => (appId === undefined ? entry.id === wanted : entry.appId === appId));
  if (!found)
    throw refuse(
      404,
      'Request_ResourceNotFound',
      `Resource '${appId ?? wanted}' does not exist or one of its queried reference-property objects are not present.`,
    );
  return found;
}

/** The value of `$filter=NAME eq 'VALUE'`. @throws sandbox.graph 400 (any other filter) */
function equalTo(c: Context, name: string): string | undefined {
  const filter = c.req.query('$filter');
  if (filter === undefined) return undefined;
  const [, field, value] = /^(\w+) eq '([^']*)'$/.exec(filter.trim()) ?? [];
  if (field === undefined)
    throw refuse(400, 'Request_UnsupportedQuery', `Unsupported or invalid query filter clause: ${filter}`);
  return field === name ? value : undefined;
}
