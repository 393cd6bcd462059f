/** Closing a grant on purpose, and opening it again. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openOutboxBed } from '../../test/bed/outbox.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Secret } from '../base/secret.ts';
import type { OAuthEvent } from './events.ts';
import { sealTokens } from './grant-tokens.ts';
import { resumeGrant, suspendGrant } from './suspension.ts';

async function bench(t: TestContext) {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  t.after(bed.close);
  const events: OAuthEvent[] = [];
  const deps = { ...bed, clock, emit: (event: OAuthEvent) => void events.push(event) };
  const { grantId } = bed.mailbox;
  const state = async () => (await bed.store.grants.find(grantId))!;
  return { ...bed, clock, deps, events, grantId, state };
}

test('a grant is suspended once, with its reason, and is due for nothing; gateways are told by its mailbox', async (t) => {
  const { deps, events, grantId, state, store, clock } = await bench(t);
  let told = 0;
  const watch = store.watch('mailboxes', () => void told++);
  await suspendGrant(deps, grantId, 'on leave');
  await new Promise((resolve) => setTimeout(resolve, 5));
  watch.stop();
  assert.ok(told > 0);
  const { renewAt, state: now } = await state();
  assert.deepEqual([now, renewAt], [{ type: 'suspended', since: clock.now(), reason: 'on leave' }, undefined]);
  await assert.rejects(suspendGrant(deps, grantId, 'again'), { code: 'oauth.suspension' });
  assert.deepEqual(events, [{ type: 'grant.changed', grantId, from: 'pending', to: 'suspended', reason: 'on leave' }]);
});

test('a grant that opens no mailbox is suspended too', async (t) => {
  const { deps, grantId, mailbox, state, store } = await bench(t);
  await store.mailboxes.remove(mailbox.address);
  await suspendGrant(deps, grantId, 'left');
  assert.equal((await state()).state.type, 'suspended');
});

test('resumed it is asked at once where it has tokens, and waits for consent where it has none', async (t) => {
  const { clock, deps, grantId, state, store, vault } = await bench(t);
  await assert.rejects(resumeGrant(deps, grantId), { code: 'oauth.suspension' });
  await suspendGrant(deps, grantId, 'x');
  await resumeGrant(deps, grantId);
  assert.deepEqual([(await state()).state.type, (await state()).renewAt], ['pending', undefined]);
  const tokens = {
    accessToken: new Secret('a'),
    refreshToken: new Secret('r'),
    obtainedAt: 0,
    expiresAt: 5_000,
    scopes: [],
  };
  const { generation } = await state();
  await store.grants.update(grantId, generation, { tokens: await sealTokens(vault, grantId, tokens) });
  await suspendGrant(deps, grantId, 'x');
  await resumeGrant(deps, grantId);
  const { renewAt, state: now } = await state();
  assert.deepEqual([now, renewAt], [{ type: 'active', since: clock.now(), accessExpiresAt: 5_000 }, clock.now()]);
});
