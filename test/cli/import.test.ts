/** `postern import emailproxy` into a real home: consents move over without anybody signing in again. */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { openDesk } from '../bed/command-desk.ts';
import { privateFolder } from '../bed/process.ts';
import { consentElsewhere } from '../bed/sandbox-consent.ts';

const PASSWORD = 'the mail program’s password';
const folder = privateFolder();
const desk = openDesk();
const { postern } = desk;
const home = join(folder.path, 'home');
const file = join(folder.path, 'emailproxy.config');
const settings = join(folder.path, 'settings.json');
let sandbox: Sandbox;
let refreshToken: string;

before(async () => {
  sandbox = await startSandbox();
  ({ refreshToken } = await consentElsewhere(sandbox, SCOPES, 'alice@contoso.test'));
  await postern(home, ['init', '--json']);
  const server = (endpoint: { host: string; port: number; tls: string }): object => ({
    ...endpoint,
    ca: sandbox.caPem,
  });
  const { imap, pop3, smtp } = sandbox.mail;
  writeFileSync(
    settings,
    JSON.stringify({
      authority: sandbox.authority,
      ca: sandbox.caPem,
      imap: server(imap),
      pop3: server(pop3),
      smtp: server(smtp),
    }),
  );
  writeFileSync(file, oldFile());
});
after(async () => {
  desk.close();
  await sandbox?.close();
  folder.remove();
});

const SCOPES = 'https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access';

function sealed(text: string, salt: Buffer, iterations: number): string {
  const key = pbkdf2Sync(PASSWORD, salt, iterations, 32, 'sha256');
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', key.subarray(16), iv);
  const head = Buffer.concat([Buffer.from([0x80]), Buffer.alloc(8), iv, cipher.update(text), cipher.final()]);
  return Buffer.concat([head, createHmac('sha256', key.subarray(0, 16)).update(head).digest()]).toString('base64url');
}

function oldFile(): string {
  const salt = randomBytes(16);
  const microsoft = 'https://login.microsoftonline.com';
  const person = (address: string): string => `[${address}]
permission_url = ${microsoft}/common/oauth2/v2.0/authorize
token_url = ${microsoft}/common/oauth2/v2.0/token
oauth2_scope = ${SCOPES}
client_id = ${sandbox.clients.public.id}
`;
  return `[IMAP-1993]
server_address = outlook.office365.com
local_address = 127.0.0.1

${person('alice@contoso.test')}token_salt = ${salt.toString('base64')}
token_iterations = 1000
refresh_token = ${sealed(refreshToken, salt, 1000)}

${person('bob@contoso.test')}
[sales@contoso.test]
token_url = ${microsoft}/${sandbox.tenantId}/oauth2/v2.0/token
oauth2_scope = https://outlook.office365.com/.default
oauth2_flow = client_credentials
client_id = ${sandbox.clients.confidential.id}
client_secret = ${sandbox.clients.confidential.secret}
`;
}

interface Imported {
  readonly accounts: readonly { readonly address: string; readonly state: string; readonly next?: string }[];
  readonly listeners: readonly object[];
}

test('--plan changes nothing', async () => {
  const { stdout } = await postern(home, ['import', 'emailproxy', file, '--plan', '--json']);
  const { accounts } = JSON.parse(stdout.toString()) as Imported;
  assert.deepEqual(
    accounts.map(({ state }) => state),
    ['planned', 'planned', 'planned'],
  );
  assert.equal((await postern(home, ['mailbox', 'list', '--json'])).stdout.toString().trim(), '[]');
});

test('with the password the consent moves over and opens the mailbox; the rest says what to do', async () => {
  const secret = join(folder.path, 'password');
  writeFileSync(secret, `${PASSWORD}\n`);
  const done = await postern(home, [
    'import',
    'emailproxy',
    file,
    '--password-file',
    secret,
    '--settings',
    settings,
    '--json',
  ]);
  const { accounts, listeners } = JSON.parse(done.stdout.toString()) as Imported;
  assert.deepEqual(
    accounts.map(({ address, state }) => [address, state]),
    [
      ['alice@contoso.test', 'open'],
      ['bob@contoso.test', 'waits'],
      ['sales@contoso.test', 'open'],
    ],
  );
  assert.equal(accounts[1]!.next, 'postern mailbox reconsent bob@contoso.test');
  assert.deepEqual(listeners, [{ protocol: 'imap', tls: 'none', host: '127.0.0.1', port: 1993 }]);
  const works = await postern(home, ['mailbox', 'test', 'alice@contoso.test', '--protocols', 'imap,smtp', '--json']);
  const { protocols } = JSON.parse(works.stdout.toString()) as { protocols: { outcome: string }[] };
  assert.deepEqual(
    protocols.map(({ outcome }) => outcome),
    ['works', 'works'],
  );
  for (const text of [refreshToken, PASSWORD, sandbox.clients.confidential.secret])
    assert.ok(!`${done.stdout.toString()}${done.stderr}`.includes(text));
  const providers = JSON.parse((await postern(home, ['application', 'list', '--json'])).stdout.toString()) as {
    name: string;
  }[];
  assert.deepEqual(providers.map(({ name }) => name).toSorted(), ['microsoft', 'microsoft-2']);
});

test('a second import leaves what is there', async () => {
  const again = await postern(home, ['import', 'emailproxy', file, '--json']);
  const { accounts } = JSON.parse(again.stdout.toString()) as Imported;
  assert.deepEqual(
    accounts.map(({ state }) => state),
    ['kept', 'kept', 'kept'],
  );
});

test('a file that is something else is refused with its line', async () => {
  const other = join(folder.path, 'other');
  writeFileSync(other, '{"json": true}');
  const { stderr } = await postern(home, ['import', 'emailproxy', other], { accept: [64] });
  assert.match(stderr, /line 1/);
});
