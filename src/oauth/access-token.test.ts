/** What a token says of itself, whatever is in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../base/secret.ts';
import { describeAccessToken } from './access-token.ts';

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (claims: object): Secret => new Secret(`${part({ alg: 'none' })}.${part(claims)}.x`);

test('audience, permissions, tenant and end are read where they have the form they should', () => {
  assert.deepEqual(
    describeAccessToken(jwt({ aud: 'a', scp: 'IMAP SMTP', roles: ['R', 7], tid: 't', oid: 'o', exp: 9 })),
    {
      audience: ['a'],
      scopes: ['IMAP', 'SMTP'],
      roles: ['R'],
      tenant: 't',
      objectId: 'o',
      expiresAt: 9_000,
    },
  );
  assert.deepEqual(describeAccessToken(jwt({ aud: ['a', 'b'], scope: 'mail', roles: 'R', tid: 7 })), {
    audience: ['a', 'b'],
    scopes: ['mail'],
    roles: [],
    tenant: undefined,
    objectId: undefined,
    expiresAt: undefined,
  });
  assert.deepEqual(describeAccessToken(jwt({}))?.audience, []);
  for (const opaque of ['opaque', 'a.b', 'a.b.c', ''])
    assert.equal(describeAccessToken(new Secret(opaque)), undefined, opaque);
});
