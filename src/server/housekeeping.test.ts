import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { openAudit } from '../audit/log.ts';
import { verifyChain } from '../audit/verify.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { nullLog } from '../base/log.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { forgetOldRecords, giveSpaceBack } from './housekeeping.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-housekeeping-'));
after(() => rmSync(folder, { recursive: true }));
const auditKey = { key: new Uint8Array(32).fill(3), signed: false };

const BATCHES = 60;
const RECORDS = 500 * BATCHES;

/** Audit records of some 40 MiB, written now. */
async function filled(path: string, clock: ManualClock, writer: 'here' | 'thread'): Promise<Store> {
  const store = await openStore(`sqlite:${path}`, { clock, writer });
  const entry = { type: 'signin.local', outcome: 'ok', sessionId: undefined, mailbox: 'a@x.test' } as const;
  const data = { text: 'y'.repeat(1_000) };
  for (let n = 0; n < BATCHES; n++)
    await store.audit.append(
      Array.from({ length: 500 }, () => ({ ...entry, at: clock.now(), data })),
      auditKey,
    );
  return store;
}

test('L25: old audit records go, the log says so and still proves itself, and the disk gets its space back', async () => {
  const path = join(folder, 'new.db');
  const clock = new ManualClock();
  const store = await filled(path, clock, 'thread');
  const audit = openAudit(store.audit, clock, { key: auditKey });
  const config = readConfig(homeOf({}, folder), {});
  const deps = { audit, auditKey, clock, config, log: nullLog, store };
  assert.equal(config.audit.keepDays, 400);
  await clock.advance(399 * 86_400_000);
  await audit.record({ type: 'server.started', outcome: 'ok' });
  assert.equal(await forgetOldRecords(deps), 0);
  await clock.advance(2 * 86_400_000);
  assert.equal(await forgetOldRecords(deps), RECORDS);
  assert.equal(await forgetOldRecords(deps), 0);
  const left = await store.audit.read(0, 10);
  assert.deepEqual(
    left.map(({ seq, type }) => [seq, type]),
    [
      [RECORDS + 1, 'server.started'],
      [RECORDS + 2, 'audit.forgotten'],
    ],
  );
  assert.deepEqual(left[1]?.data, { records: RECORDS, last: RECORDS, keepDays: 400 });
  const state = await verifyChain(store.audit, { ...auditKey, signed: true });
  assert.deepEqual(state.type === 'intact' && [state.first, state.signature.type], [RECORDS + 1, 'signed']);

  const given = await giveSpaceBack(deps);
  assert.ok(given > 16 * 1024 * 1024, `${given} octets`);
  const { free } = await store.space.state();
  assert.ok(free < 24 * 1024 * 1024, `${free} octets are free`);
  await audit.close();
  await store.close(); // a checkpoint
  assert.ok(statSync(path).size < 26 * 1024 * 1024, `${statSync(path).size} octets`);
});

test('L25: the file of an earlier version gives space back after it was compacted', async () => {
  const path = join(folder, 'old.db');
  const clock = new ManualClock();
  const old = new DatabaseSync(path);
  old.exec('PRAGMA journal_mode = WAL; CREATE TABLE earlier (a); DROP TABLE earlier');
  old.close();
  const store = await filled(path, clock, 'here');
  const before = await store.space.state();
  assert.equal(before.gives, 'compacted');
  for (let n = 0; n < BATCHES; n++) await store.audit.forget(clock.now() + 1, 500, auditKey);
  assert.equal(await giveSpaceBack({ log: nullLog, store }), 0);
  const after = await store.space.compact();
  assert.equal(after.gives, 'while running');
  assert.equal(after.free, 0);
  assert.ok(after.octets < 1024 * 1024 && statSync(path).size < 1024 * 1024);
  assert.equal((await verifyChain(store.audit, auditKey)).type, 'intact');
  await store.close();
});
