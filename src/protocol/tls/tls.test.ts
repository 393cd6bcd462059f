/** TLS both ways over loopback: trust, pins, resumption, certificates replaced while running, and every way to fail. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcp, type AddressInfo, type Server, type Socket } from 'node:net';
import { before, test, type TestContext } from 'node:test';
import { createServer as createTls, type SecureVersion, TLSSocket } from 'node:tls';
import { isError } from '../../base/error.ts';
import type { TlsPolicy } from '../../base/tls-policy.ts';
import type { Conn } from '../wire/conn.ts';
import { connect, type ConnectOptions, secureClient } from './connect.ts';
import { type CertificateAuthority, createAuthority, issueCertificate } from './local-ca.ts';
import { secureServer, serverContext } from './server.ts';

const DAY = 86_400_000;

let authority: CertificateAuthority;
let leaf: CertificateAuthority;
let trust: TlsPolicy;

before(async () => {
  authority = await createAuthority('TLS tests');
  leaf = await issueCertificate(authority, { names: ['localhost', '127.0.0.1'], days: 2 });
  trust = { ca: authority.certPem };
});

async function listen(t: TestContext, server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => open.delete(socket)); // clients of these tests leave in the middle
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function tlsServer(t: TestContext, version: SecureVersion, pair: CertificateAuthority = leaf): Promise<number> {
  const options = { cert: pair.certPem, key: pair.keyPem, minVersion: version, maxVersion: version };
  return listen(
    t,
    createTls(options, (socket) => {
      socket.on('error', () => socket.destroy());
      socket.on('data', () => socket.write('again\r\n'));
      socket.write('hello\r\n');
    }),
  );
}

/** Two round trips, so that TLS 1.3 tickets have come; gives whether the session was resumed. */
async function visit(port: number, policy: TlsPolicy): Promise<boolean> {
  const conn = await reach({ port, trust: policy });
  assert.equal((await conn.line(100))?.toString(), 'hello');
  await conn.write('more\r\n');
  assert.equal((await conn.line(100))?.toString(), 'again');
  const { socket } = conn.detach();
  assert.equal(socket.listenerCount('session'), 0, 'nothing of the handshake stays with the relay');
  assert.ok(socket instanceof TLSSocket);
  const reused = socket.isSessionReused();
  socket.destroy();
  return reused;
}

function reach(options: Partial<ConnectOptions> & { readonly port: number }): Promise<Conn> {
  return connect({ host: 'localhost', tls: 'implicit', trust, timeoutMs: 5000, ...options });
}

function fails(code: string, words?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isError(error), String(error));
    assert.equal(error.code, code, error.message);
    if (words) assert.match(`${error.message} ${error.hint}`, words);
    return true;
  };
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: the second connection resumes the session`, async (t) => {
    const port = await tlsServer(t, version);
    const reused = [await visit(port, trust), await visit(port, trust), await visit(port, trust)];
    assert.deepEqual(reused, [false, true, true]);
  });

  test(`${version}: a pinned fingerprint is enough, also when resumed; a wrong one never is`, async (t) => {
    const port = await tlsServer(t, version);
    const pin = new X509Certificate(leaf.certPem).fingerprint256;
    assert.deepEqual(
      [await visit(port, { fingerprints: [pin] }), await visit(port, { fingerprints: [pin] })],
      [false, true],
    );
    for (let n = 0; n < 3; n++)
      await assert.rejects(
        reach({ port, trust: { fingerprints: ['00'.repeat(32)] } }),
        fails('tls.untrusted', /pin sha256/),
      );
    // What was stored under one policy is no proof under another.
    await assert.rejects(reach({ port, trust: {} }), fails('tls.untrusted', /unknown CA/));
  });

  test(`${version}: an unknown CA, an expired certificate and a wrong name are told apart`, async (t) => {
    await assert.rejects(reach({ port: await tlsServer(t, version), trust: {} }), fails('tls.untrusted', /unknown CA/));
    const old = await issueCertificate(authority, { names: ['localhost'], days: 1, now: Date.now() - 9 * DAY });
    await assert.rejects(reach({ port: await tlsServer(t, version, old) }), fails('tls.untrusted', /expired/));
    const other = await issueCertificate(authority, { names: ['mail.other.test'], days: 1 });
    await assert.rejects(reach({ port: await tlsServer(t, version, other) }), fails('tls.untrusted', /another name/));
  });
}

test('an address is checked against the certificate as well', async (t) => {
  const conn = await reach({ host: '127.0.0.1', port: await tlsServer(t, 'TLSv1.3') });
  conn.destroy();
});

test('TLS 1.1 is refused', async (t) => {
  const options = { cert: leaf.certPem, key: leaf.keyPem, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } as const;
  const port = await listen(t, createTls({ ...options, ciphers: 'DEFAULT@SECLEVEL=0' }));
  await assert.rejects(reach({ port }), fails('tls.failed'));
});

test('a port that does not speak TLS is named as such', async (t) => {
  const port = await listen(
    t,
    createTcp((socket) => void socket.write('220 mail.test ESMTP\r\n')),
  );
  await assert.rejects(reach({ port }), fails('tls.failed', /does not speak TLS.*STARTTLS/));
});

test('a name that does not exist, a closed port and silence are told apart', async (t) => {
  await assert.rejects(reach({ host: 'nowhere.invalid', port: 993 }), fails('wire.unreachable', /DNS/));
  const gone = createTcp();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => gone.close(resolve));
  await assert.rejects(reach({ host: '127.0.0.1', port }), fails('wire.unreachable', /refused/));
  const silent = await listen(t, createTcp());
  await assert.rejects(reach({ port: silent, timeoutMs: 100 }), fails('tls.failed', /did not finish/));
});

test('a server that hangs up in the handshake, and an abort', async (t) => {
  const port = await listen(
    t,
    createTcp((socket) => void socket.once('data', () => socket.destroy())),
  );
  await assert.rejects(reach({ port }), fails('tls.failed'));
  const silent = await listen(t, createTcp());
  const stop = new AbortController();
  const waiting = reach({ port: silent, signal: stop.signal });
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(reach({ port: silent, signal: stop.signal }), /enough/);
});

test('STARTTLS: a plain connection turns to TLS on both sides', async (t) => {
  const context = serverContext({ cert: leaf.certPem, key: leaf.keyPem });
  const port = await listen(
    t,
    createTcp((socket) => {
      void secureServer(socket, context, { timeoutMs: 5000 }).then((secured) => secured.write('inside\r\n'));
    }),
  );
  const conn = await reach({ port, tls: 'starttls' });
  assert.equal(conn.encrypted, false);
  await conn.upgrade((plain) => secureClient(plain, { host: 'localhost', trust, timeoutMs: 5000 }));
  assert.equal(conn.encrypted, true);
  assert.equal((await conn.line(100))?.toString(), 'inside');
  conn.destroy();
});

test('a replaced certificate serves new handshakes; a broken one leaves the old in use', async (t) => {
  const context = serverContext({ cert: leaf.certPem, key: leaf.keyPem });
  const port = await listen(
    t,
    createTcp((socket) => void secureServer(socket, context, { timeoutMs: 5000 }).catch(() => socket.destroy())),
  );
  const seen = async (): Promise<string> => {
    const conn = await reach({ port });
    const { fingerprint256 } = (conn.socket as TLSSocket).getPeerCertificate();
    conn.destroy();
    return fingerprint256;
  };
  const first = await seen();
  assert.equal(first, new X509Certificate(leaf.certPem).fingerprint256);
  const next = await issueCertificate(authority, { names: ['localhost'], days: 2 });
  assert.throws(() => context.replace({ cert: next.certPem, key: leaf.keyPem }), fails('tls.certificate'));
  assert.throws(() => context.replace({ cert: 'nothing', key: 'nothing' }), fails('tls.certificate'));
  assert.equal(await seen(), first);
  context.replace({ cert: next.certPem, key: next.keyPem });
  assert.equal(await seen(), new X509Certificate(next.certPem).fingerprint256);
});

for (const roomy of [false, true]) {
  test(`the server half gives up on a client that is silent, leaves or speaks no TLS (${roomy ? 'large' : 'small'} buffer)`, async (t) => {
    const context = serverContext({ cert: leaf.certPem, key: leaf.keyPem });
    const outcomes: Promise<unknown>[] = [];
    const port = await listen(
      t,
      createTcp((socket) => void outcomes.push(secureServer(socket, context, { timeoutMs: 200, roomy }))),
    );
    for (const behave of [
      (): void => undefined,
      (conn: Conn) => conn.destroy(),
      (conn: Conn) => void conn.write('a NOOP\r\n').catch(() => undefined), // it may be gone already
    ]) {
      const conn = await reach({ port, tls: 'none' });
      while (outcomes.length === 0) await new Promise((resolve) => setImmediate(resolve));
      const outcome = outcomes.shift()!;
      behave(conn);
      await assert.rejects(outcome, fails('tls.program'));
      conn.destroy();
    }
  });

  test(`S14: a probe that says nothing, or half a hello, and ends its side is let go at once (${roomy ? 'large' : 'small'} buffer)`, async (t) => {
    const context = serverContext({ cert: leaf.certPem, key: leaf.keyPem });
    const outcomes: Promise<unknown>[] = [];
    const accept = (socket: Socket): void =>
      void outcomes.push(secureServer(socket, context, { timeoutMs: 60_000, roomy }));
    const port = await listen(t, createTcp({ allowHalfOpen: true }, accept));
    // A handshake record of 512 octets (RFC 8446 §5.1) of which five come.
    for (const said of ['', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03']) {
      const probe = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
      probe.end(said, 'latin1');
      const closed = once(probe.resume(), 'close');
      while (outcomes.length === 0) await new Promise((resolve) => setImmediate(resolve));
      await assert.rejects(outcomes.shift()!, fails('tls.program'));
      await closed;
    }
  });

  test(`a megabyte arrives whole through the server half (${roomy ? 'large' : 'small'} buffer)`, async (t) => {
    const context = serverContext({ cert: leaf.certPem, key: leaf.keyPem });
    const digests: Promise<string>[] = [];
    const read = async (socket: Socket): Promise<string> => {
      const hash = createHash('sha256');
      for await (const chunk of await secureServer(socket, context, { timeoutMs: 5000, roomy }))
        hash.update(chunk as Buffer);
      return hash.digest('hex');
    };
    const port = await listen(
      t,
      createTcp((socket) => void digests.push(read(socket))),
    );
    const octets = randomBytes(1024 * 1024);
    const conn = await reach({ port });
    await conn.write(octets);
    conn.end();
    while (digests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await digests[0], createHash('sha256').update(octets).digest('hex'));
  });
}

test('a CA that is no PEM is told before anything is sent', async () => {
  await assert.rejects(
    reach({ port: 1, trust: { ca: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' } }),
    fails('tls.untrusted', /PEM/),
  );
});
