/** What something else than Postern puts into the log's table, and changes that are on record or not there. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { hashOf } from '../store/chain.ts';
import { openStore } from '../store/open.ts';
import type { Suppression } from '../store/types-api.ts';
import type { AuditRecord, Store } from '../store/types.ts';
import { openAudit } from './log.ts';
import { brokenEnd, isForeign, verifyChain } from './verify.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-foreign-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const note = { type: 'signin.local', outcome: 'ok' } as const;
const KEY = { key: new Uint8Array(32).fill(7), signed: false };
const SEEN = { ...KEY, signed: true };

async function signedChain(records: number): Promise<{ path: string; store: Store }> {
  const path = join(folder, `${++files}.db`);
  const store = await openStore(`sqlite:${path}`);
  const audit = openAudit(store.audit, new ManualClock(), { key: KEY });
  for (let n = 1; n <= records; n++) audit.note({ ...note, data: { n } });
  await audit.close();
  return { path, store };
}

/** What somebody without the key can make of records: the hash has none. */
function chainedTo(last: AuditRecord, records: readonly AuditRecord[]): AuditRecord[] {
  let { seq, hash } = last;
  return records.map((record) => {
    const next = { ...record, seq: ++seq, previous: hash };
    hash = hashOf(next);
    return { ...next, hash };
  });
}

/** Puts records, as they are given, beside the others. */
function insert(
  path: string,
  records: readonly (Omit<AuditRecord, 'seq'> & { readonly seq: number | bigint })[],
): void {
  const file = new DatabaseSync(path);
  const statement = file.prepare('INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  for (const { seq, at, type, outcome, data, previous, hash } of records)
    statement.run(seq, at, type, outcome, null, null, JSON.stringify(data), previous, hash);
  file.close();
}

test('A53: a record that somebody put behind the signed end is told, and the log goes on after it', async () => {
  for (const beyond of [[1], [1, 2, 3], [5], [2 ** 40], [2n ** 62n], [1, 2n ** 60n]]) {
    const { path, store } = await signedChain(20);
    const [last] = await store.audit.read(19, 1);
    const forged = chainedTo(
      last!,
      beyond.map(() => last!),
    ).map((record, n) => ({ ...record, seq: typeof beyond[n] === 'bigint' ? beyond[n] : 20 + beyond[n]! }));
    insert(path, forged);
    const name = beyond.join();
    if (beyond.every((seq) => typeof seq !== 'bigint')) {
      assert.deepEqual((await verifyChain(store.audit, KEY)).type, 'broken', name);
      assert.equal((await brokenEnd(store.audit, KEY))?.type, 'broken', name);
    }
    const audit = openAudit(store.audit, new ManualClock(), { key: KEY });
    await audit.record(note);
    await audit.record({ ...note, data: { n: 'after it' } });
    assert.match(audit.trouble() ?? '', /changed by something that is not Postern.*postern audit verify/);
    const state = await verifyChain(store.audit, KEY);
    assert.deepEqual([state.type, state.type === 'broken' && state.seq], ['broken', 21], name);
    assert.match(state.type === 'broken' ? state.reason : '', /written by something that is not Postern/);
    assert.deepEqual(await brokenEnd(store.audit, KEY), state);
    const [newest] = await store.audit.latest({ limit: 1 });
    assert.deepEqual(newest?.data, { n: 'after it' });
    const told = await store.audit.latest({ type: 'audit.broken', limit: 5 });
    assert.deepEqual([told.length, told[0]?.data['first'], told[0]?.data['found']], [1, 21, beyond.length], name);
    const head = await store.audit.head();
    const all = await store.audit.read(20, 100);
    const readable = beyond.filter((seq) => typeof seq !== 'bigint').length;
    assert.deepEqual(
      all.map((record) => isForeign(record, head)),
      all.map((_, n) => n < readable),
      name,
    );
    await store.close();
  }
});

test('A53: a record put in front of the first one is told', async () => {
  const { path, store } = await signedChain(20);
  const [first] = await store.audit.read(0, 1);
  insert(path, [{ ...first!, seq: -3 }]);
  const state = await verifyChain(store.audit, KEY);
  assert.deepEqual([state.type, state.type === 'broken' && state.seq], ['broken', -3]);
  assert.ok(isForeign({ seq: -3 }, await store.audit.head()));
  assert.equal((await store.audit.forget(Number.MAX_SAFE_INTEGER, 100, KEY)).intact, false);
  await store.close();
});

test('A53: what is written while the chain is read is no forgery', async () => {
  const { store } = await signedChain(1_200);
  const audit = openAudit(store.audit, new ManualClock(), { key: KEY });
  let pages = 0;
  const busy = {
    ...store.audit,
    async read(after: number, limit: number) {
      if (pages++ < 5) await audit.record(note);
      return store.audit.read(after, limit);
    },
  };
  const state = await verifyChain(busy, KEY);
  assert.deepEqual(
    [state.type, state.type === 'intact' && state.head === (await store.audit.head())?.hash],
    ['intact', true],
  );
  await store.close();
});

const suppression = (to: string): Suppression => ({
  address: to,
  mailbox: '*',
  reason: 'manual',
  note: undefined,
  createdAt: 0,
});

test('A53: a change and its record are there together or not at all, whoever writes to the database', async () => {
  for (const writer of ['here', 'thread'] as const) {
    const path = join(folder, `${++files}.db`);
    const store = await openStore(`sqlite:${path}`, { writer });
    const audit = openAudit(store.audit, new ManualClock(), { key: KEY });
    const created = (n: number) => ({ type: 'api-key.created' as const, outcome: 'ok' as const, data: { n } });
    audit.note({ ...note, data: { n: 1 } });
    await audit.along(created(2), () => store.suppressions.put(suppression('a@x.test')));
    // The first change takes it along; what changes nothing has none.
    await audit.along(created(3), async () => {
      await store.suppressions.remove('nobody@x.test', '*');
      await store.suppressions.put(suppression('b@x.test'));
      await store.suppressions.put(suppression('c@x.test'));
    });
    await audit.along(created(0), () => store.suppressions.remove('nobody@x.test', '*'));
    await audit.ready();
    const file = new DatabaseSync(path, { timeout: 5_000 });
    file.exec(`CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'not now'); END`);
    const refused = { code: 'store.unavailable', message: /takes no audit record: not now/ };
    await assert.rejects(audit.ready(), refused);
    await assert.rejects(
      audit.along(created(0), () => store.suppressions.put(suppression('d@x.test'))),
      refused,
    );
    file.exec('DROP TRIGGER no_audit');
    file.close();
    await audit.record({ ...note, data: { n: 4 } });
    assert.deepEqual(
      (await store.audit.read(0, 10)).map(({ data }) => data['n']),
      [1, 2, 3, 4],
      writer,
    );
    const kept = await store.suppressions.list({ limit: 10 });
    assert.deepEqual(kept.map(({ address }) => address).toSorted(), ['a@x.test', 'b@x.test', 'c@x.test']);
    assert.equal((await verifyChain(store.audit, SEEN)).type, 'intact');
    await store.close();
  }
});
