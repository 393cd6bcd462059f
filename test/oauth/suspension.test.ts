/** Closing one mailbox of several that a grant opens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { resumeMailbox, suspendMailbox } from '../../src/oauth/suspension.ts';
import { openBed, secretOf } from './fixture.ts';

test('D1: one of two mailboxes of an application is suspended and resumed; the other works on', async (t) => {
  const bed = await openBed();
  t.after(() => bed.close());
  const { id, secret } = bed.server.clients.confidential;
  const application = await bed.application({
    clientId: id,
    credential: { type: 'secret', secret: secretOf(secret) },
  });
  const one = await bed.connect({ application, address: 'one@contoso.test', flow: 'client-secret' });
  const two = await bed.connect({ application, address: 'two@contoso.test', flow: 'client-secret' });
  assert.equal(one.mailbox.grantId, two.mailbox.grantId);
  const deps = { ...bed, clock: systemClock, emit: () => undefined };
  await suspendMailbox(deps, one.mailbox, 'on leave');
  const source = bed.source();
  const now = async (address: string) => (await bed.store.mailboxes.find(address))!;
  await assert.rejects(source.accessToken(await now('one@contoso.test'), 'imap'), {
    code: 'oauth.suspended',
    message: 'one@contoso.test is suspended: on leave',
  });
  await assert.rejects(source.renewedToken(await now('one@contoso.test'), 'imap'), { code: 'oauth.suspended' });
  await source.accessToken(await now('two@contoso.test'), 'imap');
  assert.equal((await bed.store.grants.find(one.grant.id))?.state.type, 'active');
  await assert.rejects(suspendMailbox(deps, await now('one@contoso.test'), 'x'), { code: 'oauth.suspension' });
  await resumeMailbox(deps, await now('one@contoso.test'));
  assert.equal((await now('one@contoso.test')).suspended, undefined);
  await source.accessToken(await now('one@contoso.test'), 'imap');
});
