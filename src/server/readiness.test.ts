import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { damage } from '../../test/bed/damaged-database.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError, type PosternError } from '../base/error.ts';
import { replyTo } from '../base/replies.ts';
import { GroupCommit } from '../outbox/commit.ts';
import type { NewMessage } from '../store/types-outbox.ts';
import { readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { ensureKey, openInstance } from './instance.ts';
import { openReadiness } from './readiness.ts';

async function scene(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-ready-'));
  const config = readConfig(homeOf({ HOME: folder }, folder), {});
  await ensureKey(config);
  const clock = new ManualClock();
  const instance = await openInstance({ config, clock });
  const lost: PosternError[] = [];
  const readiness = openReadiness(instance, (error) => lost.push(error));
  t.after(async () => {
    await readiness[Symbol.asyncDispose]();
    await instance.close();
    rmSync(folder, { recursive: true });
  });
  return { clock, instance, lost, readiness, database: config.home.database };
}

test('L22: not ready as soon as the database file is deleted, and lost a moment later', async (t) => {
  const { clock, database, lost, readiness } = await scene(t);
  assert.doesNotMatch((await readiness.problems()).join(), /deleted|replaced|full|descriptor/);
  unlinkSync(database);
  await clock.advance(2000);
  assert.match((await readiness.problems()).join(), /was deleted/);
  assert.deepEqual(lost, []);
  await clock.advance(2000);
  assert.deepEqual(
    lost.map(({ code, kind }) => [code, kind]),
    [['server.database-gone', 'later']],
  );
  await clock.advance(60_000);
  assert.equal(lost.length, 1);
});

test('L22: the same when it is replaced; one that is back in time is none of it', async (t) => {
  const { clock, database, lost, readiness } = await scene(t);
  renameSync(database, `${database}.away`);
  await clock.advance(2000);
  renameSync(`${database}.away`, database);
  await clock.advance(10_000);
  assert.deepEqual(lost, []);
  copyFileSync(database, `${database}.copy`);
  renameSync(`${database}.copy`, database);
  await clock.advance(4000);
  assert.match((await readiness.problems()).join(), /was replaced/);
  assert.deepEqual(
    lost.map(({ message }) => /was replaced by another/.test(message)),
    [true],
  );
});

test('P4: nothing is acknowledged while the database file is deleted, and again once it is back', async (t) => {
  const { database, instance } = await scene(t);
  const commit = new GroupCommit(
    async (messages) => messages.map((_, seq) => ({ type: 'inserted', seq })),
    () => instance.inPlace.confirm(),
  );
  const message = { chunks: [] } as unknown as NewMessage;
  assert.equal((await commit.add(message)).type, 'inserted');
  renameSync(database, `${database}.away`);
  const refused = (error: unknown): boolean => isError(error, 'server.database-gone') && replyTo(error).http === 503;
  const results = await Promise.allSettled([commit.add(message), commit.add(message), commit.add(message)]);
  assert.ok(results.every((result) => result.status === 'rejected' && refused(result.reason)));
  renameSync(`${database}.away`, database);
  assert.equal((await commit.add(message)).type, 'inserted');
});

test('K70: once damage was found nothing is acknowledged until the next start', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-damaged-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = readConfig(homeOf({ HOME: folder }, folder), {});
  await ensureKey(config);
  await (await openInstance({ config })).close();
  damage(config.home.database, 'outbox_messages');
  const told: string[] = [];
  const instance = await openInstance({ config, damaged: ({ code }) => void told.push(code) });
  t.after(() => instance.close());
  instance.inPlace.confirm();
  await instance.store.space.damage(0).catch(() => undefined);
  assert.deepEqual(told, ['store.damaged']);
  assert.throws(
    () => instance.inPlace.confirm(),
    (error: unknown) => isError(error, 'store.damaged') && replyTo(error).http === 503,
  );
});
