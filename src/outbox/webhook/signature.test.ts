/** Which secrets sign, and what they sign. */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Secret } from '../../base/secret.ts';
import { environmentKey } from '../../vault/key-source.ts';
import { openVault } from '../../vault/open.ts';
import { newWebhookSecret, openSecrets, sealSecrets, signedHeaders } from './signature.ts';

test('a secret that was replaced signs until its time is over, and not at it', async () => {
  const map = new Map<string, string>();
  const settings = {
    get: async (name: string) => map.get(name),
    setOnce: async (name: string, value: string) => map.get(name) ?? (map.set(name, value), value),
    set: async (name: string, value: string) => void map.set(name, value),
  };
  const vault = await openVault(settings, environmentKey(new Secret(randomBytes(32).toString('base64'))));
  const [fresh, old] = [newWebhookSecret(), newWebhookSecret()];
  const sealed = await sealSecrets(vault, 'wh_1', [
    { secret: fresh, expiresAt: undefined },
    { secret: old, expiresAt: 1_000 },
  ]);
  const alive = async (now: number): Promise<string[]> =>
    (await openSecrets(vault, { id: 'wh_1', secrets: sealed }, now)).map(({ secret }) => secret.reveal());
  assert.deepEqual(await alive(999), [fresh.reveal(), old.reveal()]);
  assert.deepEqual(await alive(1_000), [fresh.reveal()]);
  await assert.rejects(openSecrets(vault, { id: 'wh_2', secrets: sealed }, 0), { code: 'vault.damaged' });
});

test('id, time and payload are signed by every secret that is alive', () => {
  const key = Buffer.alloc(32, 1);
  const secrets = [{ secret: new Secret(`whsec_${key.toString('base64')}`), expiresAt: undefined }];
  const headers = signedHeaders(secrets, 'evt_1', 7, '{}');
  const mac = createHmac('sha256', key).update('evt_1.7.{}').digest('base64');
  assert.deepEqual(headers, { 'webhook-id': 'evt_1', 'webhook-timestamp': '7', 'webhook-signature': `v1,${mac}` });
});
