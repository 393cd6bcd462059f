/** The chain proves itself: what was altered, cut off, written again or removed in order. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { openStore } from '../store/open.ts';
import type { AuditHead, AuditRecord, Store } from '../store/types.ts';
import { withMac } from '../store/audit-head.ts';
import { AUDIT_START } from '../store/migrations.ts';
import { hashOf } from '../store/chain.ts';
import { openAudit } from './log.ts';
import { verifyChain } from './verify.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-audit-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

const note = { type: 'signin.local', outcome: 'ok' } as const;

test('the chain tells where it was altered, cut, thinned or reordered', async () => {
  const tampering: Readonly<Record<string, { sql: string; seq: number }>> = {
    altered: { sql: `UPDATE audit SET outcome = 'failed' WHERE seq = 1700`, seq: 1700 },
    'altered data': { sql: `UPDATE audit SET data = '{"n":0}' WHERE seq = 30`, seq: 30 },
    'altered time': { sql: 'UPDATE audit SET at = at + 1 WHERE seq = 2', seq: 2 },
    'a record gone': { sql: 'DELETE FROM audit WHERE seq = 1234', seq: 1234 },
    'the first gone': { sql: 'DELETE FROM audit WHERE seq = 1', seq: 1 },
    'the end cut': { sql: 'DELETE FROM audit WHERE seq > 1990', seq: 1991 },
    'all gone': { sql: 'DELETE FROM audit', seq: 1 },
    'closed up after a deletion': {
      sql: 'DELETE FROM audit WHERE seq = 7; UPDATE audit SET seq = seq - 1 WHERE seq > 7',
      seq: 7,
    },
    reordered: {
      sql: 'UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; UPDATE audit SET seq = 6 WHERE seq = -1',
      seq: 5,
    },
    'the head gone': { sql: `DELETE FROM settings WHERE name = 'audit.head'`, seq: 0 },
    'a record forged at the end': {
      sql: `INSERT INTO audit SELECT 2001, at, type, outcome, session_id, mailbox, data, hash, hash FROM audit WHERE seq = 2000`,
      seq: 2001,
    },
  };
  for (const [name, { sql, seq }] of Object.entries(tampering)) {
    const path = join(folder, `${++files}.db`);
    const store = await openStore(`sqlite:${path}`);
    const audit = openAudit(store.audit, new ManualClock());
    for (let n = 1; n <= 2_000; n++) audit.note({ ...note, mailbox: 'a@x.test', data: { n } });
    await audit.close();
    assert.equal((await verifyChain(store.audit)).type, 'intact');
    const file = new DatabaseSync(path);
    file.exec(sql);
    file.close();
    const state = await verifyChain(store.audit);
    assert.deepEqual([state.type, state.type === 'broken' && state.seq], ['broken', seq], name);
    await store.close();
  }
});

test('an emptied chain is not repaired by going on', async () => {
  const path = join(folder, `${++files}.db`);
  const store = await openStore(`sqlite:${path}`);
  const audit = openAudit(store.audit, new ManualClock());
  for (let n = 0; n < 10; n++) await audit.record(note);
  const file = new DatabaseSync(path);
  file.exec('DELETE FROM audit WHERE seq > 5');
  file.close();
  await audit.record(note);
  const state = await verifyChain(store.audit);
  assert.deepEqual(state, { type: 'broken', seq: 6, reason: 'records 6 to 10 are missing' });
  await store.close();
});

test('a newest record replaced by one that fits the chain is no longer the one the head names', async () => {
  const path = join(folder, `${++files}.db`);
  const store = await openStore(`sqlite:${path}`);
  const audit = openAudit(store.audit, new ManualClock());
  for (let n = 0; n < 3; n++) await audit.record({ ...note, outcome: 'failed' });
  const [newest] = await store.audit.latest({ limit: 1 });
  assert.ok(newest);
  const file = new DatabaseSync(path);
  file.prepare(`UPDATE audit SET outcome = 'ok', hash = ? WHERE seq = 3`).run(hashOf({ ...newest, outcome: 'ok' }));
  file.close();
  const state = await verifyChain(store.audit);
  assert.deepEqual(state, { type: 'broken', seq: 3, reason: 'it is not the record the head names' });
  await store.close();
});

/** What somebody who owns the database, but not the key, can write. */
function rewritten(records: readonly AuditRecord[], from = AUDIT_START): AuditRecord[] {
  let { seq, hash } = from;
  return records.map((record) => {
    const next = { ...record, seq: ++seq, previous: hash };
    hash = hashOf(next);
    return { ...next, hash };
  });
}

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

function rewrite(path: string, records: readonly AuditRecord[], head: object): void {
  const file = new DatabaseSync(path);
  file.exec('DELETE FROM audit');
  const insert = file.prepare('INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  for (const { seq, at, type, outcome, sessionId, mailbox, data, previous, hash } of records)
    insert.run(seq, at, type, outcome, sessionId ?? null, mailbox ?? null, JSON.stringify(data), previous, hash);
  file.prepare(`UPDATE settings SET value = ? WHERE name = 'audit.head'`).run(JSON.stringify(head));
  file.close();
}

test('S10: an end cut off with a head to match, and a chain written again, are found', async () => {
  const reason = 'the head was changed by something that is not Postern';
  const tampering: Readonly<
    Record<string, (records: readonly AuditRecord[], head: AuditHead) => [AuditRecord[], object]>
  > = {
    'the end cut, the old signature kept': (records, { mac }) => [
      records.slice(0, 10),
      { seq: 10, hash: records[9]!.hash, mac },
    ],
    'the chain written again': (records, { seq, mac }) => {
      const again = rewritten(records.map((record) => ({ ...record, outcome: 'failed' as const })));
      return [again, { seq, hash: again.at(-1)!.hash, mac }];
    },
    'the beginning cut with an anchor to match': (records, head) => [
      records.slice(10),
      { ...head, anchor: { seq: 10, hash: records[9]!.hash } },
    ],
    'signed by another key': (records, { seq, hash }) => [
      [...records],
      withMac({ seq, hash }, { key: new Uint8Array(32), signed: false }),
    ],
  };
  for (const [name, change] of Object.entries(tampering)) {
    const { path, store } = await signedChain(20);
    const [records, head] = change(await store.audit.read(0, 100), (await store.audit.head())!);
    rewrite(path, records, head);
    const seq = (head as AuditHead).seq;
    assert.deepEqual(await verifyChain(store.audit, KEY), { type: 'broken', seq, reason }, name);
    // Going on does not heal it.
    await openAudit(store.audit, new ManualClock(), { key: KEY }).record(note);
    assert.deepEqual(await verifyChain(store.audit, KEY), { type: 'broken', seq, reason }, `${name}, and gone on`);
    assert.equal((await store.audit.latest({ type: 'audit.broken', limit: 5 })).length, 1);
    await store.close();
  }
});

test('S10: a signature that was taken away is missed where it was seen before', async () => {
  const { path, store } = await signedChain(20);
  const records = await store.audit.read(0, 10);
  rewrite(path, records, { seq: 10, hash: records[9]!.hash });
  assert.equal((await verifyChain(store.audit, SEEN)).type, 'broken');
  const state = await verifyChain(store.audit, KEY);
  assert.deepEqual(state.type === 'intact' && state.signature, { type: 'unsigned' });
  await openAudit(store.audit, new ManualClock(), { key: SEEN }).record(note);
  assert.equal((await verifyChain(store.audit, SEEN)).type, 'broken');
  await store.close();
});

test('S10: a chain of a version that did not sign is signed from the next record on, which says so', async () => {
  const path = join(folder, `${++files}.db`);
  const store = await openStore(`sqlite:${path}`);
  const old = openAudit(store.audit, new ManualClock());
  await old.record(note);
  await old.record(note);
  const before = await verifyChain(store.audit, KEY);
  assert.deepEqual(before.type === 'intact' && before.signature, { type: 'unsigned' });
  await openAudit(store.audit, new ManualClock(), { key: KEY }).record(note);
  const after = await verifyChain(store.audit, SEEN);
  assert.deepEqual(after.type === 'intact' && [after.records, after.signature], [
    4,
    { type: 'signed', since: { seq: 3, at: new ManualClock().now() } },
  ]);
  assert.deepEqual((await store.audit.read(2, 1))[0]?.data, {
    records: 2,
    head: (await store.audit.read(1, 1))[0]?.hash,
  });
  await store.close();
});

test('L25: old records go, in order and never the evidence of a change; the rest still proves itself', async () => {
  const path = join(folder, `${++files}.db`);
  const store = await openStore(`sqlite:${path}`);
  const clock = new ManualClock();
  const start = clock.now();
  const audit = openAudit(store.audit, clock, { key: KEY });
  for (let n = 1; n <= 30; n++) {
    await audit.record({ ...note, data: { n } });
    await clock.advance(1000);
  }
  assert.deepEqual(await store.audit.forget(start + 12_000, 5, KEY), { forgotten: 5, intact: true });
  assert.deepEqual(await store.audit.forget(start + 12_000, 100, KEY), { forgotten: 7, intact: true });
  assert.deepEqual(await store.audit.forget(start + 12_000, 100, KEY), { forgotten: 0, intact: true });
  const state = await verifyChain(store.audit, SEEN);
  assert.deepEqual(state.type === 'intact' && [state.first, state.records, state.signature], [
    13,
    18,
    { type: 'signed' },
  ]);
  // All of it, and on.
  assert.deepEqual(await store.audit.forget(start + 1_000_000, 100, KEY), { forgotten: 18, intact: true });
  assert.equal((await verifyChain(store.audit, SEEN)).type, 'intact');
  await audit.record(note);
  await audit.record(note);
  await audit.record(note);
  assert.equal((await store.audit.read(0, 1))[0]?.seq, 31);
  assert.equal((await verifyChain(store.audit, SEEN)).type, 'intact');
  const file = new DatabaseSync(path);
  file.exec(`UPDATE audit SET outcome = 'failed' WHERE seq = 32`);
  file.close();
  assert.deepEqual(await store.audit.forget(start + 1_000_000, 100, KEY), { forgotten: 0, intact: false });
  const broken = await verifyChain(store.audit, SEEN);
  assert.deepEqual([broken.type, broken.type === 'broken' && broken.seq], ['broken', 32]);
  await store.close();
});
