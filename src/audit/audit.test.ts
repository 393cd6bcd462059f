/** What is put on record, when it is durable, and what of it is kept. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Secret } from '../base/secret.ts';
import { openStore } from '../store/open.ts';
import type { AuditRecord, AuditTable } from '../store/types.ts';
import { canonical, hashOf } from '../store/chain.ts';
import { clean } from './clean.ts';
import { openAudit } from './log.ts';
import { verifyChain } from './verify.ts';

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
  const audit = openAudit(table, clock);
  fails.now = true;
  for (let n = 0; n < 700; n++) audit.note({ ...note, data: { n } });
  await assert.rejects(audit.record({ type: 'consent.granted', outcome: 'ok' }), /disk is full/);
  await assert.rejects(audit.flush(), /disk is full/);
  assert.match(audit.trouble() ?? '', /cannot be written \(.*\): 700 records wait for it, 0 were lost/);
  fails.now = false;
  await clock.advance(10_000);
  await settle();
  const all = await table.read(0, 1_000);
  assert.deepEqual(
    all.map(({ data }) => data['n']),
    Array.from({ length: 700 }, (_, n) => n),
  );
  assert.equal(audit.trouble(), undefined);
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
