import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import type { Redirect } from '../../src/onboard/connect-mailbox.ts';
import { resumeGrant, resumeMailbox, suspendGrant, suspendMailbox } from '../../src/oauth/suspension.ts';
import { changeApplication } from '../../src/onboard/change-application.ts';
import type { Protocol } from '../../src/store/protocols.ts';
import type { Application } from '../../src/store/types.ts';
import { type Bed, openBed, secretOf } from '../oauth/fixture.ts';
import { editMailbox } from '../../src/store/edit.ts';

describe('consent at a real authorization server', () => {
  let bed: Bed;
  before(async () => {
    bed = await openBed();
  });
  after(() => bed.close());

  // RFC 6749 §4.1, §4.1.3, RFC 7636 §4.1
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
    await assert.rejects(bed.connect({ application, address: 'carol@contoso.test' }, 'bob'), {
      code: 'oauth.wrong-identity',
    });
    assert.equal(await bed.store.mailboxes.find('carol@contoso.test'), undefined);
    assert.ok(!(await bed.store.grants.list()).some((grant) => grant.applicationId === application.id));
  });

  test('a declared delegate opens a shared mailbox on the grant it already has', async () => {
    const application = await bed.application();
    const own = await bed.connect({ application, address: 'bob@contoso.test' });
    const shared = await bed.connect({
      application,
      address: 'sales@contoso.test',
      sharedWith: 'Bob@contoso.test',
      protocols: ['smtp'],
    });
    assert.equal(shared.grant.id, own.grant.id);
    assert.equal(shared.mailbox.access, 'shared');
    // The one token must still open what it opened before.
    assert.ok(shared.grant.scopes.includes('https://outlook.office.com/IMAP.AccessAsUser.All'));
  });

  test('app-only: the same contract with secret and certificate, Microsoft’s library and openid-client', async () => {
    const { confidential, certificate } = bed.server.clients;
    const credentials = [
      {
        flow: 'client-secret',
        clientId: confidential.id,
        credential: { type: 'secret', secret: secretOf(confidential.secret) },
      },
      {
        flow: 'certificate',
        clientId: certificate.id,
        credential: {
          type: 'certificate',
          certificatePem: bed.certificate.certPem,
          privateKey: secretOf(bed.certificate.keyPem),
        },
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

describe('consent, other ways', () => {
  let bed: Bed;
  before(async () => {
    bed = await openBed();
  });
  after(() => bed.close());

  test('a generic provider is found by discovery, with opaque tokens', async () => {
    const application = await bed.application({
      provider: 'oidc',
      settings: {
        authority: undefined,
        issuer: bed.server.issuer,
        scopes: { imap: ['mail:imap'] },
        imap: { host: 'mail.contoso.test', port: 993, tls: 'implicit' },
      },
    });
    const { mailbox } = await bed.connect({ application });
    const source = bed.source();
    assert.doesNotMatch((await source.accessToken(mailbox, 'imap')).value.reveal(), /\./);
    const endpoint = await source.endpoint(mailbox, 'imap');
    assert.deepEqual([endpoint.host, endpoint.port, endpoint.user], ['mail.contoso.test', 993, 'alice@contoso.test']);
  });

  test('S8: a second consent by another account of the same address is refused, and changes nothing', async () => {
    const application = await bed.application();
    const { grant } = await bed.connect({ application });
    assert.equal(await bed.store.grants.update(grant.id, grant.generation, { subject: 'somebody-else' }), 'written');
    await assert.rejects(bed.connect({ application }), {
      code: 'oauth.wrong-identity',
      message: /another account than the one that consented before/,
    });
    assert.equal((await bed.store.grants.find(grant.id))?.subject, 'somebody-else');
  });

  test('A2: what was suspended or removed during the sign-in stays so', async () => {
    const deps = { store: bed.store, vault: bed.vault, clock: systemClock, emit: () => undefined };
    const during = async (application: Application, act: () => Promise<unknown>) =>
      bed.connect({
        application,
        redirect: {
          uri: 'http://localhost/',
          wait: async (url) => {
            const answer = await bed.server.approve(url);
            await act();
            return answer;
          },
          close: () => Promise.resolve(),
        },
      });
    const first = await bed.application();
    const { grant, mailbox } = await bed.connect({ application: first });
    await assert.rejects(
      during(first, () => suspendMailbox(deps, mailbox, 'left')),
      { code: 'oauth.suspended' },
    );
    await resumeMailbox(deps, mailbox);
    await assert.rejects(
      during(first, () => suspendGrant(deps, grant.id, 'left')),
      { code: 'oauth.suspended' },
    );
    assert.equal((await bed.store.grants.find(grant.id))?.state.type, 'suspended');
    await resumeGrant(deps, grant.id);
    await assert.rejects(
      during(first, () => bed.store.mailboxes.remove(mailbox.address)),
      { code: 'oauth.removed' },
    );
    assert.equal(await bed.store.mailboxes.find(mailbox.address), undefined);
  });

  test('A86: what was opened, moved, or given to another client during any sign-in is not taken over by it', async () => {
    const application = await bed.application();
    const address = 'erin@contoso.test';
    const during = async (act: () => Promise<unknown>, protocols: readonly Protocol[] = ['imap', 'smtp']) => {
      const redirect: Redirect = {
        uri: 'http://localhost/',
        wait: async (url) => {
          const answer = await bed.server.approve(url, 'erin');
          await act();
          return answer;
        },
        close: () => Promise.resolve(),
      };
      return bed.connect({ application, address, redirect, protocols });
    };
    const { mailboxes } = bed.store;
    // Somebody else was faster, with less.
    await assert.rejects(
      during(() => bed.connect({ application, address, protocols: ['imap'] }, 'erin')),
      { code: 'oauth.superseded' },
    );
    const made = (await mailboxes.find(address))!;
    assert.deepEqual(made.protocols, ['imap']);
    // It was narrowed, or is opened otherwise.
    for (const change of [{ protocols: ['smtp'] as const }, { access: 'shared' as const }]) {
      const { protocols, access } = (await mailboxes.find(address))!;
      await assert.rejects(
        during(() => mailboxes.update(address, change)),
        { code: 'oauth.superseded' },
      );
      await mailboxes.update(address, { protocols, access });
    }
    // It was removed and added anew.
    await assert.rejects(
      during(async () => {
        await mailboxes.remove(address);
        await mailboxes.insert({ ...made, createdAt: made.createdAt + 1 });
      }),
      { code: 'oauth.superseded' },
    );
    // The application is another client by now.
    await assert.rejects(
      during(() =>
        changeApplication({ store: bed.store }, application, { clientId: 'f00d0000-0000-4000-8000-000000000001' }),
      ),
      { code: 'oauth.superseded', message: /was changed or removed/ },
    );
  });

  test('A86: a consent for one mailbox does not narrow what its person consented to meanwhile for another', async () => {
    const application = await bed.application();
    const { grant } = await bed.connect({ application, protocols: ['imap'] });
    await assert.rejects(
      bed.connect({
        application,
        protocols: ['imap'],
        redirect: {
          uri: 'http://localhost/',
          wait: async (url) => {
            const answer = await bed.server.approve(url);
            await bed.connect({
              application,
              address: 'support@contoso.test',
              sharedWith: grant.identity,
              protocols: ['imap', 'pop3', 'smtp'],
            });
            return answer;
          },
          close: () => Promise.resolve(),
        },
      }),
      { code: 'oauth.superseded', message: /for another mailbox/ },
    );
  });

  test('an answer with another state, or from another issuer, is refused', async () => {
    const application = await bed.application();
    const tampered = (change: (url: URL) => void): Redirect => ({
      uri: 'http://localhost/',
      wait: async (url) => {
        const answer = await bed.server.approve(url);
        change(answer);
        return answer;
      },
      close: () => Promise.resolve(),
    });
    for (const change of [
      (url: URL) => url.searchParams.set('state', 'other'),
      (url: URL) => url.searchParams.set('iss', 'https://evil.example'),
    ]) {
      await assert.rejects(bed.connect({ application, redirect: tampered(change) }), {
        code: 'oauth.redirect-mismatch',
      });
    }
  });

  test('a role-less application token is caught before the mail server refuses it without a reason', async () => {
    const { id, secret } = bed.server.clients.confidential;
    const application = await bed.application({
      clientId: id,
      credential: { type: 'secret', secret: secretOf(secret) },
    });
    bed.server.roles = [];
    try {
      await assert.rejects(bed.connect({ application, address: 'p@contoso.test', flow: 'client-secret' }), {
        code: 'oauth.role-missing',
      });
    } finally {
      bed.server.roles = ['IMAP.AccessAsApp', 'POP.AccessAsApp', 'SMTP.SendAsApp'];
    }
  });

  test('a second consent keeps mailbox settings and adds the protocol', async () => {
    const application = await bed.application();
    const first = await bed.connect({ application, address: 'dave@contoso.test' });
    await editMailbox(bed.store, 'dave@contoso.test', () => ({ smtpUser: 'delegate' }));
    const second = await bed.connect({ application, address: 'dave@contoso.test', protocols: ['imap', 'smtp'] });
    assert.equal(second.grant.id, first.grant.id);
    assert.deepEqual(second.mailbox.settings, { smtpUser: 'delegate' });
    assert.deepEqual(second.mailbox.protocols, ['imap', 'smtp']);
  });
});
