import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import type { Mailbox } from '../store/types.ts';
import { checkGraph, leavesByGraph } from './graph.ts';

const mailbox: Mailbox = {
  address: 'alice@contoso.test',
  grantId: 'grt_1',
  access: 'own',
  protocols: ['imap'],
  settings: {},
  createdAt: 0,
};
const origin = 'https://graph.microsoft.com';

function accesses(claims: object | undefined, scopes: readonly string[] = []) {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const value = new Secret(claims === undefined ? 'opaque' : `${part({ alg: 'none' })}.${part(claims)}.`);
  const token = { value, scopes, expiresAt: 0, grantId: 'grt_1' };
  return { of: () => Promise.resolve({ token, origin, ca: undefined }) };
}
const person = { flow: 'authorization-code' } as const;
const robot = { flow: 'certificate' } as const;

test('looked at only where mail is to leave by Graph', () => {
  assert.equal(leavesByGraph(mailbox), false);
  assert.equal(leavesByGraph({ settings: { routes: ['smtp', 'graph'] } }), true);
});

test('Mail.Send in a readable token, as a scope or a role, or among the scopes of an opaque one', async () => {
  for (const source of [
    accesses({ aud: origin, scp: 'Mail.ReadWrite Mail.Send' }),
    accesses({ aud: origin, roles: ['Mail.Send'] }),
    accesses(undefined, [`${origin}/Mail.Send`]),
  ])
    assert.match((await checkGraph(source, person, mailbox)).says, /with Mail\.Send/);
});

test('without it a person’s consent does not do; of an application Exchange decides', async () => {
  await assert.rejects(
    checkGraph(accesses({ aud: origin, scp: 'IMAP.AccessAsUser.All Mail.Send.Shared' }), person, mailbox),
    (error) => isError(error, 'check.graph-not-allowed') && /register microsoft --graph/.test(error.hint),
  );
  assert.match((await checkGraph(accesses({ aud: origin }), robot, mailbox)).says, /role assignments decide/);
});
