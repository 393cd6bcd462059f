/** The gateway's own certificate: made once, renewed in time, reloaded when it changes. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { nullLog } from '../base/log.ts';
import { certificateFiles, keepCertificateFresh } from './certificate.ts';
import { openCertificate, readCertificate } from './certificate-in-use.ts';
import { readConfig } from './config.ts';
import { homeOf } from './home.ts';

const DAY = 86_400_000;

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
    for (let i = 0; i < 200 && readCertificate(files).cert === first; i++)
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
