/** Listeners of one's own: what is printed for programs is true of them, and what they leave out is said. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { hostname } from 'node:os';
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

test('P41: a printer: the list that is printed leads on, is not printed again, and the settings are those of the network', async () => {
  const first = await cli(bed.config({}), ['client-config', ALICE, '--for', 'printer']);
  const text = first.stdout.toString();
  const { listeners } = parseConfig(text.slice(text.indexOf('listeners:\n')), 'postern.yaml');
  const pasted = bed.config({ listeners, hostname: 'mail.example.com' });
  for (const more of [[], ['--host', 'postern.example.com']]) {
    const { stdout } = await cli(pasted, ['client-config', ALICE, '--for', 'printer', ...more]);
    const host = more[1] ?? 'mail.example.com';
    const settings = stdout.toString();
    assert.match(settings, new RegExp(`^SMTP server  ${host.replaceAll('.', '\\.')}  port 587  security STARTTLS`));
    assert.doesNotMatch(settings, /listeners:|localhost|IMAP/);
  }
  // The same before anything is listening: what will be right, and what to do for it.
  assert.match(text, new RegExp(`^SMTP server  ${hostname()}  port 587  security STARTTLS`));
  assert.match(first.stderr, new RegExp(`${hostname()} is what this machine calls itself; .*hostname: .*--host`));
  const reader = await cli(pasted, ['client-config', ALICE, '--for', 'printer', '--protocols', 'smtp,imap']);
  assert.match(reader.stdout.toString(), /^IMAP server  mail\.example\.com  port 993  security SSL\/TLS/m);
  assert.match(reader.stdout.toString(), /^ {2}- \{ protocol: imap, tls: implicit, host: 0\.0\.0\.0, port: 993 \}$/m);
  const local = await cli(bed.config({}), ['client-config', ALICE, '--for', 'msmtp', '--host', 'mail.example.com']);
  assert.match(local.stderr, /smtp port 1465 is open on this machine only, .* do not reach mail\.example\.com there/);
});

test('P41: the app password of a printer sends and does nothing else, from where it is allowed to', async () => {
  const config = bed.config({});
  const args = ['client-config', ALICE, '--for', 'printer', '--new-password'];
  const made = async (more: readonly string[]) => {
    const { stderr } = await cli(config, [...args, ...more]);
    const listed = await cli(config, ['password', 'list', '--json']);
    const row = (JSON.parse(listed.stdout.toString()) as { id: string; protocols: string[]; networks: string[] }[]).at(
      -1,
    )!;
    return { stderr, row };
  };
  const { stderr, row } = await made([]);
  assert.deepEqual([row.protocols, row.networks], [['smtp'], []]);
  assert.match(stderr, new RegExp(`works from anywhere\\. .*postern password revoke ${row.id}, .*--network`));
  const limited = await made(['--network', '192.168.1.40/32']);
  assert.deepEqual([limited.row.protocols, limited.row.networks], [['smtp'], ['192.168.1.40/32']]);
  assert.doesNotMatch(limited.stderr, /anywhere/);
  const none = await cli(config, args.slice(0, -1));
  assert.match(
    none.stderr,
    /postern password add --mailbox \S+ --protocols smtp --network 192\.168\.1\.40\/32 --label printer/,
  );
});

test('P41, P44: one’s own second listener is not blamed on others, and an address that is not here is named for every listener', async () => {
  const twice = { protocol: 'smtp', tls: 'starttls', host: '127.0.0.1', port: 1587 };
  const clashing = await cli(bed.config({ listeners: [twice, twice] }), ['check', '--installation'], [64]);
  assert.match(
    clashing.stderr,
    /line \d+: listeners\.1: the listener for smtp .* is in the list twice; .* in line \d+\)/,
  );
  const port = await freePort();
  const own = bed.config({
    listeners: [
      { protocol: 'imap', tls: 'implicit', host: '127.0.0.1', port },
      { protocol: 'pop3', tls: 'implicit', host: 'localhost', port },
    ],
    console: { port: 0 },
  });
  const told = await cli(own, ['serve'], [64]);
  assert.match(told.stderr, /for pop3: this Postern itself listens there already, for imap on 127\.0\.0\.1 port \d+/);
  const rules = [{ name: 'printers', networks: ['192.0.2.1'], mailbox: ALICE }];
  for (const settings of [
    { outbox: { devices: { host: '192.0.2.10', port: 0, rules } } },
    { console: { host: '192.0.2.10', port: 0, tls: true } },
    { listeners: [{ protocol: 'imap', tls: 'implicit', host: '192.0.2.10', port: 0 }] },
  ]) {
    const config = bed.config({ listeners: [{ ...twice, port: 0 }], console: { port: 0 }, ...settings });
    const { stderr } = await cli(config, ['serve'], [64, 75]);
    assert.match(
      stderr,
      /this machine does not have the address\npostern: next: .*ip -brief address; then correct 192\.0\.2\.10/,
    );
  }
});

test('P45: a program of somebody else at one of our ports is not the gateway, and check says that it cannot start', async () => {
  const foreign = createServer().listen(0, ADDRESS);
  await once(foreign, 'listening');
  const { port } = foreign.address() as AddressInfo;
  const [other, console] = [await freePort(), await freePort()];
  const listeners = [port, other].map((at) => ({ protocol: 'imap', tls: 'none', host: ADDRESS, port: at }));
  const config = bed.config({ listeners, console: { host: ADDRESS, port: console } });
  try {
    const { stdout, code } = await cli(config, ['check', '--installation'], [64]);
    assert.equal(code, 64);
    assert.match(
      stdout.toString(),
      new RegExp(
        `failed +listeners +another program answers at imap 127\\.0\\.0\\.3:${port}: the gateway does not run`,
      ),
    );
    assert.match(stdout.toString(), new RegExp(`ss -ltnp 'sport = :${port}'`));
  } finally {
    foreign.close();
  }
  const silent = await cli(config, ['check', '--installation']);
  assert.match(silent.stdout.toString(), /warning +listeners +nothing answers: the gateway does not run/);
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
