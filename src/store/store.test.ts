/** One contract, two engines: whatever is asked here holds on SQLite and on PostgreSQL. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { without } from '../../test/bed/need.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError } from '../base/error.ts';
import { hashOf } from './chain.ts';
import { newId } from './id.ts';
import { auditFact } from './migrations.ts';
import { openStore } from './open.ts';
import type { Application, Grant, Mailbox, Store } from './types.ts';
import type { AppPassword } from './types-access.ts';
import { editApplication, editMailbox } from './edit.ts';

interface Bench {
  url(): Promise<string>;
  /** Makes every lease run out, whoever's clock decides. */
  expireLeases(url: string, clock: ManualClock): Promise<void>;
}

const folder = mkdtempSync(join(tmpdir(), 'postern-store-'));
let postgres: Postgres | undefined;
let files = 0;
const noPostgres = without('postgresql');

before(async () => {
  if (noPostgres === false) postgres = await startPostgres();
});
after(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true });
});

const sqlite: Bench = {
  url: async () => `sqlite:${join(folder, `${++files}.db`)}`,
  expireLeases: async (_, clock) => clock.advance(3_600_000),
};

const benches: Readonly<Record<'sqlite' | 'sqlite with a thread' | 'postgres', Bench>> = {
  sqlite,
  'sqlite with a thread': sqlite,
  postgres: {
    url: () => postgres!.freshDatabase(),
    async expireLeases(url) {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query('UPDATE leases SET until = 1 WHERE until > 1');
      await client.end();
    },
  },
};

for (const engine of ['sqlite', 'sqlite with a thread', 'postgres'] as const) {
  const writer = engine === 'sqlite with a thread' ? 'thread' : 'here';
  describe(engine, { skip: engine === 'postgres' && noPostgres }, () => {
    const clock = new ManualClock();
    let url: string;
    let store: Store;
    before(async () => {
      url = await benches[engine].url();
      store = await openStore(url, { clock, writer });
    });
    after(() => store.close());

    const application = (change: Partial<Application> = {}): Application => ({
      id: newId('app'),
      name: newId('name'),
      provider: 'microsoft',
      clientId: 'client',
      tenant: undefined,
      settings: { scopes: { imap: ['ü'] }, sendingLimits: { connections: 1 } },
      credential: undefined,
      createdAt: 1_800_000_000_000,
      ...change,
    });
    const grantOf = async (change: Partial<Grant> = {}): Promise<Grant> => {
      const owner = application();
      await store.applications.insert(owner);
      const row: Grant = {
        id: newId('grt'),
        applicationId: owner.id,
        flow: 'device-code',
        identity: 'alice@contoso.test',
        subject: undefined,
        scopes: ['offline_access'],
        state: { type: 'pending', since: 1 },
        tokens: undefined,
        generation: 0,
        createdAt: 2,
        ...change,
      };
      await store.grants.insert(row);
      return row;
    };
    const password = (change: Partial<AppPassword> = {}): AppPassword => ({
      id: newId('apw'),
      label: 'printer',
      hash: newId('hash'),
      mailboxes: ['*'],
      protocols: ['imap'],
      networks: [],
      createdAt: 1,
      expiresAt: undefined,
      revokedAt: undefined,
      lastUsedAt: undefined,
      ...change,
    });

    test('gives applications back as they were, credential bytes and all', async () => {
      const row = application({ tenant: 'contoso.test', credential: Uint8Array.of(0, 1, 254, 255) });
      await store.applications.insert(row);
      const found = await store.applications.find(row.id);
      assert.deepEqual(found && { ...found, credential: [...found.credential!] }, {
        ...row,
        credential: [0, 1, 254, 255],
        credentials: [],
      });
      const facts = [{ id: 'one', type: 'secret', addedAt: 1, expiresAt: 2 }] as const;
      await store.applications.update(row.id, { credentials: facts });
      assert.deepEqual((await store.applications.find(row.id))?.credentials, facts);
      assert.equal((await store.applications.byName(row.name))?.id, row.id);
      await store.applications.update(row.id, { tenant: undefined, clientId: 'other' });
      const changed = await store.applications.find(row.id);
      assert.deepEqual([changed?.tenant, changed?.clientId, changed?.provider], [undefined, 'other', 'microsoft']);
      assert.ok((await store.applications.list()).some(({ id }) => id === row.id));
      assert.equal(await store.applications.remove(row.id), true);
      assert.equal(await store.applications.remove(row.id), false);
      assert.equal(await store.applications.find(row.id), undefined);
    });

    test('refuses a name that is taken, an unknown row, and removing what is in use', async () => {
      const row = application();
      await store.applications.insert(row);
      const taken = store.applications.insert(application({ name: row.name }));
      await assert.rejects(taken, (error) => isError(error, 'store.conflict'));
      await assert.rejects(store.applications.update('app_none', { clientId: 'x' }), (error) =>
        isError(error, 'store.not-found'),
      );
      const grant = await grantOf();
      await assert.rejects(store.applications.remove(grant.applicationId), (error) => isError(error, 'store.conflict'));
      await assert.rejects(grantOf({ id: grant.id }), (error) => isError(error, 'store.conflict'));
    });

    test('writes a grant only at the generation its writer saw', async () => {
      const { id } = await grantOf();
      const active = { type: 'active', since: 5, accessExpiresAt: 6 } as const;
      assert.equal(await store.grants.update(id, 0, { state: active, tokens: Uint8Array.of(7) }), 'written');
      assert.equal(await store.grants.update(id, 0, { tokens: Uint8Array.of(8) }), 'changed-meanwhile');
      assert.equal(await store.grants.update('grt_none', 0, {}), 'changed-meanwhile');
      const found = await store.grants.find(id);
      assert.ok(found);
      assert.deepEqual(found.state, active);
      assert.deepEqual([found.generation, [...found.tokens!]], [1, [7]]);
      assert.equal(await store.grants.update(id, 1, { tokens: undefined, subject: 'oid' }), 'written');
      assert.deepEqual(
        [(await store.grants.find(id))?.tokens, (await store.grants.find(id))?.subject],
        [undefined, 'oid'],
      );
    });

    test('of many writers at one generation exactly one wins', async () => {
      const { id } = await grantOf();
      const all = Array.from({ length: 12 }, (_, n) => store.grants.update(id, 0, { tokens: Uint8Array.of(n) }));
      const results = await Promise.all(all);
      assert.equal(results.filter((result) => result === 'written').length, 1);
      assert.equal((await store.grants.find(id))?.generation, 1);
    });

    test('a write under a lease fails once the lease has changed hands, not when it merely ran out', async () => {
      const { id } = await grantOf();
      const name = `grant/${id}`;
      const first = await store.leases.acquire(name, 'one', 5_000);
      assert.ok(first);
      assert.equal(await store.leases.acquire(name, 'two', 5_000), undefined);
      assert.equal(await store.leases.acquire(name, 'one', 5_000), undefined);
      await benches[engine].expireLeases(url, clock);
      assert.equal(await store.grants.update(id, 0, { subject: 'late' }, first), 'written');
      const second = await store.leases.acquire(name, 'two', 5_000);
      assert.equal(second?.fence, first.fence + 1);
      assert.equal(await store.grants.update(id, 1, { subject: 'stale' }, first), 'lease-lost');
      assert.equal(await store.leases.renew(first, 5_000), undefined);
      await store.leases.release(first);
      assert.equal(await store.leases.acquire(name, 'three', 5_000), undefined, 'a stale release frees nothing');
      assert.ok(second);
      const longer = await store.leases.renew(second, 60_000);
      assert.ok(longer!.until > second.until);
      await store.leases.release(second);
      assert.equal(await store.grants.update(id, 1, { subject: 'released' }, second), 'lease-lost');
      assert.equal((await store.leases.acquire(name, 'three', 5_000))?.fence, second.fence + 1);
      assert.equal((await store.grants.find(id))?.subject, 'late');
    });

    test('keeps mailboxes by address in any case', async () => {
      const grant = await grantOf();
      const row: Mailbox = {
        address: 'sales@contoso.test',
        grantId: grant.id,
        access: 'shared',
        protocols: ['imap', 'smtp'],
        settings: { smtpUser: 'delegate' },
        createdAt: 3,
      };
      await store.mailboxes.insert({ ...row, address: 'Sales@Contoso.test' });
      assert.deepEqual(await store.mailboxes.find('SALES@contoso.test'), row);
      await store.mailboxes.update('sales@contoso.test', { protocols: ['pop3'] });
      assert.deepEqual(await store.mailboxes.byGrant(grant.id), [{ ...row, protocols: ['pop3'] }]);
      assert.equal(await store.mailboxes.remove('Sales@contoso.test'), true);
      assert.deepEqual(await store.mailboxes.byGrant(grant.id), []);
    });

    test('A34: changes of settings that meet are all kept, of a mailbox and of an application', async () => {
      const grant = await grantOf();
      const address = 'meeting@contoso.test';
      const row = { address, grantId: grant.id, access: 'own', protocols: ['smtp'], createdAt: 3 } as const;
      await store.mailboxes.insert({ ...row, settings: { sendAs: ['alias@contoso.test'] } });
      const names = Array.from({ length: 20 }, (_, n) => `n${n}`);
      const id = grant.applicationId;
      const first = (await store.applications.find(id))!.settings;
      await Promise.all([
        ...names.map((name) => editMailbox(store, address, (now) => ({ ...now, [name]: true }))),
        editMailbox(store, address, (now) => ({ ...now, sendAs: [] })),
        ...names.map((name) =>
          editApplication(store, id, ({ settings }) => ({ settings: { ...settings, [name]: true } })),
        ),
      ]);
      const all = Object.fromEntries(names.map((name) => [name, true]));
      assert.deepEqual((await store.mailboxes.find(address))?.settings, { ...all, sendAs: [] });
      assert.deepEqual((await store.applications.find(id))?.settings, { ...first, ...all });
      assert.equal(await editMailbox(store, 'nobody@contoso.test', (now) => now), undefined);
      await store.mailboxes.remove(address);
    });

    test('revokes an app password once and notes its use', async () => {
      const row = password({ networks: ['10.0.0.0/8'], expiresAt: 99 });
      await store.appPasswords.insert(row);
      assert.deepEqual(await store.appPasswords.byHash(row.hash), row);
      await store.appPasswords.touch([{ id: row.id, at: 42 }]);
      assert.equal(await store.appPasswords.revoke(row.id, 50), true);
      assert.equal(await store.appPasswords.revoke(row.id, 60), false);
      assert.deepEqual(await store.appPasswords.find(row.id), { ...row, lastUsedAt: 42, revokedAt: 50 });
    });

    test('the first writer of a setting wins', async () => {
      const name = newId('set');
      const values = await Promise.all(['a', 'b', 'c'].map((value) => store.settings.setOnce(name, value)));
      assert.equal(new Set(values).size, 1);
      await store.settings.set(name, 'z');
      assert.equal(await store.settings.get(name), 'z');
      assert.equal(await store.settings.get('none'), undefined);
    });

    test('numbers and chains audit records, and filters the newest', async () => {
      const entry = { at: 1, type: 't', outcome: 'ok', sessionId: undefined, mailbox: undefined, data: {} } as const;
      const before = (await store.audit.head())!.seq;
      const many = Array.from({ length: 250 }, (_, n) => ({
        ...entry,
        mailbox: n % 2 ? 'odd' : undefined,
        data: { n },
      }));
      await Promise.all([store.audit.append(many), store.audit.append(many)]);
      const all = await store.audit.read(before, 1_000);
      assert.deepEqual(
        all.map(({ seq }) => seq),
        Array.from({ length: 500 }, (_, n) => before + n + 1),
      );
      assert.ok(all.slice(1).every((record, n) => record.previous === all[n]!.hash));
      assert.ok(all.every(({ hash, ...record }) => hash === hashOf(record)));
      assert.deepEqual(await store.audit.head(), { seq: before + 500, hash: all.at(-1)!.hash });
      const odd = await store.audit.latest({ mailbox: 'odd', type: 't', limit: 2 });
      assert.deepEqual(
        odd.map(({ data }) => data['n']),
        [249, 247],
      );
    });

    test('a failed transaction leaves nothing behind', async () => {
      const before = await store.audit.head();
      const entry = { at: 1, type: 't', outcome: 'ok', sessionId: undefined, mailbox: undefined, data: {} } as const;
      const broken = { ...entry, data: { n: 1n } };
      await assert.rejects(store.audit.append([entry, entry, broken]), /BigInt/);
      assert.deepEqual(await store.audit.head(), before);
      assert.deepEqual(await store.audit.read(before!.seq, 10), []);
    });

    test('tells watchers of commits in this process at once, and of nothing else', async () => {
      const heard: string[] = [];
      const watches = [
        store.watch('app-passwords', () => heard.push('first')),
        store.watch('app-passwords', () => {
          throw new Error('a watcher that fails harms nobody');
        }),
        store.watch('app-passwords', () => heard.push('second')),
      ];
      const row = password();
      await store.appPasswords.insert(row);
      assert.deepEqual(heard.slice(0, 2), ['first', 'second']);
      for (const watch of watches) watch.stop();
      heard.length = 0;
      await store.appPasswords.revoke(row.id, 1);
      assert.deepEqual(heard, []);
    });

    test('tells watchers of commits through another connection', { timeout: 20_000 }, async () => {
      const other = await openStore(url, { clock, writer });
      try {
        let watch: { stop(): void } | undefined;
        const heard = new Promise<void>((resolve) => (watch = store.watch('mailboxes', resolve)));
        const grant = await grantOf();
        const row: Mailbox = {
          address: `${newId('m')}@x.test`,
          grantId: grant.id,
          access: 'own',
          protocols: [],
          settings: {},
          createdAt: 1,
        };
        await other.mailboxes.insert(row);
        // SQLite looks twice a second by this clock; PostgreSQL notifies.
        await clock.advance(1_000);
        await heard;
        watch?.stop();
      } finally {
        await other.close();
      }
    });

    test('answers a ping while open and store.unavailable once closed', async () => {
      const other = await openStore(url, { clock, writer });
      await other.ping();
      await other.close();
      for (const ask of [other.ping(), other.grants.list(), other.settings.set('a', 'b')]) {
        await assert.rejects(ask, (error) => isError(error, 'store.unavailable'));
      }
    });

    test('N12: questions about who, where and when are answered by an index', async () => {
      const isPostgres = engine === 'postgres';
      const fact = (name: string) => auditFact(isPostgres ? 'postgres' : 'sqlite', name);
      for (const [text, index] of [
        [`SELECT * FROM audit WHERE ${fact('remoteAddress')} = 'x' ORDER BY seq DESC LIMIT 5`, 'audit_address'],
        [`SELECT * FROM audit WHERE ${fact('appPasswordId')} = 'x' ORDER BY seq DESC LIMIT 5`, 'audit_password'],
        ['SELECT * FROM audit WHERE at >= 1 AND at < 2 ORDER BY at DESC, seq DESC LIMIT 5', 'audit_at'],
        [`SELECT * FROM outbox_messages WHERE remote_address = 'x' ORDER BY seq DESC LIMIT 5`, 'outbox_remote'],
        [`SELECT * FROM outbox_messages WHERE principal = 'x' ORDER BY seq DESC LIMIT 5`, 'outbox_principal'],
        [
          'SELECT * FROM outbox_messages WHERE created_at >= 1 AND created_at < 2 ORDER BY created_at DESC, seq DESC LIMIT 5',
          'outbox_created',
        ],
      ] as const)
        assert.match(await planOf(url, text), new RegExp(index), text);
    });

    test('refuses a database that a newer version has upgraded', async () => {
      const fresh = await benches[engine].url();
      await (await openStore(fresh)).close();
      await withSql(fresh, "INSERT INTO migrations VALUES ('999-future', 1)");
      await assert.rejects(
        openStore(fresh),
        (error) => isError(error, 'store.newer') && /999-future/.test(error.message),
      );
    });
  });
}

/** How the engine would answer a query. */
async function planOf(url: string, text: string): Promise<string> {
  if (url.startsWith('sqlite:')) {
    const file = new DatabaseSync(url.slice('sqlite:'.length));
    const rows = file.prepare(`EXPLAIN QUERY PLAN ${text}`).all();
    file.close();
    return JSON.stringify(rows);
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // A table of a few rows is read whole, whatever indexes it has.
  await client.query('SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off');
  const { rows } = await client.query(`EXPLAIN ${text}`);
  await client.end();
  return JSON.stringify(rows);
}

async function withSql(url: string, text: string): Promise<void> {
  if (url.startsWith('sqlite:')) {
    const file = new DatabaseSync(url.slice('sqlite:'.length));
    file.exec(text);
    return file.close();
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(text);
  await client.end();
}
