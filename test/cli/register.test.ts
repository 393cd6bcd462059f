/** `postern register`, the real command: Microsoft through an `az` that is not Microsoft's, the sandbox as authority, and RFC 7591. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Provider } from 'oidc-provider';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { makeCertificates } from '../bed/certificates.ts';
import { type FakeAz, installFakeAz } from '../bed/fake-az.ts';
import { openDesk } from '../bed/command-desk.ts';
import { postern } from '../bed/postern.ts';
import { consentElsewhere } from '../bed/sandbox-consent.ts';
import { type Finished, privateFolder, type RunOptions } from '../bed/process.ts';

const folder = privateFolder();
const home = join(folder.path, 'home');
const desk = openDesk();
let sandbox: Sandbox;
let az: FakeAz;

before(async () => {
  sandbox = await startSandbox();
  az = installFakeAz(folder.path);
  await postern(home, ['init', '--json']);
});
after(async () => {
  desk.close();
  await sandbox?.close();
  folder.remove();
});

const run = (args: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  desk.postern(home, args, { ...options, env: { ...az.env, ...options.env } });
const json = ({ stdout }: Finished): unknown => JSON.parse(stdout.toString());
const atSandbox = (): string[] => ['--authority', sandbox.authority, '--ca', sandbox.caPath];

interface Checks {
  readonly checks: readonly { readonly name: string; readonly outcome: string; readonly found: string }[];
}
const outcomes = ({ checks }: Checks): Record<string, string> =>
  Object.fromEntries(checks.map(({ name, outcome }) => [name, outcome]));

test('without --apply everything is printed and nothing is done', async () => {
  const { stdout } = await run(['register', 'microsoft', '--tenant', 'contoso.test', '--mailbox', 'a@contoso.test']);
  const text = stdout.toString();
  for (const part of [
    'az ad app create',
    'App registrations → New registration',
    '/adminconsent?',
    'Set-CASMailbox',
    'postern application add work',
  ])
    assert.ok(text.includes(part), part);
  const printed = json(await run(['register', 'microsoft', '--flow', 'app-only', '--protocols', 'imap', '--json'])) as {
    permissions: { name: string }[];
    exchangeScript: string;
  };
  assert.deepEqual(
    printed.permissions.map(({ name }) => name),
    ['IMAP.AccessAsApp'],
  );
  assert.match(printed.exchangeScript, /New-ServicePrincipal/);
  assert.deepEqual(az.directory().calls, []);
});

test('a person’s consent: registered, known to Postern, verified, and complete the second time', async () => {
  az.change({ nextAppIds: [sandbox.clients.public.id] });
  const script = join(folder.path, 'exchange.ps1');
  const args = ['register', 'microsoft', '--apply', '--verify', '--json', '--exchange-script', script, ...atSandbox()];
  const first = await run(args);
  const made = json(first) as Checks & { outcome: string; clientId: string; consent: string; consentPage: string };
  assert.equal(made.outcome, 'created');
  assert.equal(made.clientId, sandbox.clients.public.id);
  assert.equal(made.consent, 'pending');
  assert.match(made.consentPage, /adminconsent\?client_id=/);
  assert.match(readFileSync(script, 'utf8'), /Set-CASMailbox/);
  assert.match(first.stderr, /registered Postern: client id/);
  assert.deepEqual(outcomes(made), {
    authority: 'ok',
    application: 'ok',
    mailboxes: 'unknown',
    'enterprise application': 'ok',
    registration: 'ok',
    'admin consent': 'unknown',
  });
  const again = json(await run([...args, '--admin-consent'])) as Checks & { outcome: string; consent: string };
  assert.equal(again.outcome, 'unchanged');
  assert.equal(again.consent, 'granted');
  assert.equal(outcomes(again)['admin consent'], 'ok');
  const [known, ...more] = json(await run(['application', 'list', '--json'])) as { name: string; clientId: string }[];
  assert.equal(known?.clientId, made.clientId);
  assert.deepEqual(more, []);
  // Sending by Graph is wanted later: what is missing is found, added and consented to, and nothing else changes.
  const lacks = json(
    await run(['register', 'microsoft', '--verify', '--application', 'work', '--graph', '--json'], { accept: [69] }),
  ) as Checks;
  assert.equal(outcomes(lacks)['registration'], 'failed');
  const wider = json(await run([...args, '--graph', '--admin-consent'])) as Checks & { outcome: string };
  assert.equal(wider.outcome, 'completed');
  assert.deepEqual([outcomes(wider)['registration'], outcomes(wider)['admin consent']], ['ok', 'ok']);
  assert.match(JSON.stringify(wider), /Mail\.Send/);
});

test('a client secret goes from az into the vault and nowhere else', async () => {
  const { id, secret } = sandbox.clients.confidential;
  az.change({ nextAppIds: [id], nextSecrets: [secret] });
  const args = [
    'register',
    'microsoft',
    '--name',
    'Robot',
    '--application',
    'robot',
    '--flow',
    'client-secret',
    '--protocols',
    'imap,pop3',
  ];
  const applied = await run([...args, '--apply', '--admin-consent', '--verify', '--json', ...atSandbox()]);
  const found = json(applied) as Checks;
  assert.equal(outcomes(found)['credential'], 'ok');
  assert.equal(outcomes(found)['permissions'], 'ok');
  assert.ok(!`${applied.stdout.toString()}${applied.stderr}`.includes(secret));
  assert.ok(!JSON.stringify(az.directory().calls).includes(secret));
  const verified = await run([
    'register',
    'microsoft',
    '--verify',
    '--name',
    'Robot',
    '--application',
    'robot',
    '--protocols',
    'imap,pop3',
    '--json',
  ]);
  assert.equal(outcomes(json(verified) as Checks)['admin consent'], 'ok');
});

test('the directory’s side is verified at Graph: roles, registration, consent', async () => {
  const { accessToken } = await consentElsewhere(
    sandbox,
    'https://graph.microsoft.com/Directory.Read.All',
    'alice@contoso.test',
  );
  const env = { FAKE_AZ_GRAPH: sandbox.graph, FAKE_AZ_TOKEN: accessToken, NODE_EXTRA_CA_CERTS: sandbox.caPath };
  const secretFile = join(folder.path, 'graph-secret');
  const { confidential, roleless, disabled } = sandbox.clients;
  writeFileSync(secretFile, confidential.secret);
  const look = async (name: string, id: string): Promise<Record<string, string>> => {
    const credential = ['--client-secret-file', secretFile];
    await run([
      'application',
      'add',
      name,
      '--client-id',
      id,
      '--tenant',
      sandbox.tenantId,
      ...credential,
      ...atSandbox(),
    ]);
    const args = ['register', 'microsoft', '--verify', '--application', name, '--protocols', 'imap,pop3', '--json'];
    return outcomes(json(await run(args, { env, accept: [0, 69] })) as Checks);
  };
  assert.deepEqual(await look('graph-good', confidential.id), {
    authority: 'ok',
    credential: 'ok',
    permissions: 'ok',
    mailboxes: 'unknown',
    'enterprise application': 'ok',
    registration: 'ok',
    'admin consent': 'ok',
  });
  const without = await look('graph-roleless', roleless.id);
  assert.equal(without['permissions'], 'failed');
  assert.equal(without['admin consent'], 'failed');
  const off = await look('graph-disabled', disabled.id);
  assert.equal(off['credential'], 'failed');
  assert.equal(off['enterprise application'], 'failed');
});

test('verify says what is wrong: an unknown application, a wrong secret, a tenant that is not there', async () => {
  const secretFile = join(folder.path, 'secret');
  writeFileSync(secretFile, 'not~the~secret');
  const settings = join(folder.path, 'settings.json');
  writeFileSync(settings, JSON.stringify({ authority: sandbox.authority, ca: sandbox.caPem }));
  const add = (name: string, ...args: string[]) => run(['application', 'add', name, '--settings', settings, ...args]);
  await add('unknown', '--client-id', '00000000-0000-4000-8000-000000000000');
  await add('wrong-secret', '--client-id', sandbox.clients.confidential.id, '--client-secret-file', secretFile);
  await add('confidential', '--client-id', sandbox.clients.confidential.id);
  const look = async (name: string): Promise<Checks> =>
    json(await run(['register', 'microsoft', '--verify', '--application', name, '--json'], { accept: [69] })) as Checks;
  assert.match((await look('unknown')).checks.find(({ outcome }) => outcome === 'failed')!.found, /AADSTS700016/);
  assert.match((await look('wrong-secret')).checks.find(({ outcome }) => outcome === 'failed')!.found, /AADSTS7000215/);
  assert.match((await look('confidential')).checks.find(({ outcome }) => outcome === 'failed')!.found, /AADSTS7000218/);
  writeFileSync(
    settings,
    JSON.stringify({ authority: new URL('/nowhere.test', sandbox.authority).href, ca: sandbox.caPem }),
  );
  await add('nowhere', '--client-id', sandbox.clients.public.id);
  const [authority] = (await look('nowhere')).checks;
  assert.equal(authority?.outcome, 'failed');
});

test('a missing or signed-out az is explained, with the next step', async () => {
  const args = ['register', 'microsoft', '--apply', '--json'];
  const missing = await run(args, { accept: [64], env: { PATH: folder.path } });
  assert.equal((JSON.parse(missing.stderr.trim()) as { error: { code: string } }).error.code, 'register.az-missing');
  az.change({ signedOut: true });
  const out = await run(args, { accept: [77] });
  az.change({ signedOut: false });
  assert.match(out.stderr, /az login/);
});

test('Google: steps for a Workspace and for personal accounts', async () => {
  const workspace = (await run(['register', 'google'])).stdout.toString();
  assert.match(workspace, /Audience: Internal/);
  const personal = (await run(['register', 'google', '--accounts', 'personal'])).stdout.toString();
  assert.match(personal, /seven days/);
  for (const text of [workspace, personal])
    assert.match(text, /https:\/\/mail\.google\.com\/[\s\S]*postern application add gmail --preset google/);
});

test('dynamic registration: printed first, then done, and the server knows the client', async () => {
  const certificates = await makeCertificates(join(folder.path, 'tls'));
  const { issuer, close, find } = await startRegistrar(certificates.certPem, certificates.keyPem);
  try {
    const args = ['register', 'oidc', issuer, '--ca', certificates.caPath, '--application', 'own'];
    const printed = json(await run([...args, '--json'])) as { metadata: { token_endpoint_auth_method: string } };
    assert.equal(printed.metadata.token_endpoint_auth_method, 'none');
    const token = join(folder.path, 'management');
    const more = ['--apply', '--imap', 'localhost:993/implicit', '--management-token-file', token];
    const done = json(await run([...args, ...more, '--json'])) as { clientId: string; managementUri: string };
    assert.deepEqual((await find(done.clientId))?.['redirect_uris'], ['http://localhost/', 'http://127.0.0.1/']);
    assert.equal(statSync(token).mode & 0o077, 0);
    const answer = await run(['application', 'show', 'own', '--json']);
    assert.equal((json(answer) as { issuer: string }).issuer, issuer);
    const twice = await run([...args, ...more], { accept: [64] });
    assert.match(twice.stderr, /already/);
  } finally {
    await close();
  }
});

async function startRegistrar(cert: string, key: string) {
  const server: Server = createServer({ cert, key });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    cookies: { keys: ['test'] },
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      registrationManagement: { enabled: true },
    },
  });
  const handle = provider.callback();
  server.on('request', (request, response) => void handle(request, response));
  return {
    issuer,
    find: async (id: string) => (await provider.Client.find(id))?.metadata() as Record<string, unknown> | undefined,
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
