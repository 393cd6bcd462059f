/** What is done to mailboxes and to mail leaves a record with who did it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import type { Audit, AuditEntry } from '../audit/types.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { nullLog } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import type { OAuthEvent } from '../oauth/events.ts';
import { openOutbox } from '../outbox/open.ts';
import { openStore } from '../store/open.ts';
import { environmentKey } from '../vault/key-source.ts';
import { openVault } from '../vault/open.ts';
import { addMailboxes, ALICE, SHOP } from '../../test/bed/api.ts';
import { perform } from './act.ts';
import type { Actor } from './actor.ts';
import { holdMailbox, moveMailbox, releaseMailbox, resumeMailbox, setMailbox, suspendMailbox } from './mailboxes.ts';
import { cancelMessage, holdMessage } from './messages.ts';

const clock = new ManualClock();
const store = await openStore('sqlite::memory:', { clock });
const vault = await openVault(store.settings, environmentKey(new Secret(randomBytes(32).toString('base64url'))));
await addMailboxes(store, clock.now());
const outbox = openOutbox({ store, vault, clock });
after(async () => {
  await outbox.close();
  await store.close();
});
const entries: AuditEntry[] = [];
const audit: Audit = {
  record: (entry) => Promise.resolve(void entries.push(entry)),
  note: (entry) => void entries.push(entry),
  along: async (entry, work) => {
    const result = await work();
    if (result !== false) entries.push(entry);
    return result;
  },
  ready: () => Promise.resolve(),
  flush: () => Promise.resolve(),
};
const deps = {
  store,
  vault,
  audit,
  clock,
  log: nullLog,
  outbox,
  config: { outbox: {} },
  emit: ({ type }: OAuthEvent, by: Audit = audit) =>
    by.record({ type: type as AuditEntry['type'], outcome: 'ok', mailbox: SHOP }),
};
const root: Actor = { type: 'system-user', name: 'root' };
const BY = { by: 'system-user', user: 'root' };
const recorded = () => entries.splice(0).map(({ type, mailbox, data }) => [type, mailbox, data]);

test('H1: how mail leaves is set, and on record with who set it', async () => {
  const set = await perform(setMailbox, deps, root, {
    address: SHOP,
    outgoing: 'outbox',
    sendAs: ['Help@contoso.test'],
    notAs: ['info@contoso.test'],
  });
  assert.deepEqual(set, { address: SHOP, outgoing: 'outbox', routes: undefined, sendAs: ['help@contoso.test'] });
  assert.deepEqual((await store.mailboxes.find(SHOP))!.settings, { outgoing: 'outbox', sendAs: ['help@contoso.test'] });
  const { address: _, ...data } = set;
  assert.deepEqual(recorded(), [['mailbox.changed', SHOP, { ...data, ...BY }]]);
  await assert.rejects(perform(setMailbox, deps, root, { address: SHOP, routes: ['relay'] }), { code: 'admin.input' });
  await assert.rejects(perform(moveMailbox, deps, root, { address: SHOP, application: 'none' }), {
    code: 'admin.not-found',
  });
  assert.deepEqual((await perform(moveMailbox, deps, root, { address: SHOP, application: 'work' })).moved, []);
  assert.deepEqual(recorded(), [], 'what changed nothing leaves none');
});

test('H1: holding and closing a mailbox, and what rooms below put on record, name the actor', async () => {
  await perform(holdMailbox, deps, root, { address: SHOP, reason: 'wrong template' });
  const held = (await store.mailboxes.find(SHOP))!.settings.outboxHeld;
  assert.deepEqual(held, { since: clock.now(), by: 'system user root', reason: 'wrong template' });
  assert.equal((await perform(releaseMailbox, deps, root, { address: SHOP })).wasHeld, true);
  assert.equal((await perform(releaseMailbox, deps, root, { address: SHOP })).wasHeld, false);
  await perform(suspendMailbox, deps, root, { address: SHOP, reason: 'left' });
  assert.equal((await perform(resumeMailbox, deps, root, { address: SHOP })).wasOpen, false);
  assert.equal((await perform(resumeMailbox, deps, root, { address: SHOP })).wasOpen, true);
  assert.deepEqual(recorded(), [
    ['mailbox.held', SHOP, { reason: 'wrong template', ...BY }],
    ['mailbox.released', SHOP, BY],
    ['mailbox.suspended', SHOP, BY],
    ['mailbox.resumed', SHOP, BY],
  ]);
});

test('H1: a message is changed by who opens its mailbox, and is not there for others', async () => {
  const { message } = await outbox.accept(
    {
      mailbox: (await store.mailboxes.find(SHOP))!,
      envelope: { from: SHOP, recipients: [{ address: 'bob@x.test' }] },
      source: 'http',
      principal: 'key_1',
    },
    [Buffer.from(`From: ${SHOP}\r\nTo: bob@x.test\r\nSubject: hi\r\n\r\nhi\r\n`)],
  );
  const { id } = message;
  const keyOf = (mailbox: string): Actor => ({
    type: 'api-key',
    key: { id: 'key_1', actions: ['messages:write'], mailboxes: [mailbox] },
    requestId: 'req_1',
    remoteAddress: '192.0.2.1',
  });
  await assert.rejects(perform(cancelMessage, deps, keyOf(ALICE), { id }), { code: 'outbox.not-found' });
  await perform(holdMessage, deps, root, { id, reason: 'look at it' });
  assert.equal((await perform(cancelMessage, deps, keyOf(SHOP), { id })).state.type, 'cancelled');
  await assert.rejects(perform(cancelMessage, deps, root, { id }), { code: 'outbox.too-late' });
  assert.deepEqual(recorded(), [
    ['api.changed', SHOP, { messageId: id, what: 'message.held', ...BY }],
    [
      'api.changed',
      SHOP,
      { messageId: id, what: 'message.cancelled', by: 'api-key', apiKeyId: 'key_1', remoteAddress: '192.0.2.1' },
    ],
  ]);
  const story = await outbox.events({ messageId: id, limit: 10 });
  assert.deepEqual(
    story.slice(1).map(({ type, data }) => [type, data['by']]),
    [
      ['held', 'system user root'],
      ['cancelled', 'key_1'],
    ],
  );
});
