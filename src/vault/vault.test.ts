import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { argon2id } from './argon2.ts';
import { encrypt, openDataKey, VAULT_ID } from './envelope.ts';
import { HEADER } from './header.ts';
import { createKeyFile, credentialKey, environmentKey, fileKey, passphraseKey } from './key-source.ts';
import { openVault, rotateMasterKey, type VaultSettings } from './open.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-vault-'));
after(() => rmSync(folder, { recursive: true }));

const keyOf = (octet: number): ReturnType<typeof environmentKey> =>
  environmentKey(new Secret(Buffer.alloc(32, octet).toString('base64')));
const settings = (): VaultSettings & { readonly map: Map<string, string> } => {
  const map = new Map<string, string>();
  return {
    map,
    get: async (name) => map.get(name),
    setOnce: async (name, value) => map.get(name) ?? (map.set(name, value), value),
    set: async (name, value) => void map.set(name, value),
  };
};
const code = (expected: string) => (error: unknown) => isError(error, expected);

test('what is sealed opens again, in this process and after a restart', async () => {
  const kept = settings();
  const vault = await openVault(kept, keyOf(1));
  const later = await openVault(kept, keyOf(1));
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'grapheme' }), fc.string(), async (text, record) => {
      const sealed = await vault.seal(record, new Secret(text));
      assert.equal((await later.open(record, sealed)).reveal(), text);
    }),
  );
});

test('every bit counts: an altered, cut or moved value does not open', async () => {
  const vault = await openVault(settings(), keyOf(1));
  const sealed = await vault.seal('grant/a/tokens', new Secret('refresh-token-value'));
  for (let at = 0; at < sealed.length; at++) {
    const altered = Uint8Array.from(sealed);
    altered[at]! ^= 1;
    // Octets 1 to 8 name the vault.
    await assert.rejects(
      vault.open('grant/a/tokens', altered),
      code(at >= 1 && at <= 8 ? 'vault.wrong-key' : 'vault.damaged'),
    );
    await assert.rejects(vault.open('grant/a/tokens', sealed.subarray(0, at)), (error) => isError(error));
  }
  await assert.rejects(vault.open('grant/b/tokens', sealed), code('vault.damaged'));
});

test('two seals of one value share nothing but version and vault', async () => {
  const vault = await openVault(settings(), keyOf(1));
  const one = Buffer.from(await vault.seal('r', new Secret('same')));
  const two = Buffer.from(await vault.seal('r', new Secret('same')));
  assert.deepEqual(one.subarray(0, 9), two.subarray(0, 9));
  for (let at = 9; at + 12 <= one.length; at++) assert.equal(two.indexOf(one.subarray(at, at + 12)), -1);
  assert.equal(one.indexOf('same'), -1);
});

test('a wrong key, a damaged header and a foreign vault are told apart', async () => {
  const kept = settings();
  const vault = await openVault(kept, keyOf(1));
  await assert.rejects(openVault(kept, keyOf(2)), code('vault.wrong-key'));
  await assert.rejects(openVault(kept, passphraseKey(new Secret('a passphrase'))), code('vault.wrong-key'));
  const foreign = await openVault(settings(), keyOf(1));
  await assert.rejects(foreign.open('r', await vault.seal('r', new Secret('x'))), code('vault.wrong-key'));
  const header = JSON.parse(kept.map.get(HEADER)!) as Record<string, unknown>;
  const root = String(header['root']);
  const flipped = (root.startsWith('A') ? 'B' : 'A') + root.slice(1);
  for (const broken of [
    'no json',
    '{}',
    'null',
    JSON.stringify({ ...header, root: flipped }),
    JSON.stringify({ ...header, format: 9 }),
    ...['format', 'source', 'masterKey', 'check', 'root'].flatMap((field) => [
      JSON.stringify({ ...header, [field]: undefined }),
      JSON.stringify({ ...header, [field]: [header[field]] }),
    ]),
    JSON.stringify({ ...header, check: 'f'.repeat(63) }),
  ]) {
    kept.map.set(HEADER, broken);
    await assert.rejects(openVault(kept, keyOf(1)), code('vault.damaged'), broken);
  }
});

test('of several processes that make the vault at once all use the same one', async () => {
  const kept = settings();
  const vaults = await Promise.all(Array.from({ length: 5 }, () => openVault(kept, keyOf(1))));
  const sealed = await vaults[0]!.seal('r', new Secret('one for all'));
  for (const vault of vaults) assert.equal((await vault.open('r', sealed)).reveal(), 'one for all');
});

test('a new master key opens everything, the old one nothing; derived keys stay', async () => {
  const kept = settings();
  const before = await openVault(kept, keyOf(1));
  const sealed = await before.seal('r', new Secret('kept'));
  await assert.rejects(rotateMasterKey(kept, keyOf(9), keyOf(2)), code('vault.wrong-key'));
  await rotateMasterKey(kept, keyOf(1), keyOf(2));
  await assert.rejects(openVault(kept, keyOf(1)), code('vault.wrong-key'));
  const after = await openVault(kept, keyOf(2));
  assert.equal((await after.open('r', sealed)).reveal(), 'kept');
  assert.deepEqual(await after.derive('app-password'), await before.derive('app-password'));
  // A process that runs through the change goes on, and both understand each other.
  assert.equal((await after.open('s', await before.seal('s', new Secret('new')))).reveal(), 'new');
  assert.notDeepEqual(await after.derive('app-password'), await after.derive('other'));
  assert.equal((await after.derive('app-password')).length, 32);
  await assert.rejects(rotateMasterKey(settings(), keyOf(1), keyOf(2)), code('vault.locked'));
});

test('a new master key that cannot be had a second time does not become the only way in', async () => {
  const kept = settings();
  await openVault(kept, keyOf(1));
  const before = kept.map.get(HEADER);
  let asked = 0;
  const unsteady = { ...keyOf(2), key: async () => Buffer.alloc(32, ++asked) };
  await assert.rejects(rotateMasterKey(kept, keyOf(1), unsteady), code('vault.wrong-key'));
  assert.equal(asked, 2);
  assert.equal(kept.map.get(HEADER), before);
  await openVault(kept, keyOf(1));
});

test('a passphrase opens its vault, in either Unicode form, and no other does', async () => {
  const kept = settings();
  const vault = await openVault(kept, passphraseKey(new Secret('caf\u00e9 au lait, no sugar')));
  const again = await openVault(kept, passphraseKey(new Secret('cafe\u0301 au lait, no sugar')));
  assert.equal((await again.open('r', await vault.seal('r', new Secret('x')))).reveal(), 'x');
  await assert.rejects(openVault(kept, passphraseKey(new Secret('cafe au lait, no sugar'))), code('vault.wrong-key'));
  await assert.rejects(openVault(settings(), passphraseKey(new Secret(''))), code('vault.locked'));
  const header = JSON.parse(kept.map.get(HEADER)!) as { cost: Record<string, unknown> };
  kept.map.set(HEADER, JSON.stringify({ ...header, cost: { ...header.cost, memory: 2 ** 30 } }));
  await assert.rejects(
    openVault(kept, passphraseKey(new Secret('caf\u00e9 au lait, no sugar'))),
    code('vault.damaged'),
  );
});

test('what a header may ask of the machine has bounds, which themselves are allowed', async () => {
  const passphrase = new Secret('a passphrase');
  const cost = { salt: Buffer.alloc(16).toString('base64url'), memory: 8_192, passes: 1, lanes: 1 };
  assert.equal((await argon2id(passphrase, cost)).length, 32);
  assert.equal((await argon2id(passphrase, { ...cost, passes: 16, lanes: 16 })).length, 32);
  for (const beyond of [
    { memory: 8_191 },
    { memory: 1_048_577 },
    { memory: 8_192.5 },
    { passes: 0 },
    { passes: 17 },
    { lanes: 0 },
    { lanes: 17 },
    { salt: Buffer.alloc(15).toString('base64url') },
  ])
    await assert.rejects(argon2id(passphrase, { ...cost, ...beyond }), code('vault.damaged'), JSON.stringify(beyond));
});

test('the header and everything sealed hold neither key nor value', async () => {
  const kept = settings();
  const key = Buffer.alloc(32, 0xa5);
  const vault = await openVault(kept, environmentKey(new Secret(key.toString('hex'))));
  const all = Buffer.concat([
    Buffer.from(kept.map.get(HEADER)!),
    await vault.seal('r', new Secret('plain text value')),
  ]);
  for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const)
    assert.equal(all.indexOf(key.toString(form)), -1, form);
  assert.equal(all.indexOf('plain text value'), -1);
});

test('K26: of several that make the key file at once one does, and nothing but the key is left', async () => {
  const path = join(folder, 'together', 'key');
  const all = await Promise.allSettled(Array.from({ length: 5 }, () => createKeyFile(path)));
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1);
  assert.equal((await fileKey(path).key(undefined)).length, 32);
  assert.deepEqual(readdirSync(join(folder, 'together')), ['key']);
});

test('a key file is made private, once, and refused when others can read it', async () => {
  const path = join(folder, 'new', 'master.key');
  await createKeyFile(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const text = readFileSync(path, 'utf8');
  await assert.rejects(createKeyFile(path), code('vault.locked'));
  assert.equal(readFileSync(path, 'utf8'), text, 'the key that is there stays');
  assert.equal((await fileKey(path).key(undefined)).length, 32);
  for (const mode of [0o640, 0o604, 0o620]) {
    chmodSync(path, mode);
    await assert.rejects(
      fileKey(path).key(undefined),
      (error) => isError(error, 'vault.exposed') && error.hint === `chmod 600 ${path}`,
    );
  }
  chmodSync(path, 0o400);
  assert.equal((await fileKey(path).key(undefined)).length, 32);
  await assert.rejects(fileKey(join(folder, 'none')).key(undefined), code('vault.locked'));
});

test('a key may be raw, hex or base64, and nothing else', async () => {
  const octets = Buffer.from(Array.from({ length: 32 }, (_, n) => n * 8));
  const path = join(folder, 'forms.key');
  for (const form of [octets, octets.toString('hex'), `${octets.toString('base64')}\n`, octets.toString('base64url')]) {
    writeFileSync(path, form, { mode: 0o600 });
    assert.deepEqual(Buffer.from(await fileKey(path).key(undefined)), octets);
  }
  for (const wrong of ['', 'short', octets.toString('hex').slice(2), 'x'.repeat(64), Buffer.alloc(33)]) {
    writeFileSync(path, wrong, { mode: 0o600 });
    await assert.rejects(fileKey(path).key(undefined), code('vault.locked'));
  }
  const bad = environmentKey(new Secret('correct horse battery staple'));
  await assert.rejects(
    bad.key(undefined),
    (error) => isError(error, 'vault.locked') && !/horse/.test(JSON.stringify(error)),
  );
});

test('a systemd credential is found by name or path', async () => {
  const path = join(folder, 'credential');
  writeFileSync(path, Buffer.alloc(32, 3), { mode: 0o440 });
  assert.equal((await credentialKey(path).key(undefined)).length, 32);
  const saved = process.env['CREDENTIALS_DIRECTORY'];
  try {
    process.env['CREDENTIALS_DIRECTORY'] = folder;
    assert.equal((await credentialKey('credential').key(undefined)).length, 32);
    delete process.env['CREDENTIALS_DIRECTORY'];
    await assert.rejects(credentialKey('credential').key(undefined), code('vault.locked'));
  } finally {
    if (saved !== undefined) process.env['CREDENTIALS_DIRECTORY'] = saved;
  }
});

test('a record in parts: each opens in its record at its place only, and only with its key', async () => {
  const kept = settings();
  const vault = await openVault(kept, keyOf(1));
  const { sealed, key } = await vault.newDataKey('message/1');
  const first = key.seal('0', Buffer.from('first'));
  const again = await (await openVault(kept, keyOf(1))).openDataKey('message/1', sealed);
  assert.equal(Buffer.from(again.open('0', first)).toString(), 'first');
  assert.throws(() => again.open('1', first), code('vault.damaged'));
  first[first.length - 1]! ^= 1;
  assert.throws(() => again.open('0', first), code('vault.damaged'));
  const second = key.seal('1', Buffer.from('second'));
  assert.throws(() => again.open('0', second), code('vault.damaged'));
  // Messages share keys; what is sealed for one does not open as another's all the same.
  const next = await vault.newDataKey('message/2');
  assert.deepEqual(next.sealed, sealed);
  const elsewhere = await vault.openDataKey('message/2', sealed);
  assert.throws(() => elsewhere.open('1', second), code('vault.damaged'));
  assert.equal(Buffer.from(elsewhere.open('0', next.key.seal('0', Buffer.from('x')))).toString(), 'x');
  await assert.rejects(vault.openDataKey('upload/1', sealed), code('vault.damaged'));
  await assert.rejects(vault.openDataKey('message/1', sealed.subarray(0, 20)), code('vault.damaged'));
  const other = await openVault(settings(), keyOf(1));
  await assert.rejects(other.openDataKey('message/1', sealed), code('vault.wrong-key'));
});

test('a key serves a thousand records, then there is another', async () => {
  const vault = await openVault(settings(), keyOf(1));
  const keys = new Set<string>();
  for (let record = 0; record < 2001; record++)
    keys.add(Buffer.from((await vault.newDataKey(`message/${record}`)).sealed).toString('hex'));
  assert.equal(keys.size, 3);
});

test('keys of one record alone, as earlier versions made them, still open for it alone', async () => {
  const root = { wrap: createSecretKey(Buffer.alloc(32, 7)), id: Buffer.alloc(VAULT_ID, 1) };
  const octets = Buffer.alloc(32, 9);
  const sealed = Buffer.concat([Buffer.of(1), root.id, encrypt(root.wrap, 'postern sealed key 1 message/1', octets)]);
  const { wrap, id } = root;
  assert.deepEqual(openDataKey(wrap, id, 'message/1', 'message', sealed).export(), octets);
  assert.throws(() => openDataKey(wrap, id, 'message/2', 'message', sealed), code('vault.damaged'));
});
