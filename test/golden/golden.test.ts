/** What earlier versions stored is opened by this one: databases, the audit chain, app passwords, API keys, everything sealed. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { openApiSignIn } from '../../src/access/api-sign-in.ts';
import { openSignIn } from '../../src/access/sign-in.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import { Secret } from '../../src/base/secret.ts';
import { openCredential } from '../../src/oauth/application.ts';
import { openTokens } from '../../src/oauth/grant-tokens.ts';
import { openSecrets } from '../../src/outbox/webhook/signature.ts';
import { readConfig } from '../../src/server/config.ts';
import { homeOf } from '../../src/server/home.ts';
import { type Instance, openInstance } from '../../src/server/instance.ts';
import { migrations } from '../../src/store/migrations.ts';
import { passphraseKey } from '../../src/vault/key-source.ts';
import { openVault } from '../../src/vault/open.ts';
import { privateFolder } from '../bed/process.ts';

interface Facts {
  readonly appPassword: { readonly id: string; readonly password: string };
  readonly everyMailbox: { readonly id: string; readonly password: string };
  readonly apiKey: { readonly id: string; readonly key: string };
  readonly clientSecret: string;
  readonly refreshToken: string;
  readonly webhookSecret: string;
  readonly message: {
    readonly id: string;
    readonly idempotencyKey: string;
    readonly text: string;
    readonly octets: number;
  };
  readonly audit: { readonly seq: number; readonly hash: string };
  readonly derived: string;
  readonly passphrase: {
    readonly passphrase: string;
    readonly settings: Readonly<Record<string, string>>;
    readonly record: string;
    readonly sealed: string;
    readonly opened: string;
  };
}

const names = readdirSync(import.meta.dirname, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
);

test('the newest golden database has every migration of this version', () => {
  const has = (name: string): boolean => {
    const sql = readFileSync(join(import.meta.dirname, name, 'database.sql'), 'utf8');
    return migrations.every((one) => sql.includes(`INSERT INTO "migrations" VALUES ('${one.name}'`));
  };
  assert.ok(names.some(has), 'a stored format changed: node test/golden/make.ts NAME writes it down');
});

for (const name of names)
  describe(name, () => {
    const folder = privateFolder();
    const read = (file: string): string => readFileSync(join(import.meta.dirname, name, file), 'utf8');
    const facts = JSON.parse(read('facts.json')) as Facts;
    let instance: Instance;

    before(async () => {
      const config = readConfig(homeOf({}, join(folder.path, 'home')), {});
      for (const path of [config.home.database, config.home.key])
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileSync(config.home.key, read('key'), { mode: 0o600 });
      const database = new DatabaseSync(config.home.database);
      // A dump is in the order of the tables' making; what refers to each other is whole at its end.
      database.exec(`PRAGMA foreign_keys = OFF; BEGIN; ${read('database.sql')} COMMIT;`);
      database.close();
      instance = await openInstance({ config });
    });
    after(async () => {
      await instance.close();
      folder.remove();
    });

    test('its audit chain holds, and goes on', async () => {
      const state = await verifyChain(instance.store.audit, instance.auditKey);
      assert.ok(state.type === 'intact', JSON.stringify(state));
      const [record] = await instance.store.audit.read(facts.audit.seq - 1, 1);
      assert.equal(record?.hash, facts.audit.hash);
      await instance.audit.record({ type: 'server.started', outcome: 'ok', data: {} });
      await instance.audit.flush();
      const later = await verifyChain(instance.store.audit, instance.auditKey);
      assert.ok(later.type === 'intact' && later.records > state.records, JSON.stringify(later));
    });

    test('its app passwords and API keys sign in', async () => {
      const programs = await openSignIn(instance);
      const keys = await openApiSignIn(instance);
      try {
        for (const { id, password } of [facts.appPassword, facts.everyMailbox]) {
          const result = await programs.verify({
            user: 'Alice@example.com',
            password: new Secret(password),
            protocol: 'imap',
            remoteAddress: '127.0.0.1',
          });
          assert.ok(result.type === 'accepted' && result.appPassword.id === id, result.type);
        }
        const result = await keys.verify(new Secret(facts.apiKey.key), '127.0.0.1');
        assert.ok(result.type === 'accepted' && result.key.id === facts.apiKey.id, result.type);
      } finally {
        programs.close();
        keys.close();
      }
    });

    test('what it sealed opens: client secret, tokens, webhook secret, derived keys', async () => {
      const { store, vault, clock } = instance;
      const application = await store.applications.byName('work');
      const credential = await openCredential(vault, application!);
      assert.ok(credential?.type === 'secret' && credential.secret.reveal() === facts.clientSecret);
      const grant = await store.grants.find('grt_golden');
      assert.equal((await openTokens(vault, grant!))?.refreshToken?.reveal(), facts.refreshToken);
      const webhook = await store.webhooks.find('whk_golden');
      const [secret] = await openSecrets(vault, webhook!, clock.now());
      assert.equal(secret?.secret.reveal(), facts.webhookSecret);
      assert.equal(Buffer.from(await vault.derive('golden')).toString('hex'), facts.derived);
    });

    test('its message waits with its octets, and its idempotency key still counts', async () => {
      const { outbox, store } = instance;
      const message = await outbox.find(facts.message.id);
      assert.equal(message?.state.type, 'held');
      const pieces: Uint8Array[] = [];
      for await (const piece of outbox.body(message)) pieces.push(piece);
      const text = Buffer.concat(pieces).toString('latin1');
      assert.ok(text.endsWith(messageOf(facts).split('\r\n\r\n')[1]!), text.slice(0, 300));
      assert.match(text, /^Message-ID: <golden@example\.com>\r$/m);
      const mailbox = await store.mailboxes.find('alice@example.com');
      const again = await outbox.accept(
        {
          mailbox: mailbox!,
          envelope: { from: 'alice@example.com', recipients: [{ address: 'bob@example.net' }] },
          source: 'http',
          principal: message.principal,
          idempotencyKey: facts.message.idempotencyKey,
        },
        [Buffer.from(messageOf(facts))],
      );
      assert.deepEqual([again.replayed, again.message.id], [true, facts.message.id]);
    });

    test('a vault under a passphrase opens', async () => {
      const { passphrase, settings, record, sealed, opened } = facts.passphrase;
      const vault = await openVault(
        {
          get: (key) => Promise.resolve(settings[key]),
          setOnce: () => Promise.reject(new Error('the vault is there')),
          set: () => Promise.reject(new Error('the vault is there')),
        },
        passphraseKey(new Secret(passphrase)),
      );
      assert.equal((await vault.open(record, Buffer.from(sealed, 'base64'))).reveal(), opened);
    });
  });

/** As make.ts wrote it. */
function messageOf({ message }: Facts): string {
  const head = message.text.slice(0, message.text.indexOf('\r\n\r\n') + 4);
  const line = 'Golden lines stay as they are.\r\n';
  return head + line.repeat((message.octets - head.length) / line.length);
}
