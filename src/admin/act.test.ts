/** The order of an act, and what each actor may do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import type { AuditEntry } from '../audit/types.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { openStore } from '../store/open.ts';
import { act, type ActDeps, type Desk, perform } from './act.ts';
import type { Actor } from './actor.ts';
import { acts } from './acts.ts';
import { addSuppressions } from './suppressions.ts';
import { addMailboxes, ALICE, SHOP } from '../../test/bed/api.ts';

const clock = new ManualClock();
const store = await openStore('sqlite::memory:', { clock });
await addMailboxes(store, clock.now());
const entries: AuditEntry[] = [];
const audit = {
  record: (entry: AuditEntry) => Promise.resolve(void entries.push(entry)),
  note: (entry: AuditEntry) => void entries.push(entry),
  along: <T>(_: AuditEntry, work: () => Promise<T>): Promise<T> => work(),
  ready: () => Promise.resolve(),
  flush: () => Promise.resolve(),
};
const deps = { store, audit, clock };
const root: Actor = { type: 'system-user', name: 'root' };
const keyOf = (actions: readonly 'suppressions:write'[], mailboxes: readonly string[]): Actor => ({
  type: 'api-key',
  key: { id: 'key_1', actions, mailboxes },
  requestId: 'req_1',
  remoteAddress: '192.0.2.1',
});

test('an act is read, allowed, done and recorded in this order', async () => {
  const done: string[] = [];
  const traced = act({
    name: 'test.trace',
    summary: 'Trace',
    permission: 'suppressions:write',
    input: z.object({ mailbox: z.string() }),
    scope: ({ mailbox }) => [mailbox],
    what: 'test.traced',
    run({ mailboxes }: Desk<ActDeps>) {
      done.push(mailboxes[0]!.address);
      return mailboxes[0]!.address;
    },
    record: (mailbox) => [{ mailbox, data: { count: 1 } }],
  });
  await assert.rejects(perform(traced, deps, keyOf([], []), {} as { mailbox: string }), { code: 'admin.input' });
  await assert.rejects(perform(traced, deps, keyOf([], ['*']), { mailbox: SHOP }), {
    code: 'admin.forbidden',
  });
  const ofAlice = keyOf(['suppressions:write'], [ALICE]);
  await assert.rejects(perform(traced, deps, ofAlice, { mailbox: SHOP }), { code: 'admin.not-found' });
  await assert.rejects(perform(traced, deps, root, { mailbox: 'nobody@x.test' }), { code: 'admin.not-found' });
  assert.deepEqual([done, entries.splice(0)], [[], []]);
  await perform(traced, deps, ofAlice, { mailbox: ALICE.toUpperCase() });
  assert.deepEqual(entries.splice(0), [
    {
      type: 'api.changed',
      outcome: 'ok',
      sessionId: 'req_1',
      mailbox: ALICE,
      data: { count: 1, what: 'test.traced', by: 'api-key', apiKeyId: 'key_1', remoteAddress: '192.0.2.1' },
    },
  ]);
  await perform(traced, deps, root, { mailbox: SHOP });
  assert.deepEqual(entries.splice(0)[0]!.data, { count: 1, what: 'test.traced', by: 'system-user', user: 'root' });
  assert.deepEqual(done, [ALICE, SHOP]);
});

test('what concerns every mailbox is for who opens every mailbox', async () => {
  const input = { items: [{ address: 'bob@x.test' }] };
  await assert.rejects(perform(addSuppressions, deps, keyOf(['suppressions:write'], [SHOP]), input), {
    code: 'admin.forbidden',
  });
  assert.equal((await perform(addSuppressions, deps, { type: 'postern' }, input)).added, 1);
  assert.deepEqual(entries.splice(0)[0]!.data, {
    count: 1,
    what: 'suppressions.added',
    by: 'postern',
    part: 'Postern',
  });
});

test('every act has a name of its own, and one that can write leaves a record', () => {
  assert.ok(acts.length > 0);
  assert.equal(new Set(acts.map(({ name }) => name)).size, acts.length);
  assert.deepEqual(
    acts
      .filter(({ permission, audits, what }) => !permission.endsWith(':read') && (audits ?? what) === undefined)
      .map((one) => one.name),
    [],
  );
});
