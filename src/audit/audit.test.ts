import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { openStore } from '../store/open.ts';
import type { AuditHead, AuditRecord, AuditTable, Store } from '../store/types.ts';
import { withMac } from '../store/audit-head.ts';
import { AUDIT_START } from '../store/migrations.ts';
import { canonical, hashOf } from '../store/chain.ts';
import { clean } from './clean.ts';
import { openAudit } from './log.ts';
import { verifyChain } from './verify.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-audit-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

const note = { type: 'signin.local', outcome: 'ok' } as const;

/** A table that can be switched off. */
async function bench(): Promise<{
  table: AuditTable;
  fails: { now: boolean };
  appends: number[];
  close(): Promise<void>;
}> {
  const store = await openStore('sqlite::memory:');
  const fails = { now: false };
  const appends: number[] = [];
  const table: AuditTable = {
    ...store.audit,
    async append(entries) {
      if (fails.now) throw new Error('the disk is full');
      appends.push(entries.length);
      return store.audit.append(entries);
    },
  };
  return { table, fails, appends, close: () => store.close() };
}

/** Lets promises settle without moving time. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test('the same facts have one text, whatever the order of keys and however often they were stored', () => {
  assert.equal(canonical({ b: [1, { d: null, c: 'x' }], a: undefined }), '{"b":[1,{"c":"x","d":null}]}');
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const once = clean({ value });
      const text = canonical(once);
      assert.equal(canonical(JSON.parse(JSON.stringify(once))), text);
      assert.ok(!text.includes('\0') && text.isWellFormed());
    }),
  );
});

test('the hash of a record covers every fact of it', () => {
  const record: Omit<AuditRecord, 'hash'> = {
    seq: 7,
    at: 1,
    type: 'signin.local',
    outcome: 'ok',
    sessionId: 'ses_1',
    mailbox: 'alice@contoso.test',
    data: { reason: 'x' },
    previous: '00',
  };
  const others: Omit<AuditRecord, 'hash' | 'previous'> & { previous: string } = {
    seq: 8,
    at: 2,
    type: 'signin.upstream',
    outcome: 'failed',
    sessionId: 'ses_2',
    mailbox: 'bob@contoso.test',
    data: { reason: 'y' },
    previous: '01',
  };
  const hashes = Object.entries(others).map(([field, other]) => hashOf({ ...record, [field]: other }));
  assert.equal(new Set([hashOf(record), ...hashes]).size, 9);
  // As releases have written it: upgrades go on in the same chain.
  assert.equal(hashOf(record), 'f5abedc1ccfec4fade6bd5b11aa6b8f597aca9c469c9b31d92d33f41e4f1da5a');
});

test('notes are written together within 100 ms, 500 at once sooner, records at once', async () => {
  const { table, appends, close } = await bench();
  const clock = new ManualClock();
  const audit = openAudit(table, clock);
  audit.note(note);
  audit.note(note);
  await settle();
  assert.deepEqual(appends, []);
  await clock.advance(100);
  await settle();
  assert.deepEqual(appends, [2]);
  for (let n = 0; n < 500; n++) audit.note(note);
  await settle();
  assert.deepEqual(appends, [2, 500]);
  audit.note(note);
  await audit.record({ type: 'consent.granted', outcome: 'ok' });
  assert.deepEqual(appends, [2, 500, 2], 'a record takes along what waits, in order');
  assert.equal((await table.latest({ limit: 1 }))[0]?.type, 'consent.granted');
  audit.note(note);
  await audit.close();
  assert.deepEqual(await verifyChain(table).then((state) => state.type === 'intact' && state.records), 505);
  await close();
});

test('an outage loses no note, refuses records, and is raised', async () => {
  const { table, fails, close } = await bench();
  const clock = new ManualClock();
  const failures: number[] = [];
  const audit = openAudit(table, clock, { onFailure: ({ waiting }) => failures.push(waiting) });
  fails.now = true;
  for (let n = 0; n < 700; n++) audit.note({ ...note, data: { n } });
  await assert.rejects(audit.record({ type: 'consent.granted', outcome: 'ok' }), /disk is full/);
  await assert.rejects(audit.flush(), /disk is full/);
  assert.ok(failures.length >= 1);
  fails.now = false;
  await clock.advance(10_000);
  await settle();
  const all = await table.read(0, 1_000);
  assert.deepEqual(
    all.map(({ data }) => data['n']),
    Array.from({ length: 700 }, (_, n) => n),
  );
  await audit.close();
  await close();
});

test('what could not be kept in a long outage is counted in the chain itself', async () => {
  const { table, fails, close } = await bench();
  const audit = openAudit(table, new ManualClock());
  fails.now = true;
  for (let n = 0; n < 10_750; n++) audit.note(note); // 500 on their way, 10,000 kept
  await assert.rejects(audit.flush());
  fails.now = false;
  await audit.flush();
  const [lost] = await table.latest({ type: 'audit.lost', limit: 5 });
  assert.deepEqual([lost?.outcome, lost?.data], ['failed', { lost: 250 }]);
  const state = await verifyChain(table);
  assert.deepEqual([state.type, state.type === 'intact' && state.records], ['intact', 10_501]);
  await close();
});

test('flushing writes what is noted when a record has just been written, too', async () => {
  const { table, appends, close } = await bench();
  const audit = openAudit(table, new ManualClock());
  const recorded = audit.record(note).then(() => audit.note(note));
  await audit.flush();
  assert.deepEqual(appends, [1, 1]);
  await recorded;
  await close();
});

test('facts are bounded in depth and length; what is at the bound stays', () => {
  const nested = (levels: number, wrap: (inner: unknown) => unknown): unknown =>
    levels === 0 ? 'x' : wrap(nested(levels - 1, wrap));
  const deep = '[too deep]';
  const list = (inner: unknown): unknown => [inner];
  const object = (inner: unknown): unknown => ({ inner });
  for (const wrap of [list, object]) {
    assert.deepEqual(clean(nested(5, wrap)), nested(5, wrap));
    assert.ok(JSON.stringify(clean(nested(6, wrap))).includes(deep));
  }
  let turns = 0;
  const endless = { toJSON: (): unknown => (turns++, endless) };
  assert.equal(clean(endless), deep);
  assert.equal(turns, 5);
  assert.equal(clean('y'.repeat(1_024)), 'y'.repeat(1_024));
  assert.equal(clean('y'.repeat(1_025)), `${'y'.repeat(1_024)}…`);
  assert.deepEqual(Object.keys(clean({ a: undefined, b: () => 1, c: null }) as object), ['c']);
  assert.equal(clean(12n), '12');
});

test('records hold no secret, no endless text and nothing a database would change', async () => {
  const { table, close } = await bench();
  const audit = openAudit(table, new ManualClock());
  const secret = new Secret('s3cret-of-the-test');
  await audit.record({
    type: 'signin.local',
    outcome: 'failed',
    mailbox: 'a\0b\ud800@x.test',
    data: {
      quoted: `the server said: bad ${secret.reveal()}`,
      long: 'y'.repeat(5_000),
      secret,
      list: [Number.NaN, undefined],
    },
  });
  const [record] = await table.read(0, 1);
  assert.ok(!JSON.stringify(record).includes(secret.reveal()));
  assert.equal(record?.mailbox, 'a\ufffdb\ufffd@x.test');
  assert.ok(String(record.data['long']).length < 1_100);
  assert.deepEqual(record.data['list'], [null, null]);
  assert.equal((await verifyChain(table)).type, 'intact');
  await close();
});

test('A52: names of facts, addresses and ids are never masked in a record; quoted texts are', async () => {
  const { table, close } = await bench();
  const audit = openAudit(table, new ManualClock());
  const held = ['remoteAddress', '192.0.2.125', 'carol@fabrikam.test', 'ses_0123456789'].map(
    (text) => new Secret(text),
  );
  const data = { remoteAddress: '192.0.2.125', from: 'carol@fabrikam.test', to: ['carol@fabrikam.test'] };
  await audit.record({
    type: 'message.relayed',
    outcome: 'ok',
    mailbox: 'carol@fabrikam.test',
    sessionId: 'ses_0123456789',
    data: { ...data, reply: 'carol@fabrikam.test is full' },
  });
  const [record] = await table.read(0, 1);
  assert.deepEqual([record?.mailbox, record?.sessionId], ['carol@fabrikam.test', 'ses_0123456789']);
  assert.deepEqual(record?.data, { ...data, reply: '[secret] is full' });
  assert.equal(held.length, 4);
  await close();
});

test('A66: a list is kept as far as a message has recipients, and one that is cut says how much is missing', () => {
  const to = Array.from({ length: 100 }, (_, n) => `r${n}@x.test`);
  assert.deepEqual(clean({ to }), { to });
  assert.deepEqual(clean({ to: [...to, 'a@x.test', 'b@x.test'] }), { to: [...to, '… and 2 more'] });
  const facts = clean(Object.fromEntries([...to, 'a', 'b', 'c'].map((name) => [name, 1]))) as Record<string, unknown>;
  assert.deepEqual([Object.keys(facts).length, facts['…']], [101, '… and 3 more']);
});

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

test('an emptied chain is not mended by going on', async () => {
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

test('S10: an end cut off with a head to match, and a chain written anew, are found', async () => {
  const reason = 'the head was changed by something that is not Postern';
  const tampering: Readonly<
    Record<string, (records: readonly AuditRecord[], head: AuditHead) => [AuditRecord[], object]>
  > = {
    'the end cut, the old signature kept': (records, { mac }) => [
      records.slice(0, 10),
      { seq: 10, hash: records[9]!.hash, mac },
    ],
    'the chain written anew': (records, { seq, mac }) => {
      const anew = rewritten(records.map((record) => ({ ...record, outcome: 'failed' as const })));
      return [anew, { seq, hash: anew.at(-1)!.hash, mac }];
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
