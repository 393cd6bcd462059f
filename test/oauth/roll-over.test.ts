import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { judgeRefused } from '../../src/check/credential.ts';
import { isError } from '../../src/base/error.ts';
import { openCredential, openCredentials } from '../../src/oauth/application.ts';
import { activateCredential, addCredential, removeCredential } from '../../src/oauth/credentials.ts';
import { Secret } from '../../src/base/secret.ts';
import type { Application } from '../../src/store/types.ts';
import { type Bed, openBed, secretOf, selfSigned } from './fixture.ts';

let bed: Bed;
let deps: { store: Bed['store']; vault: Bed['vault']; clock: typeof systemClock };
before(async () => {
  bed = await openBed();
  deps = { store: bed.store, vault: bed.vault, clock: systemClock };
});
after(() => bed.close());

const secret = (text: string) => ({ type: 'secret', secret: secretOf(text) }) as const;
const confidential = () => bed.server.clients.confidential;
const fresh = async (id: string): Promise<Application> => (await bed.store.applications.find(id))!;
const idsOf = async (id: string): Promise<readonly string[]> => (await fresh(id)).credentials!.map((one) => one.id);
const refusals = (id: string) =>
  bed.events.filter((event) => event.type === 'credential.refused' && event.applicationId === id);

/** An application whose first secret is worthless, with the right one added behind it. */
async function halfRolled(): Promise<{ application: Application; right: string }> {
  const application = await bed.application({ clientId: confidential().id, credential: secret('no longer valid') });
  const right = await addCredential(deps, application.id, secret(confidential().secret), { secretExpiresAt: 9e12 });
  return { application: await fresh(application.id), right: right.id };
}

test('a secret the provider no longer takes is followed by the next one, app-only and delegated, told once', async () => {
  const { application } = await halfRolled();
  const robot = await bed.connect({ application, address: 'robot@contoso.test', flow: 'client-secret' });
  const person = await bed.connect({ application });
  const source = bed.source();
  const expire = async (id: string): Promise<void> => {
    const row = (await bed.store.grants.find(id))!;
    await bed.store.grants.update(id, row.generation, { tokens: robot.grant.id === id ? undefined : row.tokens });
  };
  await expire(robot.grant.id);
  assert.match((await source.accessToken(robot.mailbox, 'imap')).value.reveal(), /^ey/);
  await expire(robot.grant.id);
  await bed.source().accessToken(robot.mailbox, 'imap');
  assert.match((await source.accessToken(person.mailbox, 'imap')).value.reveal(), /^ey/);
  const [first] = await idsOf(application.id);
  assert.ok(refusals(application.id).every((event) => 'credentialId' in event && event.credentialId === first));
  assert.equal(refusals(application.id).length, 2, 'once per process');
  // P51: a check tells of it, with what to do about this credential.
  const refused = [...source.refusedCredentials!(application.id)];
  assert.deepEqual(
    refused.map(([id]) => id),
    [first],
  );
  const { says, warning } = judgeRefused(application, refused, { address: 'robot@contoso.test' });
  assert.match(says, new RegExp(`the provider refuses the client secret ${first} of application`));
  assert.match(warning!.remedy.at(-1)!.run!, new RegExp(`credential remove \\S+ ${first}$`));
});

test('what is not about the credential is not asked twice', async () => {
  const { application, right } = await halfRolled();
  await activateCredential(deps, application.id, right);
  assert.deepEqual((await idsOf(application.id))[0], right);
  const { grant, mailbox } = await bed.connect({
    application: await fresh(application.id),
    address: 'scanner@contoso.test',
    flow: 'client-secret',
  });
  const row = (await bed.store.grants.find(grant.id))!;
  await bed.store.grants.update(grant.id, row.generation, { tokens: undefined });
  const asked = bed.server.requests.length;
  bed.server.failNext.push({ status: 400, body: { error: 'invalid_scope' } });
  await assert.rejects(bed.source().accessToken(mailbox, 'imap'), { code: 'oauth.misconfigured' });
  assert.equal(bed.server.requests.length, asked + 1);
});

test('credentials are listed with what is known of them, activated, and removed but for the last', async () => {
  const { certPem, keyPem } = await selfSigned('client');
  const { application, right } = await halfRolled();
  const added = await addCredential(
    deps,
    application.id,
    { type: 'certificate', certificatePem: certPem, privateKey: new Secret(keyPem) },
    { first: true },
  );
  assert.equal(added.type, 'certificate');
  assert.match(added.fingerprint!, /^[0-9a-f]{64}$/);
  assert.ok(Math.abs(added.expiresAt! - Date.now() - 86_400_000) < 60_000, 'read from the certificate');
  const row = await fresh(application.id);
  assert.deepEqual(
    row.credentials!.map(({ type, expiresAt }) => [type, expiresAt === 9e12]),
    [
      ['certificate', false],
      ['secret', false],
      ['secret', true],
    ],
  );
  assert.equal((await openCredential(bed.vault, row))?.type, 'certificate');
  assert.deepEqual(
    (await openCredentials(bed.vault, row)).map(({ facts }) => facts.id),
    row.credentials!.map(({ id }) => id),
  );
  assert.ok(!JSON.stringify(row).includes('no longer valid'));
  await assert.rejects(
    addCredential(deps, application.id, secret(confidential().secret)),
    (error) => isError(error, 'oauth.misconfigured') && /already/.test(error.message),
  );
  await assert.rejects(activateCredential(deps, application.id, 'cred_none'), /has no credential cred_none/);
  await activateCredential(deps, application.id, right);
  await bed.connect({ application: await fresh(application.id), address: 'box@contoso.test', flow: 'client-secret' });
  for (const id of (await idsOf(application.id)).slice(1)) await removeCredential(deps, application.id, id);
  await assert.rejects(removeCredential(deps, application.id, right), /only credential/);
});

test('a credential sealed by version 0.1.0 opens', async () => {
  const { id, createdAt, name } = await bed.application();
  const plain = new Secret(JSON.stringify({ type: 'secret', secret: 'from before' }));
  const credential = await bed.vault.seal(`application/${id}/credential`, plain);
  const [held] = await openCredentials(bed.vault, { id, name, createdAt, credential, credentials: [] });
  assert.ok(held?.credential.type === 'secret' && held.credential.secret.reveal() === 'from before');
  assert.deepEqual(held.facts, { id: 'first', type: 'secret', addedAt: createdAt });
});
