/**
 * Accepting mail durably: our outbox by SMTP and by HTTP against Postfix's queue, on the same disk, interleaved.
 *
 *   npm run bench -- accept [--repeats 3]
 *
 * Ten connections, messages of 4 KiB, plain text on loopback. Postfix takes mail without sign-in and does not deliver; our
 * mailbox is held, so that nothing is delivered either.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createApiKey } from '../src/access/api-key.ts';
import { createAppPassword } from '../src/access/app-password.ts';
import { addApplication } from '../src/oauth/application.ts';
import { connectMailbox } from '../src/onboard/connect-mailbox.ts';
import { startSandbox } from '../src/sandbox/index.ts';
import { readConfig } from '../src/server/config.ts';
import { homeOf } from '../src/server/home.ts';
import { ensureKey, openInstance } from '../src/server/instance.ts';
import { makeCertificates } from '../test/bed/certificates.ts';
import { type Postfix, startPostfix } from '../test/bed/postfix.ts';
import { privateFolder } from '../test/bed/process.ts';
import { editMailbox } from '../src/store/edit.ts';

const root = join(import.meta.dirname, '..');
const mailbench = join(import.meta.dirname, 'load/build/mailbench');
const CONNECTIONS = 10;
const OCTETS = 4096;
const SECONDS = 5;
const USER = 'alice@contoso.test';
const OURS = { host: '127.0.0.22', smtp: 22587, console: 22793 };

export async function benchAccept(repeats: number): Promise<void> {
  // On the disk that results are written to, not in a memory file system.
  mkdirSync(join(import.meta.dirname, 'results'), { recursive: true });
  const lab = mkdtempSync(join(import.meta.dirname, 'results', 'accept-'));
  const home = join(lab, 'home');
  const { apiKey, password } = await furnish(home);
  const postfix = await startQueue();
  const serving = startGateway(lab, home);
  try {
    await Promise.all([reachable(OURS.host, OURS.smtp), reachable(OURS.host, OURS.console)]);
    const rates: Record<'postfix' | 'smtp' | 'http, JSON' | 'http, raw', number[]> = {
      postfix: [],
      smtp: [],
      'http, JSON': [],
      'http, raw': [],
    };
    // A gateway runs for weeks: what its compiler needs a few seconds for is not what is measured.
    smtp('warm-up, smtp', ours(password));
    await http(apiKey, SECONDS, 'json');
    await http(apiKey, SECONDS, 'raw');
    for (let repeat = 0; repeat < repeats; repeat++) {
      rates.postfix.push(smtp('postfix', ['-h', '127.0.0.1', '-p', String(postfix.ports.submission), '-a', 'none']));
      rates.smtp.push(smtp('postern smtp', ours(password)));
      rates['http, JSON'].push(await http(apiKey, SECONDS, 'json'));
      rates['http, raw'].push(await http(apiKey, SECONDS, 'raw'));
    }
    process.stdout.write(
      '\n| accepted durably, 4 KiB, 10 connections | messages/s | ratio to Postfix |\n|---|---|---|\n',
    );
    // Round by round: the speed of a shared machine changes from one minute to the next, for all of them together.
    for (const [name, all] of Object.entries(rates)) {
      const ratios = all.map((rate, round) => rate / rates.postfix[round]!);
      const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
      process.stdout.write(`| ${name} | ${median(all).toFixed(0)} | ${median(ratios).toFixed(2)} (${range}) |\n`);
    }
  } finally {
    serving.kill('SIGTERM');
    await postfix.stop();
    rmSync(lab, { recursive: true, force: true });
  }
}

async function furnish(path: string): Promise<{ readonly apiKey: string; readonly password: string }> {
  const sandbox = await startSandbox({});
  const config = readConfig(homeOf({}, path), {});
  await ensureKey(config);
  const instance = await openInstance({ config });
  const application = await addApplication(instance, {
    name: 'bench',
    provider: 'microsoft',
    clientId: sandbox.clients.public.id,
    tenant: sandbox.tenantId,
    settings: { authority: sandbox.authority, ca: sandbox.caPem },
  });
  await connectMailbox(instance, {
    application,
    address: USER,
    protocols: ['smtp'],
    flow: 'authorization-code',
    redirect: { uri: 'http://localhost/', wait: (url) => sandbox.approve(url), close: () => Promise.resolve() },
  });
  await editMailbox(instance.store, USER, () => ({ outgoing: 'outbox', sendAs: ['a@example.test'] }));
  await instance.outbox.holdMailbox(USER, 'bench', 'only acceptance is measured');
  const scope = { label: 'bench', mailboxes: ['*'], networks: [] };
  const { password } = await createAppPassword(instance, { ...scope, protocols: ['smtp'] });
  const { key } = await createApiKey(instance, { ...scope, actions: ['*'] });
  await instance.close();
  await sandbox.close();
  return { apiKey: key.reveal(), password: password.reveal() };
}

function startGateway(lab: string, home: string): ChildProcess {
  const config = join(lab, 'postern.yaml');
  const listener = { protocol: 'smtp', tls: 'none', host: OURS.host, port: OURS.smtp };
  writeFileSync(config, JSON.stringify({ listeners: [listener], console: { host: OURS.host, port: OURS.console } }));
  const args = ['--disable-warning=ExperimentalWarning', join(root, 'dist/cli/main.js'), '--home', home, 'serve'];
  return spawn(process.execPath, args, { stdio: 'ignore', env: { ...process.env, POSTERN_CONFIG: config } });
}

/** Takes mail from loopback for anybody, durably as Debian's does, and keeps it: delivery is not what is measured. */
async function startQueue(): Promise<Postfix> {
  const folder = privateFolder();
  return startPostfix({
    certificates: await makeCertificates(folder.path),
    users: [],
    sasl: 1,
    lmtp: 1,
    insecurePlain: true,
    settings: [
      'mynetworks = 127.0.0.0/8',
      'smtpd_sasl_auth_enable = no',
      'smtpd_recipient_restrictions = permit_mynetworks, reject',
      'smtpd_relay_restrictions = permit_mynetworks, reject',
      'smtpd_sender_restrictions =',
      'smtpd_sender_login_maps =',
      'virtual_mailbox_domains =',
      'default_transport = smtp',
      'defer_transports = smtp',
      'in_flow_delay = 0',
    ],
  });
}

const ours = (password: string): readonly string[] => [
  '-h',
  OURS.host,
  '-p',
  String(OURS.smtp),
  '-a',
  'plain',
  '-u',
  USER,
  '-w',
  password,
];

/** Messages per second. */
function smtp(name: string, target: readonly string[]): number {
  const common = [
    '-P',
    'smtp',
    '-t',
    'plain',
    '-c',
    String(CONNECTIONS),
    '-d',
    String(SECONDS),
    '--size',
    String(OCTETS),
  ];
  const run = spawnSync(mailbench, ['send', ...common, ...target], { encoding: 'utf8', timeout: 60_000 });
  const { ops_s: rate, errors } = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as {
    ops_s: number;
    errors: number;
  };
  process.stderr.write(`${name}: ${rate.toFixed(0)}/s, ${errors} errors\n`);
  return rate;
}

/** Messages per second by `POST /v1/messages`: fields as JSON, or a finished message. */
async function http(key: string, seconds: number, as: 'json' | 'raw'): Promise<number> {
  const line = 'x'.repeat(76);
  const lines = Math.floor((OCTETS - 300) / (line.length + 1));
  const head = `From: ${USER}\r\nTo: bob@example.com\r\nSubject: bench\r\n\r\n`;
  const body =
    as === 'raw'
      ? `${head}${`${line}\r\n`.repeat(lines)}`
      : JSON.stringify({ from: USER, to: ['bob@example.com'], subject: 'bench', text: `${line}\n`.repeat(lines) });
  const request = Buffer.from(
    `POST /v1/messages HTTP/1.1\r\nHost: ${OURS.host}\r\nAuthorization: Bearer ${key}\r\n` +
      `Content-Type: ${as === 'raw' ? 'message/rfc822' : 'application/json'}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const started = performance.now();
  const end = started + seconds * 1000;
  const counts = await Promise.all(Array.from({ length: CONNECTIONS }, () => postAgain(request, end)));
  const rate = counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - started) / 1000);
  process.stderr.write(`postern http ${as}: ${rate.toFixed(0)}/s\n`);
  return rate;
}

/** The same request on one connection until `end`. An HTTP library here would take from the gateway what it is to be measured with. */
function postAgain(request: Buffer, end: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    let unread = '';
    const socket = connect(OURS.console, OURS.host, () => socket.write(request));
    socket.setNoDelay(true);
    socket.on('error', reject);
    socket.on('data', (octets) => {
      unread += octets.toString('latin1');
      const head = unread.indexOf('\r\n\r\n');
      const length = /^content-length: (\d+)/im.exec(unread)?.[1];
      if (head === -1 || unread.length < head + 4 + Number(length)) return;
      if (!unread.startsWith('HTTP/1.1 202 ') || length === undefined) reject(new Error(unread.slice(0, 600)));
      unread = '';
      count += 1;
      if (performance.now() < end) socket.write(request);
      else socket.end(() => resolve(count));
    });
  });
}

async function reachable(host: string, port: number): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end;) {
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, host, () => {
        socket.destroy();
        done(true);
      });
      socket.on('error', () => done(false));
    });
    if (open) return;
    await new Promise((again) => setTimeout(again, 50));
  }
  throw new Error(`nothing listens on ${host}:${port}`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
