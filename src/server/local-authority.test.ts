/** What becomes of a local CA of which something is lost, or whose dates are wrong. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { asError, isError } from '../base/error.ts';
import { type Log, nullLog } from '../base/log.ts';
import { judgeCertificate } from '../check/home-files.ts';
import { certificateFiles, keepCertificateFresh } from './certificate.ts';
import { readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { installationFacts } from './installation-facts.ts';
import { trustTrouble } from './local-authority.ts';

const DAY = 86_400_000;

async function scene(t: TestContext, offset = 0) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-ca-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = { ...readConfig(homeOf({}, folder), {}), hostname: 'mail.example.test' };
  const clock = new ManualClock();
  const said: string[] = [];
  const log: Log = { ...nullLog, warn: (_, text) => void said.push(text), error: (_, text) => void said.push(text) };
  const first = new ManualClock();
  first.jump(offset);
  const files = await certificateFiles(config, first);
  const ca = join(config.home.tls, 'ca.pem');
  const key = join(config.home.tls, 'ca.key');
  const text = (path: string): string => readFileSync(path, 'utf8');
  return {
    config,
    clock,
    said,
    files,
    ca,
    key,
    text,
    before: { ca: text(ca), key: text(key), leaf: text(files.cert) },
    leaf: () => new X509Certificate(text(files.cert)),
    make: (name = config.hostname) => certificateFiles({ ...config, hostname: name }, clock, 'renew', log),
    warnings() {
      const kept = keepCertificateFresh(config, clock, log);
      kept.stop();
      return kept.warnings();
    },
    check: () => judgeCertificate(installationFacts(config, {}), clock.now()),
  };
}

/** What can become of a file. */
const DAMAGE: Readonly<Record<string, (path: string) => void>> = {
  gone: (path) => rmSync(path),
  empty: (path) => truncateSync(path),
  half: (path) => truncateSync(path, 200),
  zeros: (path) => writeFileSync(path, Buffer.alloc(700)),
  folder: (path) => {
    rmSync(path);
    mkdirSync(path);
  },
};

for (const [name, damage] of Object.entries(DAMAGE)) {
  if (name === 'folder') continue;
  test(`K62, K63: a ca.pem that is ${name} comes back as it was at the next start, and the key is never replaced`, async (t) => {
    const { before, ca, key, make, said, text } = await scene(t);
    damage(ca);
    await make('mail.other.test');
    assert.equal(text(key), before.key);
    assert.equal(text(ca).trim(), before.ca.trim());
    assert.match(said.join(), /ca\.pem .*: it was restored/);
  });
}

test('K62: with the chain lost as well the certificate is made again under its key, and programs that have the old one go on', async (t) => {
  const { before, ca, files, key, leaf, make, said, text } = await scene(t);
  rmSync(ca);
  rmSync(files.cert);
  rmSync(files.also!.cert);
  await make();
  assert.equal(text(key), before.key);
  assert.match(said.join(), /a new certificate of the local CA was made for its key/);
  const old = new X509Certificate(before.ca);
  assert.ok(leaf().verify(old.publicKey));
  assert.equal(leaf().issuer, old.subject);
});

for (const [name, damage] of Object.entries(DAMAGE))
  test(`K63: a ca.key that is ${name} is told by /readyz and by check, with steps that help; nothing is made in its place`, async (t) => {
    const { before, ca, check, key, make, text, warnings } = await scene(t);
    damage(key);
    await make();
    assert.match(warnings().join(), /the local CA cannot make a certificate: \S+ca\.key is/);
    const { warning } = check();
    assert.equal(warning?.id, 'home.certificate-authority');
    assert.match(warning.remedy[0]!.do, /restore ca\.pem and ca\.key .* without a backup .* mv /);
    await assert.rejects(
      make('mail.other.test'),
      (error) => isError(error, 'server.config') && /ca\.key/.test(error.message),
    );
    assert.equal(text(ca), before.ca);
    assert.notEqual(existsSync(key) && name !== 'folder' ? text(key) : '', before.key);
  });

test('K63: client-config names no ca.pem that is cut off', async (t) => {
  const { ca, clock, config } = await scene(t);
  assert.equal(trustTrouble(config.home.tls, clock.now()), undefined);
  truncateSync(ca, 200);
  assert.match(trustTrouble(config.home.tls, clock.now())!.says, /ca\.pem is empty, cut off/);
});

for (const days of [2, 400, 8000, -500, -8000])
  test(`K61, K64: an installation made with a clock ${days} days off serves a valid chain once the clock is right`, async (t) => {
    const { before, ca, check, clock, key, leaf, make, said, text } = await scene(t, days * DAY);
    if (days > 0) {
      assert.throws(check, (error) => isError(error, 'check.certificate') && /not valid before/.test(error.message));
    }
    await make();
    const authority = new X509Certificate(text(ca));
    for (const one of [leaf(), authority]) {
      assert.ok(one.validFromDate.getTime() <= clock.now(), one.validFrom);
      assert.ok(one.validToDate.getTime() > clock.now() + 300 * DAY, one.validTo);
    }
    assert.ok(leaf().verify(authority.publicKey));
    assert.equal(text(key), before.key);
    // Of a CA that was good for long, nothing changes.
    const good = days === -500;
    assert.equal(text(ca) === before.ca, good, said.join());
    if (!good)
      assert.match(said.join(), /ca\.pem (?:is not valid before|has ended on) .*a new certificate of the local CA/);
    assert.equal(check().warning, undefined);
  });

test('K64: an ended CA without its key is named as the cause', async (t) => {
  const { check, key, make } = await scene(t, -8000 * DAY);
  rmSync(key);
  await assert.rejects(make(), (error) =>
    /ca\.key is not there, and \S+ca\.pem has ended on/.test(asError(error).message),
  );
  assert.throws(check, (error) => isError(error, 'check.certificate') && /ca\.pem/.test(error.hint));
});

const OURS = ['ca.key', 'ca.pem', 'ca-before.pem', 'server.key', 'server.pem', 'server-rsa.key', 'server-rsa.pem'];
for (const lone of OURS)
  test(`Q5: where only ${lone} is left of a local CA, no other CA is made in silence`, async (t) => {
    const { before, ca, config, key, make, text } = await scene(t);
    if (lone === 'ca-before.pem') writeFileSync(join(config.home.tls, lone), before.ca);
    for (const name of readdirSync(config.home.tls)) if (name !== lone) rmSync(join(config.home.tls, name));
    if (lone === 'ca.key') {
      await make();
      assert.equal(text(key), before.key);
      return;
    }
    await assert.rejects(
      make(),
      (error) =>
        isError(error, 'server.config') && /ca\.key is not there/.test(error.message) && /mv /.test(error.hint),
    );
    assert.ok(!existsSync(key));
    // What a chain still holds of its certificate comes back, so that check and client-config show the CA that programs trust.
    if (lone === 'server-rsa.pem') assert.equal(text(ca).trim(), before.ca.trim());
  });

test('Q5: after the command that the hint names, another CA is made', async (t) => {
  const { before, config, key, make, text } = await scene(t);
  rmSync(key);
  renameSync(config.home.tls, `${config.home.tls}.old`);
  await make();
  assert.notEqual(text(key), before.key);
});

for (const name of OURS.filter((one) => one !== 'ca-before.pem'))
  test(`Q5: a folder in the place of ${name} is told as one, with the command that moves it away`, async (t) => {
    const { before, config, key, make, text } = await scene(t);
    const path = join(config.home.tls, name);
    rmSync(path);
    mkdirSync(path);
    await assert.rejects(
      make('mail.other.test'),
      (error) =>
        isError(error) &&
        /^server\.(?:config|home)$/.test(error.code) &&
        error.message.includes(`${path} is a folder`) &&
        error.hint.includes(`mv ${path} ${path}.old`),
    );
    if (name !== 'ca.key') assert.equal(text(key), before.key);
  });

for (const [kind, pair] of [
  ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['Ed25519', () => generateKeyPairSync('ed25519')],
] as const)
  test(`Q5: a ca.key of ${kind} is told as what it is, with or without ca.pem`, async (t) => {
    const { ca, check, key, make } = await scene(t);
    writeFileSync(key, pair().privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const told = (error: unknown): boolean =>
      isError(error, 'server.config') && /ca\.key holds another kind of key/.test(error.message);
    await assert.rejects(make('mail.other.test'), told);
    assert.match(JSON.stringify(check()), /another kind of key/);
    rmSync(ca);
    await assert.rejects(make('mail.other.test'), told);
  });

for (const years of [1, 9, 12])
  test(`Q5: a clock that jumps ${years} years ahead and back leaves the CA as it was`, async (t) => {
    const { before, ca, clock, key, leaf, make, said, text } = await scene(t);
    clock.jump(years * 365 * DAY);
    await make();
    if (years > 8) assert.match(said.join(), /a new certificate of the local CA was made for its key/);
    clock.jump(-years * 365 * DAY);
    await make();
    assert.equal(text(ca).trim(), before.ca.trim());
    assert.equal(text(key), before.key);
    assert.ok(leaf().verify(new X509Certificate(before.ca).publicKey));
    assert.ok(leaf().validFromDate.getTime() <= clock.now());
    if (years > 8) assert.match(said.join(), /it was restored/);
  });

test('Q1, Q5: what a crash left under the name of a temporary file is neither adopted nor does its mode stay', async (t) => {
  const { ca, config, key, make } = await scene(t);
  const left = [`${key}.new-${process.pid}`, `${key}.once-${process.pid}`, `${ca}.new-${process.pid}`];
  for (const name of readdirSync(config.home.tls)) rmSync(join(config.home.tls, name));
  for (const path of left) writeFileSync(path, 'what another process left', { mode: 0o666 });
  await make();
  assert.equal(statSync(key).mode & 0o777, 0o600);
  for (const path of left) assert.ok(existsSync(path), 'it may be of a process in another container');
  assert.equal(new X509Certificate(readFileSync(ca)).ca, true);
});
