/** Several real processes on one database: what the promises of leases, generations and the audit chain are worth. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { without } from '../../test/bed/need.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { verifyChain } from '../audit/verify.ts';
import { systemClock } from '../base/clock.ts';
import { openStore } from './open.ts';
import type { Store } from './types.ts';

const [marker, job, address, writer] = process.argv.slice(2);
const entry = { at: 1, type: 't', outcome: 'ok', sessionId: undefined, mailbox: undefined } as const;

/** What a child does; each job answers with one message per step. */
const jobs: Readonly<Record<string, (store: Store) => Promise<void>>> = {
  async open() {},
  /** Adds one to a counter twenty times, reading and writing it in two steps: only a lease keeps that right. */
  async count(store) {
    for (let done = 0; done < 20;) {
      const lease = await store.leases.acquire('counter', String(process.pid), 60_000);
      if (!lease) {
        await systemClock.sleep(1);
        continue;
      }
      const value = Number((await store.settings.get('counter')) ?? 0);
      await systemClock.sleep(0);
      await store.settings.set('counter', String(value + 1));
      await store.leases.release(lease);
      done++;
    }
  },
  async append(store) {
    for (let n = 0; n < 40; n++) {
      await store.audit.append(Array.from({ length: 5 }, (_, m) => ({ ...entry, data: { pid: process.pid, n, m } })));
    }
  },
  /** Until killed: rewrites the grant and its audit record, and says which generation was promised durable. */
  async rewrite(store) {
    for (;;) {
      const grant = (await store.grants.find('grt_1'))!;
      const next = grant.generation + 1;
      const tokens = Buffer.from(String(next).repeat(200));
      assert.equal(await store.grants.update('grt_1', grant.generation, { tokens }), 'written');
      process.send!(next);
      await store.audit.append([{ ...entry, data: { next } }]);
    }
  },
  async revoke(store) {
    await store.appPasswords.revoke('apw_1', 1);
  },
};

if (marker === 'child') {
  const store = await openStore(address!, { writer: writer === 'thread' ? 'thread' : 'here' });
  // Keeps the process alive while it waits by timers that do not.
  process.on('message', () => undefined);
  process.send!('ready');
  await once(process, 'message');
  await jobs[job!]!(store);
  await store.close();
  process.disconnect();
} else {
  runTests();
}

function runTests(): void {
  const folder = mkdtempSync(join(tmpdir(), 'postern-processes-'));
  const children = new Set<ChildProcess>();
  let postgres: Postgres | undefined;
  let files = 0;
  const noPostgres = without('postgresql');

  before(async () => {
    if (noPostgres === false) postgres = await startPostgres();
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await postgres?.stop();
    rmSync(folder, { recursive: true });
  });

  const start = async (job: string, url: string, writer: 'here' | 'thread'): Promise<ChildProcess> => {
    const child = fork(import.meta.filename, ['child', job, url, writer], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    children.add(child);
    child.once('exit', () => children.delete(child));
    assert.equal((await once(child, 'message'))[0], 'ready');
    return child;
  };
  /** Four children that begin together; fails unless all end well. */
  const together = async (job: string, url: string, writer: 'here' | 'thread'): Promise<void> => {
    const all = await Promise.all(Array.from({ length: 4 }, () => start(job, url, writer)));
    const ends = all.map((child) => once(child, 'exit'));
    for (const child of all) child.send('go');
    for (const end of await Promise.all(ends)) assert.deepEqual(end, [0, null]);
  };

  for (const engine of ['sqlite', 'sqlite with a thread', 'postgres'] as const) {
    const writer = engine === 'sqlite with a thread' ? 'thread' : 'here';
    describe(engine, { skip: engine === 'postgres' && noPostgres, timeout: 60_000 }, () => {
      const fresh = async (): Promise<string> =>
        engine === 'postgres' ? postgres!.freshDatabase() : `sqlite:${join(folder, `${++files}.db`)}`;

      test('all open a new database at once, and leases keep a counter right', async () => {
        const url = await fresh();
        await together('count', url, writer);
        const store = await openStore(url);
        assert.equal(await store.settings.get('counter'), '80');
        assert.equal((await store.leases.acquire('counter', 'parent', 1))?.fence, 81);
        await store.close();
      });

      test('audit records of all make one chain without gaps', async () => {
        const url = await fresh();
        await together('append', url, writer);
        const store = await openStore(url);
        const state = await verifyChain(store.audit);
        assert.deepEqual([state.type, state.type === 'intact' && state.records], ['intact', 800]);
        await store.close();
      });

      test('killed at any moment, what was promised is there and nothing is half-written', async () => {
        const url = await fresh();
        const store = await openStore(url);
        const row = {
          provider: 'x',
          clientId: 'c',
          tenant: undefined,
          settings: {},
          credential: undefined,
          createdAt: 1,
        };
        await store.applications.insert({ ...row, id: 'app_1', name: 'a' });
        await store.grants.insert({
          id: 'grt_1',
          applicationId: 'app_1',
          flow: 'device-code',
          identity: 'a',
          subject: undefined,
          scopes: [],
          state: { type: 'pending', since: 1 },
          tokens: Buffer.from('0'.repeat(200)),
          generation: 0,
          createdAt: 1,
        });
        for (const steps of [1, 4, 9, 17]) {
          const child = await start('rewrite', url, writer);
          let promised = 0;
          const killed = new Promise<void>((resolve) => {
            let left = steps;
            child.on('message', (generation: number) => {
              promised = generation;
              if (--left === 0) child.kill('SIGKILL');
            });
            child.once('exit', () => resolve());
          });
          child.send('go');
          await killed;
          const grant = (await store.grants.find('grt_1'))!;
          assert.ok(grant.generation >= promised, `generation ${grant.generation} after ${promised} was promised`);
          assert.equal(Buffer.from(grant.tokens!).toString(), String(grant.generation).repeat(200));
          assert.equal((await verifyChain(store.audit)).type, 'intact');
        }
        await store.close();
      });

      test('a change in another process is heard of within two seconds', async () => {
        const url = await fresh();
        const store = await openStore(url);
        const row = { label: 'l', hash: 'h', mailboxes: [], protocols: [], networks: [], createdAt: 1 };
        const open = { expiresAt: undefined, revokedAt: undefined, lastUsedAt: undefined };
        await store.appPasswords.insert({ ...row, ...open, id: 'apw_1' });
        const child = await start('revoke', url, writer);
        const ended = once(child, 'exit');
        const alive = setInterval(() => undefined, 1_000);
        const heard = new Promise<number>((resolve) => store.watch('app-passwords', () => resolve(performance.now())));
        const sent = performance.now();
        child.send('go');
        const took = (await heard) - sent;
        clearInterval(alive);
        assert.ok(took < 2_000, `${took} ms`);
        await ended;
        await store.close();
      });
    });
  }
}
