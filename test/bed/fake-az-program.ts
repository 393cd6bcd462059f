/**
 * Stands in for the Azure CLI: the commands that registering uses, with the answers and complaints of the real one
 * (Azure/azure-cli, command module role). Its directory is the JSON file that FAKE_AZ names; with FAKE_AZ_GRAPH and
 * FAKE_AZ_TOKEN look-ups go to a real Graph, as those of the real one do.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { FakeDirectory } from './fake-az.ts';

const file = process.env['FAKE_AZ']!;
const state = JSON.parse(readFileSync(file, 'utf8')) as FakeDirectory;
const argv = process.argv.slice(2);
state.calls.push(argv);

const option = (name: string): string | undefined => {
  const at = argv.indexOf(name);
  return at < 0 ? undefined : argv[at + 1];
};
const options = (name: string): string[] => {
  const at = argv.indexOf(name);
  if (at < 0) return [];
  const rest = argv.slice(at + 1);
  const end = rest.findIndex((word) => word.startsWith('--'));
  return end < 0 ? rest : rest.slice(0, end);
};

function finish(code: number, stdout: unknown, stderr = ''): never {
  writeFileSync(file, JSON.stringify(state));
  if (stderr !== '') process.stderr.write(`${stderr}\n`);
  if (stdout !== undefined && option('--output') !== 'none') {
    const query = option('--query');
    const value = query === undefined ? stdout : (stdout as Record<string, unknown>)[query];
    process.stdout.write(option('--output') === 'tsv' ? `${String(value)}\n` : `${JSON.stringify(value, null, 2)}\n`);
  }
  process.exit(code);
}

const fail = (text: string, code = 1): never => finish(code, undefined, `ERROR: ${text}`);
const app = (id: string) => state.applications.find((one) => one.appId === id);
const principal = (id: string) => state.principals.find((one) => one.appId === id || one.id === id);
const missing = (id: string): never =>
  fail(`Resource '${id}' does not exist or one of its queried reference-property objects are not present.`, 3);

function shape(): Record<string, unknown> {
  const access = option('--required-resource-accesses');
  const uris = options('--public-client-redirect-uris');
  return {
    ...(option('--is-fallback-public-client') === undefined ? {} : { isFallbackPublicClient: true }),
    ...(uris.length === 0 ? {} : { publicClient: { redirectUris: uris } }),
    ...(access === undefined ? {} : { requiredResourceAccess: JSON.parse(access) as unknown }),
  };
}

const commands: Readonly<Record<string, () => never>> = {
  'account show': () =>
    state.signedOut
      ? fail("Please run 'az login' to setup account.")
      : finish(0, {
          environmentName: state.cloud,
          tenantId: state.tenantId,
          user: { name: 'admin@contoso.test', type: 'user' },
        }),
  'ad app list': () =>
    finish(
      0,
      state.applications.filter(({ displayName }) => displayName.startsWith(option('--display-name') ?? '')),
    ),
  'ad app show': () => finish(0, app(option('--id')!) ?? missing(option('--id')!)),
  'ad app create': () => {
    if (state.mayNotRegister) fail('Insufficient privileges to complete the operation.');
    const made = {
      id: randomUUID(),
      appId: state.nextAppIds.shift() ?? randomUUID(),
      displayName: option('--display-name')!,
      signInAudience: option('--sign-in-audience'),
      isFallbackPublicClient: null,
      publicClient: { redirectUris: [] },
      requiredResourceAccess: [],
      ...shape(),
    };
    state.applications.push(made);
    finish(0, made);
  },
  'ad app update': () => {
    Object.assign(app(option('--id')!) ?? missing(option('--id')!), shape());
    finish(0, undefined);
  },
  'ad sp show': () => finish(0, principal(option('--id')!) ?? missing(option('--id')!)),
  'ad sp create': () => {
    const appId = option('--id')!;
    const made = { id: randomUUID(), appId, accountEnabled: true, appRoles: [], oauth2PermissionScopes: [] };
    state.principals.push(made);
    finish(0, made);
  },
  'ad app credential reset': () => {
    const found = app(option('--id')!) ?? missing(option('--id')!);
    if (!argv.includes('--append')) fail('the fake refuses to remove credentials');
    const cert = option('--cert');
    if (cert !== undefined) {
      state.certificates.push(readFileSync(cert.slice(1), 'utf8'));
      finish(
        0,
        { appId: found.appId, password: null, tenant: state.tenantId },
        'WARNING: The output includes credentials that you must protect.',
      );
    }
    const password = state.nextSecrets.shift() ?? `fake~${randomUUID()}`;
    state.secrets.push(password);
    finish(0, { appId: found.appId, password, tenant: state.tenantId });
  },
  'ad app federated-credential list': () => finish(0, state.federated),
  'ad app federated-credential create': () => {
    const made = JSON.parse(option('--parameters')!) as FakeDirectory['federated'][number];
    state.federated.push(made);
    finish(0, made);
  },
  'ad app permission admin-consent': () => {
    if (state.mayNotConsent) fail('Bad Request({"error":{"code":"Authorization_RequestDenied"}})');
    const found = app(option('--id')!) ?? missing(option('--id')!);
    const names = (principal('00000003-0000-0000-c000-000000000000')?.oauth2PermissionScopes ?? [])
      .filter(({ id }) => JSON.stringify(found.requiredResourceAccess).includes(id))
      .map(({ value }) => value);
    state.grants.push({ clientId: found.appId, consentType: 'AllPrincipals', scope: names.join(' ') });
    finish(0, undefined);
  },
  'ad app permission list-grants': () =>
    finish(
      0,
      state.grants.filter(({ clientId }) => clientId === option('--id')),
    ),
  rest: () => {
    const id =
      /servicePrincipals\/([^/]+)\/appRoleAssignments$/.exec(option('--url') ?? '')?.[1] ?? missing(option('--url')!);
    if (option('--method') === 'GET')
      finish(0, { value: state.assignments.filter(({ principalId }) => principalId === id) });
    if (state.mayNotConsent)
      fail('Forbidden({"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges"}})');
    const made = JSON.parse(option('--body')!) as FakeDirectory['assignments'][number];
    if (made.principalId !== id) fail('Bad Request');
    state.assignments.push(made);
    finish(0, { id: randomUUID(), ...made });
  },
};

/** Look-ups at Graph: the requests of the real Azure CLI. Undefined for commands that are no look-up. */
async function atGraph(origin: string, verb: string): Promise<void> {
  const get = async (path: string): Promise<{ status: number; body: Record<string, unknown> }> => {
    const answer = await fetch(`${origin}/v1.0${path}`, {
      headers: { authorization: `Bearer ${process.env['FAKE_AZ_TOKEN'] ?? ''}` },
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const id = option('--id') ?? '';
  const resolve = async (kind: string): Promise<Record<string, unknown>> => {
    const { body } = await get(`/${kind}?$filter=${encodeURIComponent(`appId eq '${id}'`)}`);
    const [found] = (body['value'] ?? []) as Record<string, unknown>[];
    if (found) return found;
    const direct = await get(`/${kind}/${id}`);
    return direct.status === 200 ? direct.body : missing(id);
  };
  if (verb === 'ad app show') finish(0, await resolve('applications'));
  if (verb === 'ad sp show') finish(0, await resolve('servicePrincipals'));
  if (verb === 'ad app permission list-grants') {
    const principal = (await resolve('servicePrincipals'))['id'] as string;
    finish(
      0,
      (await get(`/oauth2PermissionGrants?$filter=${encodeURIComponent(`clientId eq '${principal}'`)}`)).body['value'],
    );
  }
  if (verb === 'rest' && option('--method') === 'GET') {
    const { status, body } = await get((option('--url') ?? '').replace(/^https:\/\/[^/]+\/v1\.0/, ''));
    if (status !== 200) fail(JSON.stringify(body));
    finish(0, body);
  }
}

const end = argv.findIndex((word) => word.startsWith('-'));
const verb = argv.slice(0, end < 0 ? argv.length : end).join(' ');
const graphOrigin = process.env['FAKE_AZ_GRAPH'];
if (graphOrigin !== undefined) await atGraph(graphOrigin, verb);
(commands[verb] ?? (() => fail(`'${verb}' is misspelled or not recognized by the system.`, 2)))();
