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
import { Pool } from 'undici';
import { createApiKey } from '../src/access/api-key.ts';
import { createAppPassword } from '../src/access/app-password.ts';
import { addApplication } from '../src/oauth/application.ts';
import { connectMailbox } from '../src/oauth/connect-mailbox.ts';
import { startSandbox } from '../src/sandbox/index.ts';
import { readConfig } from '../src/server/config.ts';
import { homeOf } from '../src/server/home.ts';
import { ensureKey, openInstance } from '../src/server/instance.ts';
import { makeCertificates } from '../test/bed/certificates.ts';
import { type Postfix, startPostfix } from '../test/bed/postfix.ts';
import { privateFolder } from '../test/bed/process.ts';

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
    const rates: Record<'postfix' | 'smtp' | 'http', number[]> = { postfix: [], smtp: [], http: [] };
    await http(apiKey, 1);
    for (let repeat = 0; repeat < repeats; repeat++) {
      rates.postfix.push(smtp('postfix', ['-h', '127.0.0.1', '-p', String(postfix.ports.submission), '-a', 'none']));
      rates.smtp.push(
        smtp('postern smtp', ['-h', OURS.host, '-p', String(OURS.smtp), '-a', 'plain', '-u', USER, '-w', password]),
      );
      rates.http.push(await http(apiKey, SECONDS));
    }
    const reference = median(rates.postfix);
    process.stdout.write(
      '\n| accepted durably, 4 KiB, 10 connections | messages/s | ratio to Postfix |\n|---|---|---|\n',
    );
    for (const [name, all] of Object.entries(rates))
      process.stdout.write(`| ${name} | ${median(all).toFixed(0)} | ${(median(all) / reference).toFixed(2)} |\n`);
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
  await instance.store.mailboxes.update(USER, { settings: { outgoing: 'outbox', sendAs: ['a@example.test'] } });
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

/** Messages per second by `POST /v1/messages`. */
async function http(key: string, seconds: number): Promise<number> {
  const pool = new Pool(`http://${OURS.host}:${OURS.console}`, { connections: CONNECTIONS });
  const text = 'x'.repeat(76);
  const body = JSON.stringify({
    from: USER,
    to: ['bob@example.com'],
    subject: 'bench',
    text: `${text}\n`.repeat(Math.floor((OCTETS - 300) / (text.length + 1))),
  });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  let accepted = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (performance.now() - started < seconds * 1000) {
        const response = await pool.request({ path: '/v1/messages', method: 'POST', headers, body });
        const answer = await response.body.text();
        if (response.statusCode !== 202) throw new Error(`${response.statusCode} ${answer.slice(0, 300)}`);
        accepted += 1;
      }
    }),
  );
  const rate = accepted / ((performance.now() - started) / 1000);
  await pool.close();
  process.stderr.write(`postern http: ${rate.toFixed(0)}/s\n`);
  return rate;
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
