/** Listeners of one's own: what is printed for programs is true of them, and what they leave out is said. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseConfig } from '../../src/server/config.ts';
import { ALICE } from '../bed/mail-site.ts';
import { runProgram } from '../bed/process.ts';
import { ServeBed } from '../bed/serve-bed.ts';

const ADDRESS = '127.0.0.3';
let bed: ServeBed;

before(async () => {
  bed = await ServeBed.open();
});
after(() => bed?.close());

async function freePort(): Promise<number> {
  const server = createServer().listen(0, ADDRESS);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function cli(config: string, args: readonly string[], accept: readonly number[] = [0]) {
  return bed.home.cli(args, { accept, env: { POSTERN_CONFIG: config } });
}

test('P23, P26, P28: listeners on an address of their own: printed settings work, check agrees, what is left out is said', async () => {
  const port = await freePort();
  const config = bed.config({
    listeners: [{ protocol: 'imap', tls: 'implicit', host: ADDRESS, port }],
    console: { port: 0 },
  });
  const before = await cli(config, ['client-config', ALICE, '--for', 'curl']);
  assert.match(before.stderr, /certificate is not for 127\.0\.0\.3 .*start postern serve again, which makes one/);
  const running = await bed.start(config).ready();
  const { stdout, stderr } = await cli(config, ['client-config', ALICE, '--for', 'curl']);
  assert.doesNotMatch(stderr, /certificate is not for/);
  const read = stdout
    .toString()
    .split('\n')
    .find((line) => line.includes('INBOX'))!;
  assert.match(read, new RegExp(`imaps://127\\.0\\.0\\.3:${port}/`));
  const mail = await runProgram('sh', ['-ec', read], { env: { POSTERN_APP_PASSWORD: bed.home.password } });
  assert.match(mail.stdout.toString(), /^Subject: /m);

  const other = await cli(config, ['client-config', ALICE, '--for', 'curl', '--host', 'mail.example.com']);
  assert.match(other.stderr, /certificate is not for mail\.example\.com .*set hostname: mail\.example\.com/);
  assert.match(
    other.stderr,
    /no outgoing server \(smtp\): .*add: - \{ protocol: smtp, tls: implicit, host: 127\.0\.0\.1, port: 1465 \}/,
  );
  const none = await cli(config, ['client-config', ALICE, '--for', 'msmtp'], [64]);
  assert.match(none.stderr, /the gateway has no listener for smtp[^]*add: - \{ protocol: smtp/);

  const checked = await cli(
    config,
    ['check', '--installation'],
    Array.from({ length: 128 }, (_, code) => code),
  );
  assert.doesNotMatch(checked.stdout.toString(), /certificate.*not for/);
  assert.match(
    checked.stdout.toString(),
    /replaces the default list; of that these are not open: imap 127\.0\.0\.1:1143, /,
  );
  assert.match(running.log, /replaces the default list; of that these are not open: imap 127\.0\.0\.1:1143, /);
  await running.kill();
});

test('P26: the list printed for a printer has the default listeners too, and is a configuration', async () => {
  const config = bed.config({});
  const { stdout } = await cli(config, ['client-config', ALICE, '--for', 'printer', '--security', 'starttls']);
  const text = stdout.toString();
  // The block as somebody would copy it.
  const { listeners } = parseConfig(text.slice(text.indexOf('listeners:\n')), 'postern.yaml');
  assert.deepEqual(
    listeners.map(({ port }) => port),
    [1143, 1993, 1110, 1995, 1587, 1465, 587],
  );
});

test('P28: where only the owner can read the CA, the command that copies it is printed, and the copy is what programs are told', async () => {
  const config = bed.config({});
  chmodSync(bed.home.path, 0o700);
  const ca = join(bed.home.path, 'tls', 'ca.pem');
  const { stderr } = await cli(config, ['client-config', ALICE, '--for', 'mbsync']);
  assert.match(stderr, new RegExp(`sudo install -m 644 ${ca} /usr/local/share/postern-ca\\.pem, and give --ca-file`));
  const copy = join(bed.scratch.path, 'copy.pem');
  const early = await cli(config, ['client-config', ALICE, '--for', 'mbsync', '--ca-file', copy]);
  assert.match(early.stderr, /copy\.pem is not there yet: sudo install -m 644 /);
  await runProgram('install', ['-m', '644', ca, copy]);
  const { stdout, stderr: said } = await cli(config, ['client-config', ALICE, '--for', 'mbsync', '--ca-file', copy]);
  assert.ok(stdout.toString().includes(`CertificateFile "${copy}"`), stdout.toString());
  assert.doesNotMatch(said, /install/);
  assert.match(readFileSync(copy, 'utf8'), /BEGIN CERTIFICATE/);
});
