/**
 * The package as it is published, in a project that has it installed: what it exports type-checks and runs, `ErrorCode` is what
 * docs/errors.md lists, and every example does what it says.
 */
import assert from 'node:assert/strict';
import { cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { freePorts, privateFolder, runProgram, startDaemon } from './bed/process.ts';
import { until } from './bed/running-serve.ts';
import { type SandboxGateway, startSandboxGateway } from './bed/sandbox-gateway.ts';

const root = resolve(import.meta.dirname, '..');
const project = privateFolder();
const installed = join(project.path, 'node_modules', 'postern');
/** Twelve seconds of CPU, of which a busy machine makes minutes. */
const BUILD_MS = 220_000;
let gateway: SandboxGateway;
let url: string;
let key: string;

before(async () => {
  mkdirSync(installed, { recursive: true });
  await runProgram('npm', ['pack', '--pack-destination', project.path], {
    cwd: root,
    env: { HOME: project.path },
    timeoutMs: BUILD_MS,
  });
  const [archive] = globSync('postern-*.tgz', { cwd: project.path });
  await runProgram('tar', ['-xzf', join(project.path, archive!), '-C', installed, '--strip-components=1']);
  // What an installation would fetch is here already.
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
  symlinkSync(join(root, 'node_modules', '@types'), join(project.path, 'node_modules', '@types'));
  mkdirSync(join(project.path, 'node_modules', '.bin'));
  symlinkSync('../postern/dist/cli/main.js', join(project.path, 'node_modules', '.bin', 'postern'));
  cpSync(join(root, 'examples'), join(project.path, 'examples'), { recursive: true });
  const write = (file: string, text: string): void => writeFileSync(join(project.path, file), text);
  write('package.json', JSON.stringify({ type: 'module' }));
  write('tsconfig.json', JSON.stringify({ compilerOptions: STRICT, include: ['*.ts', 'examples'] }));
  write('codes.ts', codesProgram());
  write('program.ts', PROGRAM);

  const home = join(project.path, 'home');
  mkdirSync(home, { mode: 0o700 });
  write('home/postern.yaml', JSON.stringify({ console: { port: 0 }, webhooks: { allow: ['127.0.0.0/8'] } }));
  gateway = await startSandboxGateway(['--home', home]);
  url = `http://127.0.0.1:${gateway.facts.console.port}`;
  const allow = 'messages:send,messages:read,events:read,webhooks:*';
  const made = await gateway.cli([
    'apikey',
    'add',
    '--json',
    '--mailbox',
    '*',
    '--allow',
    allow,
    '--label',
    'examples',
  ]);
  key = (JSON.parse(made.stdout.toString()) as { key: string }).key;
});
after(async () => {
  await gateway?.stop();
  project.remove();
});

const STRICT = {
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable', 'esnext.collection'],
  module: 'nodenext',
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  types: ['node'],
};

const PROGRAM = `
import { type ErrorCode, isError, type Kind, PosternError } from 'postern/errors';
import { diagnoseReply, openOAuthClient } from 'postern/oauth';
import { oauthbearerClient, oauthbearerServer, Secret, xoauth2Client, xoauth2Server } from 'postern/sasl';
import { startSandbox } from 'postern/sandbox';

const token = new Secret('some-token');
const who = { user: 'a@x.test', token };
const read = [
  xoauth2Server().next(xoauth2Client(who).initial!),
  oauthbearerServer().next(oauthbearerClient({ ...who, host: 'x.test', port: 993 }).initial!),
];
let kind: Kind | undefined;
let code: ErrorCode | undefined;
try {
  openOAuthClient({ provider: 'nobody', clientId: 'x' });
} catch (error) {
  if (isError(error, 'oauth.unknown-provider')) kind = error.kind;
  if (isError(error)) code = error.code;
}
// @ts-expect-error: a code that does not exist is found by the compiler
isError(undefined, 'oauth.no-such-code');
const sandbox = await startSandbox();
await sandbox.close();
console.log(
  JSON.stringify({
    users: read.map((step) => (step.type === 'credentials' ? step.credentials.user : step.type)),
    kind,
    code,
    known: diagnoseReply('535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.')?.id,
    isClass: typeof PosternError,
  }),
);
`;

/** Does not compile unless the union is exactly what the page lists. */
function codesProgram(): string {
  const page = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  const codes = [...page.matchAll(/^\| `([a-z][\w.-]+)` \|/gm)].map((match) => match[1]!);
  assert.ok(codes.length > 100, 'the page was read');
  return `import type { ErrorCode } from 'postern/errors';
type Documented = ${codes.map((code) => `'${code}'`).join(' | ')};
type Empty<T extends never> = T;
export type Same = [Empty<Exclude<ErrorCode, Documented>>, Empty<Exclude<Documented, ErrorCode>>];
`;
}

const node = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runProgram(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], { cwd: project.path, env });

test('the published types are right for a strict program, the examples, and ErrorCode as docs/errors.md has it', async () => {
  await node([join(root, 'node_modules/typescript/bin/tsc'), '-p', project.path]);
});

test('every export runs, and no other path of the package can be imported', async () => {
  const { stdout } = await node(['program.ts']);
  assert.deepEqual(JSON.parse(stdout.toString()), {
    users: ['a@x.test', 'a@x.test'],
    kind: 'misuse',
    code: 'oauth.unknown-provider',
    known: 'smtp.auth-off-tenant',
    isClass: 'function',
  });
  const inside = await runProgram(process.execPath, ['-e', "import('postern/dist/base/secret.js')"], {
    cwd: project.path,
    accept: [1],
  });
  assert.match(inside.stderr, /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

const ofApi = () => ({ POSTERN_URL: url, POSTERN_KEY: key });

/** Starts an example that goes on until it is stopped. */
function example(args: readonly string[], env: Readonly<Record<string, string>>) {
  const daemon = startDaemon(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: project.path,
    env: { PATH: process.env.PATH, ...env },
  });
  return {
    says: (what: RegExp) =>
      until(`${args[0]!} says ${String(what)}`, () => what.test(daemon.output()), 30_000, daemon.output),
    output: daemon.output,
    stop: () => daemon.stop(0),
  };
}

test('examples/send.ts sends once, and examples/follow.ts sees it go', async () => {
  const follow = example(['examples/follow.ts', '0'], ofApi());
  const send = async (...args: readonly string[]): Promise<string> =>
    (await node(['examples/send.ts', ...args], ofApi())).stdout.toString();
  const first = await send('alice@contoso.test', 'bob@contoso.test', 'order-1');
  const id = /^(\S+) is taken\n$/.exec(first)?.[1];
  assert.ok(id, first);
  assert.equal(await send('alice@contoso.test', 'bob@contoso.test', 'order-1'), `${id} was taken before\n`);
  await follow.says(new RegExp(`message\\.sent ${id}`));
  await follow.stop();
  const wrong = await runProgram(process.execPath, ['examples/send.ts', 'nobody@contoso.test', 'b@x.test', 'order-2'], {
    cwd: project.path,
    env: ofApi(),
    accept: [1],
  });
  assert.match(wrong.stderr, /^(?:api|outbox)\.[a-z-]+: .+\n.+/);
});

test('examples/webhook.ts believes what Postern signed, and nothing else', async () => {
  const [port] = await freePorts(1);
  const api = async (path: string, body: object): Promise<{ readonly id: string; readonly secret: string }> => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const answer = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, await answer.clone().text());
    return (await answer.json()) as { id: string; secret: string };
  };
  const { id, secret } = await api('/v1/webhooks', { url: `http://127.0.0.1:${port!}/` });
  const receiver = example(['examples/webhook.ts', String(port)], { POSTERN_WEBHOOK_SECRET: secret });
  await receiver.says(/^ready/);
  await api(`/v1/webhooks/${id}/test`, {});
  await receiver.says(/ webhook\.test\n/);
  const forged = await fetch(`http://127.0.0.1:${port!}/`, {
    method: 'POST',
    headers: {
      'webhook-id': 'forged',
      'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
      'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}`,
    },
    body: '{"type": "message.sent"}',
  });
  assert.equal(forged.status, 401);
  assert.doesNotMatch(receiver.output(), /forged/);
  await receiver.stop();
});

test('examples/imap.ts signs in with a token of postern token', async () => {
  const { tenant, ca } = gateway.facts;
  const args = ['examples/imap.ts', 'alice@contoso.test', tenant.imap.host, String(tenant.imap.port)];
  const { stdout } = await node(args, {
    HOME: project.path,
    POSTERN_HOME: gateway.facts.home,
    NODE_EXTRA_CA_CERTS: ca,
    PATH: [join(project.path, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
  });
  assert.match(stdout.toString(), /^\* STATUS "INBOX" \(MESSAGES \d+ UNSEEN \d+\)\n$/);
});

test('examples/tenant.test.ts passes', async () => {
  await node(['--test', 'examples/tenant.test.ts']);
});

test('no example is left out', () => {
  const run = readFileSync(import.meta.filename, 'utf8');
  const all = globSync('examples/*.ts', { cwd: root });
  assert.ok(all.length >= 5);
  assert.deepEqual(
    all.filter((file) => !run.includes(`'${file}'`)),
    [],
  );
});
