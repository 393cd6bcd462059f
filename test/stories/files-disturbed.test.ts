/** Database and certificate files that go, come and are half written under the real `serve`. */
import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { postern } from '../bed/postern.ts';
import { until } from '../bed/running-serve.ts';
import { PLAIN, ServeBed } from '../bed/serve-bed.ts';
import { Wire } from '../bed/wire.ts';

let bed: ServeBed;
before(async () => {
  bed = await ServeBed.open();
});
after(async () => {
  await bed?.close();
});

test('L22: the database deleted under a running server: it ends for its supervisor, and no command makes an empty one', async () => {
  const database = join(bed.home.path, 'postern.db');
  for (const workers of [1, 2]) {
    const one = await bed.start({ ...PLAIN, workers }).ready();
    for (const end of ['', '-wal', '-shm']) renameSync(`${database}${end}`, `${database}${end}.kept`);
    await until('not ready', async () => one.over !== undefined || !(await one.isReady().catch(() => false)), 10_000);
    assert.deepEqual(await one.within(20_000), { code: 75, signal: null }, one.log);
    assert.match(one.log, /database file .* was deleted/);
    const listed = await postern(bed.home.path, ['mailbox', 'list'], { accept: [64] });
    assert.match(listed.stderr, /the database .* is missing/);
    const again = bed.start(PLAIN);
    assert.equal((await again.within(20_000)).code, 64);
    for (const end of ['', '-wal', '-shm']) renameSync(`${database}${end}.kept`, `${database}${end}`);
  }
  const healed = await bed.start(PLAIN).ready();
  assert.equal((await bed.alice(healed.imap)).answer, 'OK');
  await healed.stop();
});

test('H1: the log of the database deleted under a running server: it ends before much is lost', async () => {
  const one = await bed.start(PLAIN).ready();
  for (const end of ['-wal', '-shm']) rmSync(join(bed.home.path, `postern.db${end}`));
  assert.deepEqual(await one.within(20_000), { code: 75, signal: null }, one.log);
  assert.match(one.log, /a file of the open database, .*-wal was deleted/);
  const again = await bed.start(PLAIN).ready();
  assert.equal((await bed.alice(again.imap)).answer, 'OK');
  await again.stop();
});

test('R1: the lock file removed under a running server: a second one is never beside it for longer than a few seconds', async () => {
  const lockFile = join(bed.home.path, 'postern.db.serve');
  const one = await bed.start(PLAIN).ready();
  rmSync(lockFile);
  // Sooner than the first looks, or later: either it has the lock again, or it ends for its supervisor.
  const two = bed.start(PLAIN);
  const first = await Promise.race([one, two].map(async (server) => ({ server, ...(await server.within(30_000)) })));
  assert.equal(first.code, 64, first.server.log);
  assert.match(first.server.log, /another `postern serve` \(process \d+\) runs/);
  const left = first.server === one ? two : one;
  await left.ready();
  assert.equal((await bed.alice(left.imap)).answer, 'OK');
  await left.stop();
});

test('W1, W2, W6: another name, half-written and emptied certificate files: programs always get a whole handshake', async () => {
  const cert = join(bed.scratch.path, 'cert.pem');
  const key = join(bed.scratch.path, 'key.pem');
  writeFileSync(cert, bed.sandbox.serverCertificate.cert);
  writeFileSync(key, '');
  const settings = {
    ...PLAIN,
    hostname: 'mail.example.com',
    console: { port: 0, tls: true },
    tls: { certificate: cert, key },
    workers: 2,
    listeners: [{ protocol: 'imap', tls: 'implicit', port: 0 }],
  };
  const one = bed.start(settings);
  await until(
    'it waits',
    () => /the key file is empty.*waiting/.test(one.log),
    20_000,
    () => one.log,
  );
  writeFileSync(key, bed.sandbox.serverCertificate.key);
  await one.ready();
  const greeted = async (): Promise<void> => {
    for (const port of [one.imap, one.console]) {
      const wire = await Wire.open({ host: 'localhost', port }, bed.sandbox.caPem);
      if (port === one.imap) await wire.until(/^\* OK/);
      wire.destroy();
    }
  };
  await greeted();
  for (const broken of ['', bed.sandbox.serverCertificate.cert.slice(0, 300)]) {
    writeFileSync(cert, broken);
    const said = one.log.length;
    one.signal('SIGHUP');
    await until(
      'it is refused',
      () => /certificate files cannot be used/.test(one.log.slice(said)),
      5000,
      () => one.log,
    );
    const [victim] = one.workers();
    process.kill(victim!, 'SIGKILL');
    await until('replaced', () => !one.workers().includes(victim!) && one.workers().length === 2, 15_000);
    await until(
      'greeted',
      () =>
        greeted().then(
          () => true,
          () => false,
        ),
      15_000,
    );
  }
  assert.deepEqual(await one.stop(), { code: 0, signal: null });
  const hopeless = bed.start(settings);
  assert.equal((await hopeless.within(30_000)).code, 75, hopeless.log);

  // The local CA's own, after the machine got another name.
  for (const hostname of ['one.example.com', 'two.example.com']) {
    const named = await bed.start(PLAIN, { POSTERN_HOSTNAME: hostname }).ready();
    assert.equal((await named.stop()).code, 0);
  }
  rmSync(cert);
});
