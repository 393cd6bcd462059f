import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openBed, secretOf } from './fixture.ts';
import type { Bed } from './fixture.ts';

describe('consent at a real authorization server', () => {
  let bed: Bed;
  before(async () => {
    bed = await openBed();
  });
  after(() => bed.close());

  test('authorization code with PKCE stores a grant for the person who was asked for', async () => {
    const application = await bed.application();
    const { grant, mailbox } = await bed.connect({ application, protocols: ['imap', 'smtp'] });
    assert.equal(grant.identity, 'alice@contoso.test');
    assert.equal(grant.subject, 'oid-alice');
    assert.equal(grant.state.type, 'active');
    assert.deepEqual(grant.scopes, [
      'openid',
      'profile',
      'offline_access',
      'https://outlook.office.com/IMAP.AccessAsUser.All',
      'https://outlook.office.com/SMTP.Send',
    ]);
    assert.deepEqual(mailbox.protocols, ['imap', 'smtp']);
    const token = await bed.source().accessToken(mailbox, 'imap');
    assert.match(token.value.reveal(), /^ey/);
  });

  test('somebody else signing in stores nothing', async () => {
    const application = await bed.application();
    await assert.rejects(bed.connect({ application, address: 'carol@contoso.test' }, 'bob'), { code: 'oauth.wrong-identity' });
    assert.equal(await bed.store.mailboxes.find('carol@contoso.test'), undefined);
    assert.ok(!(await bed.store.grants.list()).some((grant) => grant.applicationId === application.id));
  });

  test('a declared delegate opens a shared mailbox on the grant it already has', async () => {
    const application = await bed.application();
    const own = await bed.connect({ application, address: 'bob@contoso.test' });
    const shared = await bed.connect({ application, address: 'sales@contoso.test', sharedWith: 'Bob@contoso.test', protocols: ['smtp'] });
    assert.equal(shared.grant.id, own.grant.id);
    assert.equal(shared.mailbox.access, 'shared');
    // The one token must still open what it opened before.
    assert.ok(shared.grant.scopes.includes('https://outlook.office.com/IMAP.AccessAsUser.All'));
  });

  test('app-only: the same contract with secret and certificate, Microsoft’s library and openid-client', async () => {
    const { confidential, certificate } = bed.server.clients;
    const credentials = [
      { flow: 'client-secret', clientId: confidential.id, credential: { type: 'secret', secret: secretOf(confidential.secret) } },
      {
        flow: 'certificate',
        clientId: certificate.id,
        credential: { type: 'certificate', certificatePem: bed.certificate.certPem, privateKey: secretOf(bed.certificate.keyPem) },
      },
    ] as const;
    for (const { flow, ...client } of credentials) {
      const application = await bed.application(client);
      const { grant, mailbox } = await bed.connect({ application, address: 'printer@contoso.test', flow });
      assert.equal(grant.identity, client.clientId);
      assert.equal(mailbox.access, 'app-only');
      const request = bed.server.requests.at(-1);
      assert.equal(request?.grantType, 'client_credentials');
      if (flow === 'certificate') assert.equal(request?.assertion?.header['alg'], 'PS256');
    }
  });
});
