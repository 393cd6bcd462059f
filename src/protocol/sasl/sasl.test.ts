/** The four mechanisms: what a client half says its server half reads, and everything else is refused as malformed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { bearerFailure, offeredMechanisms, serverMechanism } from './mechanisms.ts';
import { decodeInitial, decodeResponse, encodeInitial, encodeResponse } from './line.ts';
import { loginServer } from './login.ts';
import { loginClient } from '../../../test/bed/login-client.ts';
import type { ClientMechanism, Credentials, ServerMechanism } from './mechanism.ts';
import { oauthbearerClient, oauthbearerServer } from './oauthbearer.ts';
import { plainClient, plainServer } from './plain.ts';
import { xoauth2Client, xoauth2Server } from './xoauth2.ts';

/** Runs both halves against each other through base64, as on the wire. */
function exchange(client: ClientMechanism, server: ServerMechanism): Credentials {
  let message = client.initial ?? client.next(server.first).send;
  for (;;) {
    const step = server.next(decodeResponse(encodeResponse(message)));
    if (step.type === 'credentials') return step.credentials;
    message = client.next(step.send).send;
  }
}

// A lone surrogate is no text; NUL cannot be part of either; %x01 ends the parts of a bearer message.
const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter((text) => /^[^\0\x01]+$/.test(text));
const token = fc.stringMatching(/^[A-Za-z0-9\-._~+/]{1,200}=?$/);

// RFC 4616 §2, RFC 7628 §3.1
test('every mechanism carries user and secret unchanged', () => {
  fc.assert(
    fc.property(word, word, token, (user, password, bearer) => {
      const cases = [
        [plainClient({ user, password: new Secret(password) }), plainServer(), password],
        [loginClient({ user, password: new Secret(password) }), loginServer(), password],
        [xoauth2Client({ user, token: new Secret(bearer) }), xoauth2Server(), bearer],
        [
          oauthbearerClient({ user, token: new Secret(bearer), host: 'mail.test', port: 993 }),
          oauthbearerServer(),
          bearer,
        ],
      ] as const;
      for (const [client, server, secret] of cases) {
        const credentials = exchange(client, server);
        assert.equal(credentials.mechanism, client.name);
        assert.equal(credentials.user, user);
        assert.equal(credentials.secret.reveal(), secret);
        assert.equal(credentials.actAs, undefined);
      }
    }),
  );
});

test('PLAIN tells an authorization identity that differs', () => {
  const password = new Secret('password');
  assert.equal(exchange(plainClient({ user: 'a', password, actAs: 'b' }), plainServer()).actAs, 'b');
  assert.equal(exchange(plainClient({ user: 'a', password, actAs: 'a' }), plainServer()).actAs, undefined);
});

// RFC 4648 §4, RFC 4954 §4, RFC 4959 §3, RFC 5034 §4
test('base64 lines round trip, with the empty initial response as =', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (octets) => {
      const bytes = Buffer.from(octets);
      assert.deepEqual(decodeResponse(encodeResponse(bytes)), bytes);
      assert.deepEqual(decodeResponse(encodeResponse(bytes).replace(/=+$/, '')), bytes);
      assert.deepEqual(decodeInitial(encodeInitial(bytes)), bytes);
    }),
  );
  assert.equal(encodeInitial(Buffer.alloc(0)), '=');
});

for (const text of ['!', 'YQ=', 'Y', 'YQ==YQ==', 'Y Q', 'YQ==\r', '=', '*', 'YQ-_', '===='])
  test(`${JSON.stringify(text)} ${/^(?:=|YQ=)$/.test(text) ? 'is read leniently' : 'is no base64'}`, () => {
    const read = (): Buffer => decodeResponse(text);
    if (/^(?:=|YQ=)$/.test(text)) assert.ok(read().length <= 1);
    else assert.throws(read, (error) => isError(error, 'sasl.malformed'));
  });

const MALFORMED: readonly (readonly [string, () => ServerMechanism, string])[] = [
  ['PLAIN without parts', plainServer, ''],
  ['PLAIN with two parts', plainServer, 'user\0password'],
  ['PLAIN with a fourth part', plainServer, '\0user\0pass\0word'],
  ['PLAIN that is not UTF-8', plainServer, '\0us\xffer\0password'],
  ['LOGIN with a NUL', loginServer, 'us\0er'],
  ['LOGIN that is not UTF-8', loginServer, '\xc3'],
  ['XOAUTH2 that is empty', xoauth2Server, ''],
  ['XOAUTH2 without an end', xoauth2Server, 'user=u\x01auth=Bearer t'],
  ['XOAUTH2 without a user', xoauth2Server, 'auth=Bearer t\x01\x01'],
  ['XOAUTH2 without a token', xoauth2Server, 'user=u\x01\x01'],
  ['XOAUTH2 with another scheme', xoauth2Server, 'user=u\x01auth=Basic dTpw\x01\x01'],
  ['XOAUTH2 with two users', xoauth2Server, 'user=u\x01user=v\x01auth=Bearer t\x01\x01'],
  ['OAUTHBEARER without a header', oauthbearerServer, 'auth=Bearer t\x01\x01'],
  ['OAUTHBEARER with channel binding', oauthbearerServer, 'p=tls-unique,a=u,\x01auth=Bearer t\x01\x01'],
  ['OAUTHBEARER without a user', oauthbearerServer, 'n,,\x01auth=Bearer t\x01\x01'],
  ['OAUTHBEARER with a NUL', oauthbearerServer, 'n,a=u\0,\x01auth=Bearer t\x01\x01'],
  ['OAUTHBEARER with a key that is none', oauthbearerServer, 'n,a=u,\x01a1=x\x01auth=Bearer t\x01\x01'],
];
for (const [name, server, ...messages] of [
  ['PLAIN without a password', plainServer, '\0user\0'],
  ['PLAIN without a user', plainServer, '\0\0'],
  ['LOGIN with two empty lines', loginServer, '', ''],
  ['XOAUTH2 with an empty token', xoauth2Server, 'user=u\x01auth=Bearer \x01\x01'],
  ['OAUTHBEARER with an empty user', oauthbearerServer, 'n,a=,\x01auth=Bearer \x01\x01'],
] as const)
  test(`B8: ${name} is a wrong password, not a broken message`, () => {
    const half = server();
    const steps = messages.map((message) => half.next(Buffer.from(message)));
    const last = steps.at(-1)!;
    assert.ok(last.type === 'credentials');
    assert.equal(last.credentials.secret.reveal(), '');
  });

for (const [name, server, message] of MALFORMED)
  test(`${name} is malformed`, () => {
    assert.throws(
      () => server().next(Buffer.from(message, 'latin1')),
      (error) => isError(error, 'sasl.malformed'),
    );
  });

test('whatever octets come, a server half gives a step or says malformed', () => {
  fc.assert(
    fc.property(fc.constantFrom(...offeredMechanisms(true)), fc.uint8Array({ maxLength: 200 }), (name, octets) => {
      try {
        serverMechanism(name, offeredMechanisms(true))!.next(Buffer.from(octets));
      } catch (error) {
        assert.ok(isError(error, 'sasl.malformed'));
      }
    }),
  );
});

test('names are read in any case, and only those offered', () => {
  assert.equal(serverMechanism('plain', offeredMechanisms(false))?.name, 'PLAIN');
  assert.equal(serverMechanism('XOAUTH2', offeredMechanisms(false)), undefined);
  assert.equal(serverMechanism('GSSAPI', offeredMechanisms(true)), undefined);
});

// RFC 7628 §3.2.2, §3.2.3
test('an error report is read by the client half and answered as each mechanism wants', () => {
  const who = { user: 'u', token: new Secret('token'), host: 'mail.test', port: 993 };
  const xoauth2 = xoauth2Client(who).next(bearerFailure('XOAUTH2')!);
  assert.equal(xoauth2.send.length, 0);
  assert.equal(xoauth2.failure?.status, '401');
  const oauthbearer = oauthbearerClient(who).next(bearerFailure('OAUTHBEARER')!);
  assert.equal(oauthbearer.send.toString(), '\x01');
  assert.equal(oauthbearer.failure?.status, 'invalid_token');
  assert.equal(bearerFailure('PLAIN'), undefined);
  assert.equal(xoauth2Client(who).next(Buffer.from('not JSON')).failure?.text, 'not JSON');
  assert.equal(xoauth2Client(who).next(Buffer.from('[1]')).failure?.status, 'unknown');
});

test('LOGIN and PLAIN clients do not answer more than they have to say', () => {
  const who = { user: 'u', password: new Secret('password') };
  const login = loginClient(who);
  login.next(Buffer.alloc(0));
  login.next(Buffer.alloc(0));
  assert.throws(
    () => login.next(Buffer.alloc(0)),
    (error) => isError(error, 'sasl.malformed'),
  );
  assert.throws(
    () => plainClient(who).next(Buffer.from('{}')),
    (error) => isError(error, 'sasl.malformed'),
  );
});
