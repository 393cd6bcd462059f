/**
 * The gateway against no proxy and against HAProxy, interleaved in one run.
 *
 *   npm run bench                                      everything
 *   npm run bench -- [--only REGEX] [--repeats N]      some scenarios of load/scenarios.json
 *   npm run bench -- --fresh                           without going on in sessions that others have left
 *   npm run bench -- accept                            taking mail durably, against Postfix
 *   npm run bench -- deliver                           sending it on, against nodemailer's pool
 *   npm run bench -- idle                              memory, start-up, simultaneous connects
 *   npm run bench -- tap                                        what following IMAP sessions costs per gigabyte
 *   npm run bench -- queued [--messages N]                       the outbox with a thousand and with a million queued
 *   npm run bench -- renewal [--grants N] [--rate N] [--idle S]   the duty of renewal on two processes
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { createAppPassword } from '../src/access/app-password.ts';
import { connectMailbox } from '../src/onboard/connect-mailbox.ts';
import { addApplication } from '../src/oauth/application.ts';
import { startSandbox } from '../src/sandbox/index.ts';
import { readConfig } from '../src/server/config.ts';
import { homeOf } from '../src/server/home.ts';
import { ensureKey, openInstance } from '../src/server/instance.ts';
import { PROTOCOLS } from '../src/store/protocols.ts';
import { benchAccept } from './accept.ts';
import { benchDeliver } from './deliver.ts';
import { benchTap } from './tap.ts';
import { benchQueued } from './queued.ts';
import { benchRenewal } from './renewal.ts';

const here = import.meta.dirname;
const root = resolve(here, '..');
const load = join(here, 'load');
const results = join(here, 'results');
const lab = join(results, 'lab');
const PORTS = { imaps: 22993, imap: 22143, pop3s: 22995, pop3: 22110, smtps: 22465, smtp: 22587 };
/** Every target listens on its own loopback address at the same ports. */
const HOSTS = {
  haproxy: '127.0.0.6',
  'node-pipe': '127.0.0.7',
  'postern-1w': '127.0.0.20',
  'postern-2w': '127.0.0.21',
} as const;
type Target = keyof typeof HOSTS;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    repeats: { type: 'string', default: '3' },
    targets: { type: 'string' },
    fresh: { type: 'boolean', default: false },
    grants: { type: 'string', default: '10000' },
    messages: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '200' },
    idle: { type: 'string', default: '60' },
  },
});
if (positionals[0] === 'renewal') {
  await benchRenewal(Number(values.grants), Number(values.rate), Number(values.idle));
  process.exit(0);
}
if (positionals[0] === 'accept') {
  build();
  await benchAccept(Number(values.repeats));
  process.exit(0);
}
if (positionals[0] === 'tap') {
  benchTap();
  process.exit(0);
}
if (positionals[0] === 'queued') {
  await benchQueued(Number(values.repeats), Number(values.messages));
  process.exit(0);
}
if (positionals[0] === 'deliver') {
  await benchDeliver(Number(values.repeats));
  process.exit(0);
}
const children: ChildProcess[] = [];
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

build();
rmSync(lab, { recursive: true, force: true });
mkdirSync(lab, { recursive: true });
const stub = await startStub();
const facts = await prepareHome();
for (const name of Object.keys(HOSTS) as Target[]) await restart(name);
const targets = writeTargets();
if (positionals[0] === 'idle') await idle();
else throughput();
process.exit(0);

function build(): void {
  for (const [command, ...args] of [
    ['make', '-s', '-C', load],
    [join(load, 'mkcerts.sh'), join(results, 'certs')],
    // What is measured is what is installed: compiled, not stripped at every start.
    [process.execPath, join(root, 'scripts/build.ts')],
  ] as const) {
    const run = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    if (run.status !== 0)
      stop(
        `${command} ${args.join(' ')} failed; needed: a C compiler, make, OpenSSL headers (apt-get install build-essential libssl-dev)`,
      );
  }
  if (spawnSync('haproxy', ['-v']).status !== 0) stop('haproxy is missing (apt-get install haproxy)');
}

async function startStub(): Promise<ChildProcess> {
  const certs = join(results, 'certs');
  const ports = Object.entries(PORTS).flatMap(([name, port]) => [`--${name}`, String(port)]);
  const child = spawn(
    join(load, 'build/mailstub'),
    ['--cert', join(certs, 'chain.pem'), '--key', join(certs, 'server.key'), ...ports],
    { stdio: 'ignore' },
  );
  children.push(child);
  await reachable('127.0.0.1', PORTS.imaps);
  return child;
}

/** A home, copied for each gateway: a database is served by one process. A mailbox whose token comes from the sandbox and whose mail servers are the stub. */
async function prepareHome(): Promise<{ user: string; password: string; caPath: string }> {
  const sandbox = await startSandbox({ tokenLifetime: 86_400 });
  const ca = readFileSync(join(results, 'certs', 'ca.pem'), 'utf8');
  const home = join(lab, 'home');
  const config = readConfig(homeOf({}, home), {});
  await ensureKey(config);
  const instance = await openInstance({ config });
  // An address, as HAProxy has it: no name to look up at every connection.
  const server = (port: number) => ({ host: '127.0.0.1', port, tls: 'implicit' as const, ca });
  const application = await addApplication(instance, {
    name: 'bench',
    provider: 'microsoft',
    clientId: sandbox.clients.public.id,
    tenant: sandbox.tenantId,
    settings: {
      authority: sandbox.authority,
      ca: sandbox.caPem,
      imap: server(PORTS.imaps),
      pop3: server(PORTS.pop3s),
      smtp: server(PORTS.smtps),
    },
  });
  await connectMailbox(instance, {
    application,
    address: 'alice@contoso.test',
    protocols: PROTOCOLS,
    flow: 'authorization-code',
    redirect: { uri: 'http://localhost/', wait: (url) => sandbox.approve(url), close: () => Promise.resolve() },
  });
  const { password } = await createAppPassword(instance, {
    label: 'bench',
    mailboxes: ['*'],
    protocols: PROTOCOLS,
    networks: [],
  });
  await instance.close();
  await sandbox.close();
  return { user: 'alice@contoso.test', password: password.reveal(), caPath: join(results, 'certs', 'ca.pem') };
}

/** (Re)starts a target and leaves its process id in lab/NAME/pid, as idlestart.py wants it. */
async function restart(name: Target): Promise<void> {
  await halt(name);
  const dir = join(lab, name);
  mkdirSync(dir, { recursive: true });
  const child = name === 'haproxy' ? startHaproxy(dir) : name === 'node-pipe' ? startPipe() : startGateway(name, dir);
  children.push(child);
  writeFileSync(join(dir, 'pid'), String(child.pid));
  await reachable(HOSTS[name], PORTS.imaps);
}

async function halt(name: Target): Promise<void> {
  const file = join(lab, name, 'pid');
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  const child = children.find((one) => one.pid === pid);
  rmSync(file);
  if (!child || child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function startHaproxy(dir: string): ChildProcess {
  const certs = join(results, 'certs');
  const pem = join(dir, 'pair.pem');
  writeFileSync(pem, readFileSync(join(certs, 'chain.pem'), 'utf8') + readFileSync(join(certs, 'server.key'), 'utf8'));
  const backends = (['imaps', 'pop3s', 'smtps'] as const).map(
    (name) =>
      `backend ${name}\n  server s 127.0.0.1:${PORTS[name]} ssl verify required ca-file ${join(certs, 'ca.pem')} sni str(localhost) verifyhost localhost\n`,
  );
  const tls = (['imaps', 'pop3s', 'smtps'] as const).map(
    (name) => `frontend ${name}\n  bind ${HOSTS.haproxy}:${PORTS[name]} ssl crt ${pem}\n  default_backend ${name}\n`,
  );
  const plain = `frontend imap\n  bind ${HOSTS.haproxy}:${PORTS.imap}\n  default_backend imaps\n`;
  const config = `global\n  maxconn 9000\n  nbthread 2\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n${tls.join('')}${plain}${backends.join('')}`;
  writeFileSync(join(dir, 'haproxy.cfg'), config);
  return spawn('haproxy', ['-db', '-f', join(dir, 'haproxy.cfg')], { stdio: 'ignore' });
}

function startPipe(): ChildProcess {
  const ports = [PORTS.imaps, PORTS.pop3s, PORTS.smtps].map(String);
  return spawn(process.execPath, [join(here, 'node-pipe.ts'), HOSTS['node-pipe'], join(results, 'certs'), ...ports], {
    stdio: 'ignore',
  });
}

function startGateway(name: Target, dir: string): ChildProcess {
  const host = HOSTS[name];
  const listeners = [
    ...(['imap', 'pop3', 'smtp'] as const).map((protocol) => ({
      protocol,
      tls: 'implicit',
      host,
      port: PORTS[`${protocol}s`],
    })),
    { protocol: 'imap', tls: 'none', host, port: PORTS.imap },
  ];
  const config = {
    listeners,
    console: { host, port: 0 },
    log: { level: 'info' },
    limits: { maxConnections: 20_000, maxConnectionsPerAddress: 20_000, ...(values.fresh ? { reuseMs: 0 } : {}) },
  };
  writeFileSync(join(dir, 'postern.yaml'), JSON.stringify(config));
  cpSync(join(lab, 'home'), join(dir, 'home'), { recursive: true });
  const workers = name === 'postern-2w' ? ['--workers', '2'] : [];
  return spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(root, 'dist/cli/main.js'),
      '--home',
      join(dir, 'home'),
      'serve',
      ...workers,
    ],
    {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, POSTERN_CONFIG: join(dir, 'postern.yaml') },
    },
  );
}

function writeTargets(): string {
  const vars = {
    stub_imaps: PORTS.imaps,
    stub_imap_plain: PORTS.imap,
    stub_pop3s: PORTS.pop3s,
    stub_smtps: PORTS.smtps,
    user: facts.user,
    small_user: facts.user,
    pass: facts.password,
    stub_pid: stub.pid,
  };
  const wanted = values.targets?.split(',');
  const proxies = (Object.keys(HOSTS) as Target[]).filter((name) => wanted === undefined || wanted.includes(name));
  const list = [
    { name: 'direct', host: '127.0.0.1' },
    ...proxies.map((name) => ({ name, host: HOSTS[name], pidfile: join(lab, name, 'pid') })),
  ];
  const path = join(lab, 'targets.json');
  writeFileSync(path, JSON.stringify({ vars, targets: list }));
  return path;
}

function throughput(): void {
  const out = join(results, `throughput-${new Date().toISOString().slice(0, 16).replace(':', '')}.jsonl`);
  const only = values.only === undefined ? [] : ['--only', values.only];
  python('compare.py', 'run', targets, join(load, 'scenarios.json'), out, '--repeats', values.repeats, ...only);
  python('compare.py', 'show', out, '--ref', 'haproxy');
}

async function idle(): Promise<void> {
  const rows: string[] = [];
  for (let repeat = 0; repeat < Number(values.repeats); repeat++) {
    // Two workers are two such processes: memory per session is the same, the base twice.
    for (const name of ['haproxy', 'postern-1w'] as const) {
      for (const leg of ['tls', 'plain'] as const) rows.push(await idleOf(name, leg));
    }
  }
  process.stdout.write(
    `\n| target | client leg | start ms | base RSS MiB | KiB per session (500, 2000) | errors | 2,000 connects at once: hung, seconds |\n|---|---|---|---|---|---|---|\n${rows.join('\n')}\n`,
  );
}

async function idleOf(name: Target, leg: 'tls' | 'plain'): Promise<string> {
  await halt(name);
  const started = performance.now();
  await restart(name);
  const startMs = Math.round(performance.now() - started);
  const pid = readFileSync(join(lab, name, 'pid'), 'utf8');
  const port = leg === 'tls' ? PORTS.imaps : PORTS.imap;
  const common = [
    '-h',
    HOSTS[name],
    '-p',
    String(port),
    ...(leg === 'plain' ? ['-t', 'plain'] : []),
    '-u',
    facts.user,
    '-w',
    facts.password,
  ];
  await new Promise((settled) => setTimeout(settled, 2000)); // what a start leaves behind is collected in the first quiet moment
  const base = rssOf(Number(pid));
  bench('login', ...common, '-c', '4', '-n', '200');
  // Without a mailbox: the stub's has 10,000 messages, and answers a question for UIDs with their flags as news for the program.
  const run = bench(
    'idle',
    ...common,
    '-m',
    '-',
    '-c',
    '10',
    '--steps',
    '500,2000',
    '--hold',
    '4',
    '--pid',
    `px=${pid}`,
  );
  interface Step {
    readonly errors: number;
    readonly px: { readonly rss_kb_per_session: number };
  }
  const steps = (JSON.parse(run) as { steps: Step[] }).steps;
  const at = performance.now();
  const greeted = await connectAtOnce(HOSTS[name], PORTS.imap, 2000);
  const seconds = ((performance.now() - at) / 1000).toFixed(1);
  const row = `| ${name} | ${leg} | ${startMs} | ${Math.round(base / 1024)} | ${steps.map((step) => step.px.rss_kb_per_session.toFixed(0)).join(', ')} | ${steps.at(-1)!.errors} | ${2000 - greeted}, ${seconds} |`;
  process.stdout.write(`${row}\n`);
  return row;
}

/** Opens `count` plain connections in one go and counts greetings within 30 s. */
async function connectAtOnce(host: string, port: number, count: number): Promise<number> {
  const sockets = Array.from({ length: count }, () => connect(port, host));
  const greeted = sockets.map(
    (socket) =>
      new Promise<number>((done) => {
        socket.once('data', () => done(1));
        socket.once('error', () => done(0));
        socket.setTimeout(30_000, () => done(0));
      }),
  );
  const total = (await Promise.all(greeted)).reduce((sum, one) => sum + one, 0);
  for (const socket of sockets) socket.destroy();
  return total;
}

function rssOf(pid: number): number {
  const children = spawnSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean)
    .map(Number);
  const own = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  return own + children.reduce((sum, child) => sum + rssOf(child), 0);
}

function bench(...args: string[]): string {
  const run = spawnSync(join(load, 'build/mailbench'), args, { encoding: 'utf8', timeout: 300_000 });
  return run.stdout.trim();
}

function python(script: string, ...args: string[]): void {
  const run = spawnSync('python3', [join(load, script), ...args], { stdio: 'inherit', cwd: dirname(targets) });
  if (run.status !== 0) stop(`${script} failed`);
}

async function reachable(host: string, port: number): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end;) {
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, host, () => done(true));
      socket.on('error', () => done(false));
      socket.on('close', () => done(false));
      setTimeout(() => socket.destroy(), 1000).unref();
    });
    if (open) return;
    await new Promise((again) => setTimeout(again, 20));
  }
  stop(`nothing listens on ${host}:${port}`);
}

function stop(text: string): never {
  process.stderr.write(`bench: ${text}\n`);
  process.exit(69);
}
