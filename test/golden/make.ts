/**
 * Writes what this version stores, for every later version to open: `node test/golden/make.ts NAME`, once for each release and
 * each change of a stored format; what it wrote is never edited. The secrets in it open nothing but these files.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { createApiKey } from '../../src/access/api-key.ts';
import { createAppPassword } from '../../src/access/app-password.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Secret } from '../../src/base/secret.ts';
import { addApplication } from '../../src/oauth/application.ts';
import { sealTokens } from '../../src/oauth/grant-tokens.ts';
import { sealSecrets } from '../../src/outbox/webhook/signature.ts';
import { readConfig } from '../../src/server/config.ts';
import { homeOf } from '../../src/server/home.ts';
import { ensureKey, openInstance } from '../../src/server/instance.ts';
import { PROTOCOLS } from '../../src/store/protocols.ts';
import { passphraseKey } from '../../src/vault/key-source.ts';
import { openVault } from '../../src/vault/open.ts';
import { privateFolder } from '../bed/process.ts';

const [name] = process.argv.slice(2);
if (name === undefined || !/^[\w.-]+$/.test(name)) {
  process.stderr.write('usage: node test/golden/make.ts NAME\n');
  process.exit(64);
}
const out = join(import.meta.dirname, name);
mkdirSync(out);

const PASSPHRASE = 'a passphrase of golden files only, 7 words';
/** Longer than one sealed part of a body. */
const TEXT = 'Golden lines stay as they are.\r\n'.repeat(2200);
const MESSAGE = `From: <alice@example.com>\r\nTo: <bob@example.net>\r\nSubject: golden\r\nMessage-ID: <golden@example.com>\r\n\r\n${TEXT}`;

const folder = privateFolder();
const config = readConfig(homeOf({}, join(folder.path, 'home')), {});
await ensureKey(config);
const instance = await openInstance({ config });
const { store, vault, clock, outbox, audit } = instance;

const application = await addApplication(instance, {
  name: 'work',
  provider: 'microsoft',
  clientId: '5a4db0c5-0000-4000-8000-000000000010',
  tenant: 'example.com',
  settings: {},
  credential: { type: 'secret', secret: new Secret('golden-client-secret') },
});
const grantId = 'grt_golden';
await store.grants.insert({
  id: grantId,
  applicationId: application.id,
  flow: 'authorization-code',
  identity: 'alice@example.com',
  subject: 'golden-subject',
  scopes: ['https://outlook.office.com/IMAP.AccessAsUser.All', 'offline_access'],
  state: { type: 'active', since: clock.now(), accessExpiresAt: clock.now() + 3_600_000 },
  tokens: await sealTokens(vault, grantId, {
    accessToken: new Secret('golden-access-token'),
    refreshToken: new Secret('golden-refresh-token'),
    obtainedAt: clock.now(),
    expiresAt: clock.now() + 3_600_000,
    scopes: ['https://outlook.office.com/IMAP.AccessAsUser.All'],
  }),
  generation: 1,
  createdAt: clock.now(),
});
const mailbox = {
  address: 'alice@example.com',
  grantId,
  access: 'own',
  protocols: PROTOCOLS,
  settings: { outgoing: 'outbox', sendAs: ['sales@example.com'] },
  createdAt: clock.now(),
} as const;
await store.mailboxes.insert(mailbox);
const program = { protocols: PROTOCOLS, networks: ['127.0.0.0/8'] };
const appPassword = await createAppPassword(instance, { ...program, label: 'mutt', mailboxes: ['alice@example.com'] });
const everyMailbox = await createAppPassword(instance, { ...program, label: 'printer', mailboxes: ['*'] });
const apiKey = await createApiKey(instance, { label: 'shop', actions: ['messages:*'], mailboxes: ['*'], networks: [] });
await store.webhooks.insert({
  id: 'whk_golden',
  apiKeyId: apiKey.row.id,
  url: 'https://shop.example.com/events',
  types: [],
  mailboxes: ['*'],
  secrets: await sealSecrets(vault, 'whk_golden', [{ secret: new Secret('whsec_Z29sZGVu'), expiresAt: undefined }]),
  state: { type: 'enabled' },
  cursor: 0,
  createdAt: clock.now(),
});
await store.suppressions.put({
  address: 'nobody@example.net',
  mailbox: '*',
  reason: 'manual',
  note: 'golden',
  createdAt: clock.now(),
});
const { message } = await outbox.accept(
  {
    mailbox,
    envelope: { from: 'alice@example.com', recipients: [{ address: 'bob@example.net' }] },
    source: 'http',
    principal: apiKey.row.id,
    idempotencyKey: 'golden-1',
  },
  [Buffer.from(MESSAGE)],
);
await outbox.hold(message.id, apiKey.row.id, 'golden');
await audit.record({
  type: 'session.ended',
  outcome: 'ok',
  sessionId: 'ses_golden',
  mailbox: 'alice@example.com',
  data: { protocol: 'imap', umlaut: 'ä', nothing: null, separator: '\u001f|\n' },
});
await audit.flush();

const kept = new Map<string, string>();
const sealedBy = await openVault(
  {
    get: (key: string) => Promise.resolve(kept.get(key)),
    setOnce: (key: string, value: string) => {
      if (!kept.has(key)) kept.set(key, value);
      return Promise.resolve(kept.get(key)!);
    },
    set: () => Promise.reject(new Error('nothing is replaced here')),
  },
  passphraseKey(new Secret(PASSPHRASE)),
);
const sealed = await sealedBy.seal('grant/golden/tokens', new Secret('sealed by a passphrase'));
const head = await store.audit.head();
await instance.close();

writeFileSync(join(out, 'database.sql'), dump(config.home.database));
writeFileSync(join(out, 'key'), readFileSync(config.home.key));
writeFileSync(
  join(out, 'facts.json'),
  `${JSON.stringify(
    {
      appPassword: { id: appPassword.row.id, password: appPassword.password.reveal() },
      everyMailbox: { id: everyMailbox.row.id, password: everyMailbox.password.reveal() },
      apiKey: { id: apiKey.row.id, key: apiKey.key.reveal() },
      clientSecret: 'golden-client-secret',
      refreshToken: 'golden-refresh-token',
      webhookSecret: 'whsec_Z29sZGVu',
      message: { id: message.id, idempotencyKey: 'golden-1', text: MESSAGE.slice(0, 130), octets: MESSAGE.length },
      audit: { seq: head?.seq, hash: head?.hash },
      derived: Buffer.from(await vault.derive('golden')).toString('hex'),
      passphrase: {
        passphrase: PASSPHRASE,
        settings: Object.fromEntries(kept),
        record: 'grant/golden/tokens',
        sealed: Buffer.from(sealed).toString('base64'),
        opened: 'sealed by a passphrase',
      },
      at: systemClock.now(),
    },
    undefined,
    2,
  )}\n`,
);
folder.remove();
process.stdout.write(`${out}\n`);

/** A database as SQL, so that what changes in it can be read. */
function dump(path: string): string {
  const database = new DatabaseSync(path, { readOnly: true });
  const lines: string[] = [];
  const entries = database
    .prepare(
      `SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid`,
    )
    .all() as { type: string; name: string; sql: string }[];
  for (const { sql } of entries) lines.push(`${sql};`);
  for (const table of entries.filter(({ type }) => type === 'table'))
    for (const row of database.prepare(`SELECT * FROM "${table.name}"`).all())
      lines.push(`INSERT INTO "${table.name}" VALUES (${Object.values(row).map(literal).join(', ')});`);
  database.close();
  return `${lines.join('\n')}\n`;
}

function literal(value: SQLOutputValue): string {
  if (value === null) return 'NULL';
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`;
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  return String(value);
}
