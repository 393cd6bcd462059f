/** The gateway's own certificate: made once, renewed in time, reloaded when it changes. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect } from 'node:tls';
import { systemClock } from '../base/clock.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { replyTo } from '../base/replies.ts';
import { isError } from '../base/error.ts';
import { type Log, nullLog } from '../base/log.ts';
import { createAuthority, issueCertificate } from '../protocol/tls/local-ca.ts';
import { secureServer, serverContext } from '../protocol/tls/server.ts';
import { certificateFiles, keepCertificateFresh } from './certificate.ts';
import { openCertificate, readCertificate } from './certificate-in-use.ts';
import { type Config, readConfig } from './config.ts';
import { homeOf } from './home.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;

test('made on the first run, kept, and renewed before its end by a running process', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-cert-'));
  try {
    const clock = new ManualClock();
    const config = { ...readConfig(homeOf({}, dir), {}), hostname: 'mail.example.test' };
    const files = await certificateFiles(config, clock);
    const first = readCertificate(files).cert;
    const leaf = new X509Certificate(first);
    for (const name of ['localhost', 'mail.example.test']) assert.ok(leaf.checkHost(name), name);
    assert.ok(leaf.checkIP('127.0.0.1'));
    assert.ok(leaf.verify(new X509Certificate(readFileSync(files.ca!)).publicKey));
    assert.equal(statSync(files.key).mode & 0o077, 0);
    await certificateFiles(config, clock);
    assert.equal(readCertificate(files).cert, first, 'kept');

    await clock.advance(380 * DAY);
    let changes = 0;
    const watch = await openCertificate(files, clock, nullLog);
    watch.onChange(() => (changes += 1));
    const fresh = keepCertificateFresh(config, clock, nullLog);
    await clock.advance(DAY / 2);
    for (const end = performance.now() + 20_000; performance.now() < end && readCertificate(files).cert === first;)
      await new Promise((next) => setImmediate(next));
    assert.notEqual(readCertificate(files).cert, first, 'renewed');
    assert.ok(
      new X509Certificate(readCertificate(files).cert).checkPrivateKey(
        (await import('node:crypto')).createPrivateKey(readCertificate(files).key),
      ),
    );
    watch.look();
    assert.equal(changes, 1);
    assert.equal(watch.current.cert, readCertificate(files).cert);
    fresh.stop();
    await watch[Symbol.asyncDispose]();
  } finally {
    rmSync(dir, { recursive: true });
  }
});

function configIn(t: TestContext, hostname: string): Config {
  const folder = mkdtempSync(join(tmpdir(), 'postern-cert-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return { ...readConfig(homeOf({}, folder), {}), hostname };
}

test('P23: every address that something listens on is in the certificate, which is made again when they change', async (t) => {
  const clock = new ManualClock();
  const config = configIn(t, 'mail.example.com');
  const files = await certificateFiles(config, clock);
  const named = (): string => new X509Certificate(readCertificate(files).cert).subjectAltName ?? '';
  const tls = 'implicit' as const;
  const listeners = ['192.0.2.5', '127.0.0.3', '2001:db8::7', '0.0.0.0'].map((host) => ({
    protocol: 'imap' as const,
    tls,
    host,
    port: 993,
  }));
  assert.doesNotMatch(named(), /192\.0\.2\.5/);
  const moved = { ...config, listeners, console: { ...config.console, tls: true, host: '192.0.2.6' } };
  await certificateFiles(moved, clock);
  for (const address of ['192.0.2.5', '127.0.0.3', '2001:DB8:0:0:0:0:0:7', '192.0.2.6'])
    assert.ok(named().includes(`IP Address:${address}`), `${address} in ${named()}`);
  assert.doesNotMatch(named(), /0\.0\.0\.0/);
  assert.equal(statSync(files.ca!).mode & 0o777, 0o644, 'P28: a certificate is public');
  assert.equal(statSync(files.key).mode & 0o077, 0);
});

test('W1: another name makes another leaf of the same CA; a command that only wants the CA leaves the leaf alone', async (t) => {
  const clock = new ManualClock();
  const config = configIn(t, 'old.example.test');
  const files = await certificateFiles(config, clock);
  const [cert, ca] = [readCertificate(files).cert, readFileSync(files.ca!, 'utf8')];
  for (const hostname of ['mail.example.com', 'under_score', '192.0.2.7', '2001:db8::7', 'old.example.test']) {
    await certificateFiles({ ...config, hostname }, clock, 'keep');
    const before = readCertificate(files).cert;
    await certificateFiles({ ...config, hostname }, clock);
    assert.notEqual(readCertificate(files).cert, before, hostname);
    assert.equal(readFileSync(files.ca!, 'utf8'), ca);
    const renewed = readCertificate(files).cert;
    await certificateFiles({ ...config, hostname }, clock);
    assert.equal(readCertificate(files).cert, renewed, `${hostname} is covered`);
  }
  assert.notEqual(readCertificate(files).cert, cert);
});

test('W6: our own pair, cut or emptied, is made again at the start', async (t) => {
  const clock = new ManualClock();
  const config = configIn(t, 'mail.example.test');
  const files = await certificateFiles(config, clock);
  for (const path of [files.cert, files.key])
    for (const part of [0, 100, 0.5]) {
      const whole = readFileSync(path, 'utf8');
      writeFileSync(path, whole.slice(0, part < 1 ? whole.length * part : part));
      await certificateFiles(config, clock);
      await (await openCertificate(files, clock, nullLog))[Symbol.asyncDispose]();
    }
});

/** An operator's pair and what the log says of it. */
async function watched(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-cert-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const clock = new ManualClock();
  const authority = await createAuthority('operator', clock.now());
  const issue = (days = 90, from = clock.now()) =>
    issueCertificate(authority, { names: ['mail.example.test'], days, now: from });
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem'), ca: undefined };
  const put = (pair: { certPem: string; keyPem: string }): void => {
    writeFileSync(files.cert, pair.certPem);
    writeFileSync(files.key, pair.keyPem);
  };
  const said: string[] = [];
  const log: Log = { ...nullLog, info: (_, text) => void said.push(text), warn: (_, text) => void said.push(text) };
  return { clock, files, issue, log, put, said };
}

test('W2: between its two files a renewal leaves the old pair in use, at any look; the whole new one is taken', async (t) => {
  const { clock, files, issue, log, put, said } = await watched(t);
  const [old, next] = [await issue(), await issue()];
  put(old);
  const certificate = await openCertificate(files, clock, log);
  let changes = 0;
  certificate.onChange(() => (changes += 1));
  writeFileSync(files.cert, next.certPem);
  await clock.advance(5000);
  assert.deepEqual(certificate.current, { cert: old.certPem, key: old.keyPem });
  assert.deepEqual(said, [], 'this passes by itself');
  await clock.advance(5000);
  assert.match(said.join(), /the key does not belong to the certificate .*; the certificate from before stays in use/);
  await clock.advance(60_000);
  assert.equal(said.length, 1, 'said once');
  assert.match(certificate.warnings().join(), /the key does not belong/);
  writeFileSync(files.key, next.keyPem);
  await clock.advance(5000);
  assert.deepEqual(certificate.current, { cert: next.certPem, key: next.keyPem });
  assert.equal(changes, 1);
  assert.deepEqual(certificate.warnings(), []);
  await certificate[Symbol.asyncDispose]();
});

test('W6, W11: empty, cut, missing or foreign files are refused with the reason, and said once', async (t) => {
  const { clock, files, issue, log, put, said } = await watched(t);
  const whole = await issue();
  const cut = (text: string): string => text.slice(0, text.length / 2);
  put(whole);
  const certificate = await openCertificate(files, clock, log);
  const states: [Partial<typeof whole> | undefined, RegExp][] = [
    [{ certPem: '' }, /certificate file is empty/],
    [{ certPem: cut(whole.certPem) }, /certificate file is cut off/],
    [{ certPem: 'hello' }, /holds no PEM certificate/],
    [{ certPem: whole.certPem.replace(/[A-Za-z0-9+/]{64}\n/, '\n') }, /damaged or cut off/],
    [{ keyPem: '' }, /key file is empty/],
    [{ keyPem: cut(whole.keyPem) }, /key file is damaged, cut off/],
    [{ keyPem: (await issue()).keyPem }, /key does not belong/],
    [undefined, /the key file \S+ is not there/],
  ];
  for (const [change, words] of states) {
    if (change === undefined) rmSync(files.key);
    else put({ ...whole, ...change });
    const looked = certificate.look();
    assert.ok(isError(looked) && words.test(looked.message), `${String(words)}: ${String(looked)}`);
    said.length = 0;
    await clock.advance(60_000);
    assert.equal(said.filter((text) => words.test(text)).length, 1, said.join('\n'));
    assert.deepEqual(certificate.current, { cert: whole.certPem, key: whole.keyPem });
  }
  put(whole);
  assert.equal(certificate.look(), 'unchanged');
  put(await issue());
  assert.equal(certificate.look(), 'replaced');
  await certificate[Symbol.asyncDispose]();
});

test('K61: a pair that is not valid yet is not taken before its time; at the start it serves with a warning', async (t) => {
  const { clock, files, issue, log, put, said } = await watched(t);
  const [now, later] = [await issue(), await issue(90, clock.now() + 3 * HOUR)];
  put(now);
  const certificate = await openCertificate(files, clock, log);
  put(later);
  await clock.advance(60_000);
  assert.equal(certificate.current.cert, now.certPem);
  const words = /is not valid before 2026-11-21; the certificate from before stays in use/;
  assert.match(certificate.warnings().join(), words);
  assert.equal(said.filter((text) => words.test(text)).length, 1, said.join());
  const fromStart = await openCertificate(files, clock, log);
  assert.equal(fromStart.current.cert, later.certPem);
  assert.match(fromStart.warnings().join(), /is not valid before 2026-11-21; mail programs refuse it until then/);
  await clock.advance(2 * HOUR);
  assert.equal(certificate.current.cert, later.certPem);
  assert.deepEqual([...certificate.warnings(), ...fromStart.warnings()], []);
  await certificate[Symbol.asyncDispose]();
  await fromStart[Symbol.asyncDispose]();
});

test('W2: at the start it waits for a whole pair, and gives up with a failure that passes by itself', async (t) => {
  const { clock, files, issue, log, put, said } = await watched(t);
  const [old, next] = [await issue(), await issue()];
  put({ ...old, keyPem: next.keyPem });
  const opening = openCertificate(files, clock, log);
  await clock.advance(3000);
  put(next);
  await clock.advance(1000);
  const certificate = await opening;
  assert.equal(certificate.current.cert, next.certPem);
  assert.equal(said.length, 1);
  await certificate[Symbol.asyncDispose]();

  put({ ...old, keyPem: next.keyPem });
  const hopeless = assert.rejects(
    openCertificate(files, clock, log),
    (error: unknown) => isError(error, 'server.certificate') && error.kind === 'later',
  );
  await clock.advance(15_000);
  await hopeless;
});

test('D24: a certificate or key that is missing at the start passes by itself too, and is called what it is', async (t) => {
  const { clock, files, issue, log, put } = await watched(t);
  put(await issue());
  for (const [path, words] of [
    [files.key, /^the key file .* is not there$/],
    [files.cert, /^the certificate file .* is not there$/],
  ] as const) {
    rmSync(path);
    const hopeless = assert.rejects(
      openCertificate(files, clock, log),
      (error: unknown) =>
        isError(error, 'server.certificate') && words.test(error.message) && replyTo(error).exit === 75,
    );
    await clock.advance(15_000);
    await hopeless;
  }
});

test('W11: a certificate that ends soon or has ended is in the log, once a day, and among the warnings', async (t) => {
  const { clock, files, issue, log, put, said } = await watched(t);
  put(await issue(20));
  const certificate = await openCertificate(files, clock, log);
  assert.deepEqual(certificate.warnings(), []);
  await clock.advance(10 * DAY);
  assert.match(certificate.warnings().join(), /ends in 9 days|ends in 10 days/);
  assert.ok(said.length >= 3 && said.length <= 6, said.join('\n'));
  await clock.advance(11 * DAY);
  assert.match(certificate.warnings().join(), /has expired/);
  assert.match(said.at(-1)!, /has expired/);
  await certificate[Symbol.asyncDispose]();
});

test('F30: programs that know only RSA and those that know only ECDSA both get a certificate of the local CA', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'postern-rsa-'));
  t.after(() => rmSync(home, { recursive: true }));
  const files = await certificateFiles(readConfig(homeOf({ HOME: home }, home), {}), systemClock);
  const context = serverContext(readCertificate(files));
  const server = createServer((socket) => {
    secureServer(socket, context, { timeoutMs: 5000 }).then(
      (secure) => secure.end(),
      () => undefined,
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  for (const kind of ['RSA', 'ECDSA']) {
    const ciphers = `ECDHE-${kind}-AES128-GCM-SHA256`;
    const ca = readFileSync(files.ca!, 'utf8');
    const client = connect({ port, host: '127.0.0.1', ciphers, maxVersion: 'TLSv1.2', ca, servername: 'localhost' });
    await once(client, 'secureConnect');
    assert.equal(client.getCipher().name, ciphers);
    assert.equal(client.authorized, true);
    client.destroy();
  }
  const old = connect({
    port,
    host: '127.0.0.1',
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'ALL:@SECLEVEL=0',
  });
  await assert.rejects(once(old, 'secureConnect'));
});
