/** Sign-in over loopback: three protocols, four mechanisms, with and without TLS, right and wrong; both halves where we have both. */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { before, test, type TestContext } from 'node:test';
import { isError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { protocolError } from './errors.ts';
import * as imapClient from './imap/client.ts';
import * as imapServer from './imap/server.ts';
import * as pop3Client from './pop3/client.ts';
import * as pop3Server from './pop3/server.ts';
import { encodeResponse } from './sasl/line.ts';
import { loginClient } from '../../test/bed/login-client.ts';
import type { Credentials, MechanismName } from './sasl/mechanism.ts';
import { plainClient } from './sasl/plain.ts';
import type { SignedIn } from './sign-in.ts';
import * as smtpClient from './smtp/client.ts';
import * as smtpServer from './smtp/server.ts';
import { connect, secureClient } from './tls/connect.ts';
import { createAuthority, issueCertificate } from './tls/local-ca.ts';
import { secureServer, serverContext, type ServerContext } from './tls/server.ts';
import { Conn } from './wire/conn.ts';

const servers = { imap: imapServer, pop3: pop3Server, smtp: smtpServer };
const clients = { imap: imapClient, pop3: pop3Client, smtp: smtpClient };
type Protocol = keyof typeof servers;
type Tls = 'none' | 'starttls' | 'implicit';

const USER = 'jörg@contoso.test';
const NEXT: Readonly<Record<Protocol, string>> = {
  imap: 'a2 SELECT INBOX\r\n',
  pop3: 'STAT\r\n',
  smtp: 'MAIL FROM:<a@b.test>\r\n',
};
const timeoutMs = 5000;
let context: ServerContext;
let ca: string;

before(async () => {
  const authority = await createAuthority('sign-in tests');
  const leaf = await issueCertificate(authority, { names: ['localhost'], days: 2 });
  ca = authority.certPem;
  context = serverContext({ cert: leaf.certPem, key: leaf.keyPem });
});

interface Door {
  readonly port: number;
  readonly result: Promise<SignedIn | 'closed'>;
  readonly seen: Credentials[];
  /** What was left for the relay. */
  readonly rest: Promise<Buffer>;
}

async function openDoor(t: TestContext, protocol: Protocol, tls: Tls): Promise<Door> {
  const seen: Credentials[] = [];
  const { promise: result, resolve, reject } = Promise.withResolvers<SignedIn | 'closed'>();
  const { promise: rest, resolve: resolveRest } = Promise.withResolvers<Buffer>();
  const serve = async (plain: Socket): Promise<void> => {
    const conn = new Conn(tls === 'implicit' ? await secureServer(plain, context, { timeoutMs }) : plain);
    t.after(() => conn.destroy());
    const signedIn = await servers[protocol].serveSignIn(conn, {
      hostname: 'mail.test',
      allowPlain: tls === 'none',
      ...(tls === 'starttls' ? { secure: (socket: Socket) => secureServer(socket, context, { timeoutMs }) } : {}),
      bearer: true,
      lineOctets: 12_288,
      literalOctets: 4096,
      maxFailures: 3,
      verify: async (credentials) => {
        seen.push(credentials);
        return credentials.secret.reveal().startsWith('right')
          ? { type: 'accept', capabilities: ['IMAP4rev1', 'IDLE'] }
          : { type: 'refuse', error: protocolError('sasl.refused', 'wrong') };
      },
    });
    resolve(signedIn);
    if (signedIn === 'closed') return conn.end();
    // A program that pipelines sends the next command with the last of sign-in; the relay gets it untouched.
    await new Promise((done) => setImmediate(done));
    resolveRest(conn.detach().rest);
  };
  const server = createServer((plain) => void serve(plain).catch(reject));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => server.close());
  result.catch(() => undefined); // asserted by tests that let it fail
  return { port: (server.address() as AddressInfo).port, result, seen, rest };
}

const secure = (socket: Socket) => secureClient(socket, { host: 'localhost', trust: { ca }, timeoutMs });

async function enter(t: TestContext, port: number, tls: Tls): Promise<Conn> {
  const conn = await connect({ host: 'localhost', port, tls, trust: { ca }, timeoutMs });
  t.after(() => conn.destroy());
  return conn;
}

async function line(conn: Conn): Promise<string> {
  return ((await conn.line(20_000)) ?? Buffer.from('(end)')).toString();
}

/** Lines up to one that matches. */
async function until(conn: Conn, pattern: RegExp): Promise<string> {
  for (;;) {
    const text = await line(conn);
    if (pattern.test(text)) return text;
    assert.notEqual(text, '(end)', `before ${String(pattern)}`);
  }
}

const STARTTLS = { imap: 's STARTTLS', pop3: 'STLS', smtp: 'STARTTLS' };
const GOES_ON = { imap: /^s OK/, pop3: /^\+OK/, smtp: /^220 2/ };
const STEP = { imap: /^(?:\+ |a1 )/, pop3: /^(?:\+ |\+OK|-ERR)/, smtp: /^[2345]\d\d / };

/** A mail program with a password: AUTH with the mechanism, one response per challenge. */
async function passwordSignIn(conn: Conn, protocol: Protocol, name: 'PLAIN' | 'LOGIN', tls: Tls, password: string) {
  await line(conn);
  if (tls === 'starttls') {
    await conn.write(`${STARTTLS[protocol]}\r\n`);
    await until(conn, GOES_ON[protocol]);
    await conn.upgrade(secure);
  }
  const who = { user: USER, password: new Secret(password) };
  const client = name === 'PLAIN' ? plainClient(who) : loginClient(who);
  await conn.write(`${protocol === 'imap' ? 'a1 AUTHENTICATE' : 'AUTH'} ${name}\r\n`);
  let first = true;
  for (;;) {
    const answer = await until(conn, STEP[protocol]);
    if (!/^(?:\+ |334 )/.test(answer)) return answer;
    const challenge = Buffer.from(answer.replace(/^(?:\+|334) /, ''), 'base64');
    const send = first && client.initial !== undefined ? client.initial : client.next(challenge).send;
    first = false;
    await conn.write(`${encodeResponse(send)}\r\n`);
  }
}

const ACCEPTED = { imap: /^a1 OK \[CAPABILITY IMAP4rev1 IDLE\]/, pop3: /^\+OK/, smtp: /^235 2\.7\.0/ };
const REFUSED = { imap: /^a1 NO \[AUTHENTICATIONFAILED\]/, pop3: /^-ERR \[AUTH\]/, smtp: /^535 5\.7\.8/ };

for (const protocol of ['imap', 'pop3', 'smtp'] as const)
  for (const tls of ['none', 'starttls', 'implicit'] as const)
    for (const mechanism of ['PLAIN', 'LOGIN', 'XOAUTH2', 'OAUTHBEARER'] as const satisfies readonly MechanismName[])
      for (const secret of ['right', `right${'x'.repeat(2500)}`, 'wrong'])
        // RFC 9051 §6.1–6.2, §6.2.1, RFC 5321 §4.1–4.2, RFC 3207 §4.2
        test(`${protocol}, ${tls}, ${mechanism}, ${secret.length > 9 ? 'a long' : 'the'} ${secret.slice(0, 5)} secret`, async (t) => {
          const door = await openDoor(t, protocol, tls);
          const conn = await enter(t, door.port, tls);
          if (mechanism === 'PLAIN' || mechanism === 'LOGIN') {
            const answer = await passwordSignIn(conn, protocol, mechanism, tls, secret);
            assert.match(answer, (secret === 'wrong' ? REFUSED : ACCEPTED)[protocol]);
          } else {
            const signingIn = clients[protocol].signIn(conn, {
              tls,
              secure,
              user: USER,
              token: new Secret(secret),
              host: 'localhost',
              port: door.port,
              mechanisms: [mechanism],
            });
            if (secret === 'wrong') await assert.rejects(signingIn, (error) => refusedWithReport(error, mechanism));
            else assert.equal((await signingIn).mechanism, mechanism);
          }
          assert.equal(door.seen.length, 1);
          assert.equal(door.seen[0]!.user, USER);
          assert.equal(door.seen[0]!.secret.reveal(), secret);
          if (secret === 'wrong') {
            conn.end();
            assert.equal(await door.result, 'closed');
          } else assert.deepEqual(await door.result, { mechanism, user: USER });
        });

/** The report of RFC 7628 §3.2.2 came before the refusal. */
function refusedWithReport(error: unknown, mechanism: MechanismName): boolean {
  assert.ok(isError(error, 'sasl.refused'), String(error));
  const failure = error.detail['failure'] as { status: string };
  assert.equal(failure.status, mechanism === 'XOAUTH2' ? '401' : 'invalid_token');
  return true;
}

for (const protocol of ['imap', 'pop3', 'smtp'] as const)
  test(`${protocol}: what was pipelined after sign-in reaches the relay octet by octet`, async (t) => {
    const door = await openDoor(t, protocol, 'none');
    const conn = await enter(t, door.port, 'none');
    const message = Buffer.from(`\0${USER}\0right`).toString('base64');
    const tail = Buffer.concat([Buffer.from(NEXT[protocol]), Buffer.from([0, 255, 13, 10, 10, 13, 46])]);
    await conn.write(
      Buffer.concat([Buffer.from(`${protocol === 'imap' ? 'a1 AUTHENTICATE' : 'AUTH'} PLAIN ${message}\r\n`), tail]),
    );
    assert.notEqual(await door.result, 'closed');
    assert.deepEqual(await door.rest, tail);
  });

// RFC 1939 §7, RFC 9051 §4.3
test('POP3 USER and PASS keep spaces; IMAP LOGIN takes atoms, quoted strings and literals', async (t) => {
  const pop3 = await openDoor(t, 'pop3', 'none');
  await (await enter(t, pop3.port, 'none')).write('USER a b\r\nPASS right  one \r\n');
  await pop3.result;
  assert.deepEqual([pop3.seen[0]!.user, pop3.seen[0]!.secret.reveal()], ['a b', 'right  one ']);
  for (const words of ['user right', '"user" "right"', '{4+}\r\nuser {5+}\r\nright', '{4}\r\nuser "right"']) {
    const imap = await openDoor(t, 'imap', 'none');
    await (await enter(t, imap.port, 'none')).write(`a1 LOGIN ${words}\r\n`);
    assert.deepEqual(await imap.result, { mechanism: 'LOGIN', user: 'user' }, words);
    assert.equal(imap.seen[0]!.secret.reveal(), 'right');
  }
});

for (const [protocol, ...ways] of [
  [
    'imap',
    'a1 LOGIN user ""',
    'a1 LOGIN "" ""',
    'a1 LOGIN user {0+}\r\n',
    `a1 AUTHENTICATE PLAIN ${base64('\0user\0')}`,
  ],
  ['pop3', 'USER user\r\nPASS', 'USER user\r\nPASS ', `AUTH PLAIN ${base64('\0user\0')}`],
  ['smtp', `AUTH PLAIN ${base64('\0user\0')}`, `AUTH LOGIN ${base64('user')}\r\n`],
] as const)
  for (const way of ways)
    test(`B8: ${protocol}: ${way.replace(/\s+/g, ' ')}: an empty password is judged, and refused as a wrong one`, async (t) => {
      const door = await openDoor(t, protocol, 'none');
      const conn = await enter(t, door.port, 'none');
      await line(conn);
      await conn.write(`${way}\r\n`);
      assert.match(await until(conn, /^(?:a1|-ERR|\+OK signed|[25]\d\d) /), REFUSED[protocol]);
      assert.deepEqual(
        door.seen.map(({ secret }) => secret.reveal()),
        [''],
      );
    });

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

test('B12: the longest ID there is, quoted or in literals, is taken before sign-in; other lines are not as long', async (t) => {
  const fields = Array.from({ length: 30 }, (_, n) => `field-${n}`.padEnd(30, 'x'));
  const value = 'v'.repeat(1024);
  const quoted = `a ID (${fields.map((field) => `"${field}" "${value}"`).join(' ')})\r\n`;
  const literals = `b ID (${fields.map((field) => `"${field}" {1024+}\r\n${value}`).join(' ')})\r\n`;
  const conn = await enter(t, (await openDoor(t, 'imap', 'none')).port, 'none');
  await conn.line(4096);
  for (const [tag, command] of [
    ['a', quoted],
    ['b', literals],
  ] as const) {
    await conn.write(command);
    assert.match(String(await conn.line(4096)), /^\* ID /);
    assert.match(String(await conn.line(4096)), new RegExp(`^${tag} OK`));
  }
  await conn.write(`c NOOP ${'x'.repeat(20_000)}\r\n`);
  assert.match(String(await conn.line(4096)), /^\* BYE /);
});
