/** What an emailproxy.config means, and that sealed tokens open with the right password only. */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { readEmailProxy } from './emailproxy.ts';
import { fernetOpener, openFernet } from './fernet.ts';
import { readIni } from './ini.ts';

const FILE = `# my proxy
[Server setup]
documentation = text that goes on
	[not a section]
	even so = no setting

[IMAP-1993]
server_address = outlook.office365.com
server_port = 993
local_address = 127.0.0.1

[SMTP-1587]
server_address = smtp-mail.outlook.com
server_port = 587
server_starttls = True

[IMAP-2993]
server_address: imap.gmail.com
server_port: 993
local_address = 0.0.0.0
local_certificate_path = /etc/tls/chain.pem
local_key_path = /etc/tls/key.pem

[Account setup]
[Person@Example.com]
permission_url = https://login.microsoftonline.com/common/oauth2/v2.0/authorize
token_url = https://login.microsoftonline.com/common/oauth2/v2.0/token
oauth2_scope = https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access
redirect_uri = http://localhost
client_id = public-id
client_secret = *** your client secret here (remove this entire line if a secret is not required) ***
token_salt = c2FsdA==
token_iterations = 870000
refresh_token = gAAAAA

[robot@example.com]
token_url = https://login.microsoftonline.com/7a1b0000-0000-4000-8000-000000000000/oauth2/v2.0/token
oauth2_scope = https://outlook.office365.com/.default
oauth2_flow = client_credentials
client_id = robot-id
client_secret = %raw$secret=with:signs

[cert@example.com]
token_url = https://login.microsoftonline.com/example.com/oauth2/v2.0/token
oauth2_scope = https://outlook.office365.com/.default
oauth2_flow = client_credentials
client_id = cert-id
jwt_certificate_path = /etc/app.pem
jwt_key_path = /etc/app.key

[old@21vianet.cn]
token_url = https://login.partner.microsoftonline.cn/tenant-cn/oauth2/token
oauth2_resource = https://partner.outlook.cn
oauth2_flow = password
client_id = cn-id
redirect_uri = https://old.example.cn/back

[me@hotmail.com]
permission_url = https://login.microsoftonline.com/common/oauth2/v2.0/devicecode
token_url = https://login.microsoftonline.com/common/oauth2/v2.0/token
oauth2_scope = https://outlook.office.com/POP.AccessAsUser.All offline_access
oauth2_flow = device
client_id = device-id

[me@gmail.com]
token_url = https://oauth2.googleapis.com/token
oauth2_scope = https://mail.google.com/
client_id = google-id
client_secret = google-secret

[service@workspace.test]
token_url = https://oauth2.googleapis.com/token
oauth2_flow = service_account
client_id = file
client_secret = /key.json

[example@example.com]
token_url = https://login.microsoftonline.com/*** your tenant id here ***/oauth2/v2.0/token
client_id = *** your client id here ***

[own@selfhosted.test]
token_url = https://id.selfhosted.test/token
client_id = own-id

[@example.com]
client_id = catch-all
token_url = https://login.microsoftonline.com/common/oauth2/v2.0/token

[emailproxy]
allow_catch_all_accounts = False
`;

test('accounts: preset, tenant, flow, protocols, credential', () => {
  const { accounts } = readEmailProxy(FILE);
  const rows = accounts.map(({ address, provider, flow, protocols }) => [
    address,
    provider.preset,
    provider.tenant,
    flow,
    protocols.join(','),
    provider.credential.type,
  ]);
  assert.deepEqual(rows, [
    ['person@example.com', 'microsoft', 'common', 'authorization-code', 'imap,smtp', 'none'],
    ['robot@example.com', 'microsoft', '7a1b0000-0000-4000-8000-000000000000', 'client-secret', 'imap,smtp', 'secret'],
    ['cert@example.com', 'microsoft', 'example.com', 'certificate', 'imap,smtp', 'certificate'],
    ['old@21vianet.cn', 'microsoft-china', 'tenant-cn', 'authorization-code', 'imap,smtp', 'none'],
    ['me@hotmail.com', 'outlook', undefined, 'device-code', 'pop3', 'none'],
    ['me@gmail.com', 'google', undefined, 'authorization-code', 'imap', 'secret'],
    ['service@workspace.test', 'google', undefined, 'service-account', 'imap', 'service-account'],
  ]);
  const robot = accounts.find(({ address }) => address === 'robot@example.com')!;
  assert.ok(robot.provider.credential.type === 'secret');
  assert.equal(robot.provider.credential.secret.reveal(), '%raw$secret=with:signs');
  const old = accounts.find(({ address }) => address === 'old@21vianet.cn')!;
  assert.match(old.notes.join('\n'), /ROPC[\s\S]*--redirect-uri https:\/\/old\.example\.cn\/back/);
});

test('what cannot be taken over is said with a way out', () => {
  const { skipped } = readEmailProxy(FILE);
  assert.deepEqual(
    skipped.map(({ section }) => section),
    ['example@example.com', 'own@selfhosted.test', '@example.com'],
  );
  assert.ok(skipped.every(({ why, instead }) => why !== '' && instead !== ''));
});

test('ports: encryption as it was, and nothing in plain text beyond this machine', () => {
  const { listeners, certificate, notes } = readEmailProxy(FILE);
  assert.deepEqual(listeners, [
    { protocol: 'imap', tls: 'none', host: '127.0.0.1', port: 1993 },
    { protocol: 'smtp', tls: 'none', host: '127.0.0.1', port: 1587 },
    { protocol: 'imap', tls: 'implicit', host: '0.0.0.0', port: 2993 },
  ]);
  assert.deepEqual(certificate, { certificate: '/etc/tls/chain.pem', key: '/etc/tls/key.pem' });
  assert.equal(notes.length, 1);
  assert.match(notes[0]!, /SMTP-1587 listened on :: without encryption/);
});

test('catch-all sections give accounts what they lack, never tokens', () => {
  const text = `[@x.test]
client_id = shared
token_url = https://login.microsoftonline.com/x.test/oauth2/v2.0/token
oauth2_scope = https://outlook.office.com/POP.AccessAsUser.All
refresh_token = not-mine
[a@x.test]
token_salt = c2FsdA==
[emailproxy]
allow_catch_all_accounts = yes
`;
  const [account] = readEmailProxy(text).accounts;
  assert.equal(account?.provider.clientId, 'shared');
  assert.equal(account.sealedRefreshToken, undefined);
});

test('tokens that were kept apart come from there, and nothing else does', () => {
  const cache =
    '[Person@Example.com]\nrefresh_token = newer\ntoken_salt = bmV3\nclient_id = another\n[stranger@x.test]\nrefresh_token = x\n';
  const [account, ...others] = readEmailProxy(FILE, cache).accounts;
  assert.deepEqual(
    [account?.sealedRefreshToken, account?.salt, account?.provider.clientId],
    ['newer', 'bmV3', 'public-id'],
  );
  assert.equal(others.length, readEmailProxy(FILE).accounts.length - 1);
  const open = FILE.replace('allow_catch_all_accounts = False', 'allow_catch_all_accounts = True');
  const brought = readEmailProxy(open, '[new@example.com]\nrefresh_token = y\n').accounts.find(
    ({ address }) => address === 'new@example.com',
  );
  assert.deepEqual([brought?.sealedRefreshToken, brought?.provider.clientId], ['y', 'catch-all']);
});

const account = (name: string, more: string): string =>
  `[${name}]\nclient_id = id\ntoken_url = https://login.microsoftonline.com/x.test/oauth2/v2.0/token\noauth2_scope = https://outlook.office.com/IMAP.AccessAsUser.All\n${more}`;

test('B17: alice@x\\sales is the shared mailbox sales@x, opened by alice', () => {
  const [own, full] = readEmailProxy(
    `${account('Alice@x.test\\Sales', '')}${account('alice@x.test\\info@y.test', '')}`,
  ).accounts;
  assert.deepEqual([own?.address, own?.sharedWith], ['sales@x.test', 'alice@x.test']);
  assert.deepEqual([full?.address, full?.sharedWith], ['info@y.test', 'alice@x.test']);
});

test('B17: the password of the mail program can be the client secret', () => {
  const text = account('robot@x.test', 'oauth2_flow = client_credentials\n');
  const global = '[emailproxy]\nuse_login_password_as_client_credentials_secret = True\n';
  assert.equal(readEmailProxy(text + global).accounts[0]?.provider.credential.type, 'login-password');
  assert.equal(readEmailProxy(text).accounts[0]?.provider.credential.type, 'none');
  const own = `${text}client_secret = its-own\n`;
  assert.equal(readEmailProxy(own + global).accounts[0]?.provider.credential.type, 'secret');
});

test('B17: what stands behind a section’s name is ignored, and DEFAULT holds everywhere, as in Python', () => {
  const text = `[DEFAULT]\nlocal_address = 127.0.0.1\nserver_address = outlook.office365.com\n[IMAP-1993] # read\n[SMTP-1587]\nlocal_address = ::1\n`;
  assert.deepEqual(
    readEmailProxy(text).listeners.map(({ protocol, host, port }) => [protocol, host, port]),
    [
      ['imap', '127.0.0.1', 1993],
      ['smtp', '::1', 1587],
    ],
  );
  assert.deepEqual([...readIni('[a] ; x\nb = 1\n').keys()], ['a']);
});

for (const [url, preset] of [
  ['https://www.googleapis.com/oauth2/v4/token', 'google'],
  ['https://login.windows.net/common/oauth2/token', 'microsoft'],
  ['https://login.live.com/oauth20_token.srf', 'outlook'],
  ['https://login.microsoft.com/common/oauth2/v2.0/token', 'microsoft'],
] as const)
  test(`B17: ${url} is ${preset}`, () => {
    const { accounts } = readEmailProxy(`[a@x.test]\nclient_id = id\ntoken_url = ${url}\n`);
    assert.equal(accounts[0]?.provider.preset, preset);
  });

test('B17: a service account comes with the file of its key, or the key itself', () => {
  const text = (kind: string, secret: string): string =>
    `[a@x.test]\nclient_id = ${kind}\nclient_secret = ${secret}\noauth2_flow = service_account\ntoken_url = https://oauth2.googleapis.com/token\n`;
  const [file] = readEmailProxy(text('file', '/etc/key.json')).accounts;
  assert.ok(file?.provider.credential.type === 'service-account');
  assert.deepEqual([file.flow, file.provider.credential.key], ['service-account', { file: '/etc/key.json' }]);
  const [key] = readEmailProxy(text('key', '{"type": "service_account"}')).accounts;
  assert.ok(key?.provider.credential.type === 'service-account' && !('file' in key.provider.credential.key));
  assert.match(key.provider.clientId, /^service-account-[0-9a-f]{12}$/);
});

test('B17: a catch-all account is named with what to do', () => {
  const { skipped } = readEmailProxy(FILE);
  assert.match(
    skipped.find(({ section }) => section === '@example.com')?.instead ?? '',
    /mailbox add '\*@example\.com'/,
  );
});

for (const text of ['', 'nonsense', '[a]\n[a]', '[a]\nb\n', '[a]\nb = 1\nb = 2', 'a = 1', '<xml/>', '[only]\nx = 1']) {
  test(`refused, with the line: ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => readEmailProxy(text),
      (error) => isError(error, 'import.garbled'),
    );
  });
}

test('values survive writing and reading, as configparser writes them', () => {
  const value = fc
    .string({ maxLength: 30 })
    .map((text) => text.replace(/[\r\n\t\v\f\u0085\u2028\u2029]/g, '').trim())
    .filter((text) => !/^[#;[]/.test(text));
  fc.assert(
    fc.property(fc.array(value, { maxLength: 5 }), (values) => {
      const text = `[s]\n${values.map((one, index) => `K${index} = ${one}`).join('\n')}\n`;
      assert.deepEqual(
        { ...readIni(text).get('s') },
        Object.fromEntries(values.map((one, index) => [`k${index}`, one])),
      );
    }),
  );
});

test('Fernet: the published example', () => {
  const key = Buffer.from('cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=', 'base64url');
  const token = 'gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==';
  assert.equal(openFernet(key, token), 'hello');
  for (const at of [1, 12, 40, token.length - 5]) {
    const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
    assert.equal(openFernet(key, changed), undefined, String(at));
  }
});

function seal(password: string, salt: Buffer, iterations: number, text: string): string {
  const key = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', key.subarray(16), iv);
  const head = Buffer.concat([Buffer.from([0x80]), Buffer.alloc(8), iv, cipher.update(text), cipher.final()]);
  return Buffer.concat([head, createHmac('sha256', key.subarray(0, 16)).update(head).digest()]).toString('base64url');
}

test('a stored token opens with the password it was sealed with, and with no other', async () => {
  const salt = randomBytes(16);
  const sealed = seal('open sesame', salt, 1000, 'refresh-token');
  const under = { salt: salt.toString('base64'), iterations: 1000 };
  assert.equal((await fernetOpener(new Secret('open sesame'), under)(sealed)).reveal(), 'refresh-token');
  await assert.rejects(fernetOpener(new Secret('wrong'), under)(sealed), (error) =>
    isError(error, 'import.wrong-password'),
  );
  await assert.rejects(fernetOpener(new Secret('open sesame'), under)('gAAAAA'), (error) =>
    isError(error, 'import.wrong-password'),
  );
});
