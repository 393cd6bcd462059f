/** The real `serve`: ready, metered, drained on a signal, with workers that survive one another. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { postern, startPostern } from '../bed/postern.ts';
import { privateFolder } from '../bed/process.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { Home } from '../bed/installation.ts';
import { ALICE } from '../bed/mail-site.ts';
import { sandboxHome } from '../bed/sandbox-home.ts';

let sandbox: Sandbox;
let installed: Home;
let home: string;
const scratch = privateFolder();

before(async () => {
  sandbox = await startSandbox();
  installed = await sandboxHome(sandbox);
  home = installed.path;
});
after(async () => {
  installed?.remove();
  await sandbox.close();
  scratch.remove();
});

interface Serving {
  readonly ports: { readonly imap: number; readonly console: number };
  readonly pid: number;
  output(): string;
  stop(): Promise<void>;
}

async function serve(args: readonly string[] = []): Promise<Serving> {
  mkdirSync(home, { recursive: true });
  const config = join(scratch.path, `serve-${Math.random().toString(36).slice(2)}.yaml`);
  writeFileSync(
    config,
    'listeners: [{ protocol: imap, tls: none, port: 0 }]\nconsole: { port: 0 }\nlimits: { drainMs: 300 }\n',
  );
  const daemon = startPostern(home, ['--json', 'serve', ...args], { POSTERN_CONFIG: config });
  let text = '';
  daemon.child.stdout!.on('data', (piece: Buffer) => void (text += piece.toString()));
  for (const end = performance.now() + 30_000; !text.includes('\n'); await delay(20)) {
    if (!daemon.running || performance.now() > end) throw new Error(`serve is not ready:\n${daemon.output()}`);
  }
  const facts = JSON.parse(text.slice(0, text.indexOf('\n'))) as {
    listeners: { port: number }[];
    console: { port: number };
    pid: number;
  };
  return {
    ports: { imap: facts.listeners[0]!.port, console: facts.console.port },
    pid: facts.pid,
    output: daemon.output,
    stop: () => daemon.stop(),
  };
}

class Mail {
  readonly #socket: Socket;
  #text = '';

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.on('data', (piece) => void (this.#text += piece.toString()));
    this.#socket.on('error', () => this.#socket.destroy());
  }

  async ask(line: string, until: RegExp): Promise<string> {
    this.#text = '';
    this.#socket.write(`${line}\r\n`);
    return this.until(until);
  }

  async until(pattern: RegExp): Promise<string> {
    for (const end = performance.now() + 10_000; !pattern.test(this.#text); await delay(10)) {
      if (performance.now() > end || this.#socket.destroyed) throw new Error(`no ${String(pattern)} in: ${this.#text}`);
    }
    return this.#text;
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function signedIn(port: number, password = installed.password): Promise<Mail> {
  const mail = new Mail(port);
  await mail.until(/^\* OK/);
  await mail.ask(`a LOGIN ${ALICE} ${password}`, /^a OK/m);
  return mail;
}

const page = async (port: number, path: string): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: answer.status, text: await answer.text() };
};

test('health, readiness and metrics; a signal lets a session hear of it', async () => {
  const serving = await serve();
  try {
    assert.deepEqual(JSON.parse((await page(serving.ports.console, '/healthz')).text), { status: 'ok' });
    assert.equal((await page(serving.ports.console, '/readyz')).status, 200);
    assert.equal((await page(serving.ports.console, '/nothing')).status, 404);
    const mail = await signedIn(serving.ports.imap);
    const { text } = await page(serving.ports.console, '/metrics');
    assert.match(text, /^postern_sign_ins_total\{protocol="imap",outcome="ok",code="ok"\} 1$/m);
    assert.match(text, /^postern_connections_open\{protocol="imap"\} 1$/m);
    assert.match(text, /^postern_build_info\{version="\d/m);
    process.kill(serving.pid, 'SIGTERM');
    process.kill(serving.pid, 'SIGINT'); // what a terminal and a launcher send together is one request
    assert.match(await mail.until(/BYE/), /^\* BYE \[UNAVAILABLE\]/m);
  } finally {
    await serving.stop();
  }
  assert.match(serving.output(), /"msg":"stopped"/);
});

test('revoking an app password in another process ends its sessions', async () => {
  const serving = await serve();
  try {
    const made = await postern(home, ['--json', 'password', 'add', '--mailbox', ALICE, '--label', 'to be revoked']);
    const { id, password } = JSON.parse(made.stdout.toString()) as { id: string; password: string };
    const [mine, other] = [await signedIn(serving.ports.imap, password), await signedIn(serving.ports.imap)];
    await postern(home, ['password', 'revoke', id]);
    assert.match(await mine.until(/BYE/), /no longer valid/);
    await other.ask('b NOOP', /^b OK/m);
    other.close();
  } finally {
    await serving.stop();
  }
});

test('workers share the port; one that is killed takes only its own sessions and is replaced', async () => {
  const serving = await serve(['--workers', '2']);
  try {
    const mails = await Promise.all(Array.from({ length: 12 }, () => signedIn(serving.ports.imap)));
    const { text } = await page(serving.ports.console, '/metrics');
    assert.match(text, /^postern_sign_ins_total\{.*\} 12$/m, 'added up over the workers');
    const workers = (await import('node:fs'))
      .readFileSync(`/proc/${serving.pid}/task/${serving.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number);
    assert.equal(workers.length, 2);
    process.kill(workers[0]!, 'SIGKILL');
    // Which sessions were whose only their answers tell: the kernel closes those of the killed one by one.
    const answers = await Promise.allSettled(mails.map((mail) => mail.ask('c NOOP', /^c OK/m)));
    const alive = mails.filter((_, at) => answers[at]!.status === 'fulfilled');
    assert.ok(alive.length < mails.length && alive.length > 0, `${alive.length} of ${mails.length} sessions go on`);
    assert.ok(
      mails.every((mail) => alive.includes(mail) || mail.closed),
      'the others were closed',
    );
    for (
      const end = performance.now() + 15_000;
      (await page(serving.ports.console, '/readyz')).status !== 200;
      await delay(50)
    ) {
      assert.ok(performance.now() < end, 'ready again');
    }
    (await signedIn(serving.ports.imap)).close();
    for (const mail of alive) mail.close();
  } finally {
    await serving.stop();
  }
});

test('a taken port is named, with what to do', async () => {
  const blocker = (await import('node:net')).createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const { port } = blocker.address() as { port: number };
  const config = join(scratch.path, 'taken.yaml');
  writeFileSync(config, `listeners: [{ protocol: imap, tls: none, port: ${port} }]\nconsole: { port: 0 }\n`);
  for (const workers of ['1', '2']) {
    const done = await postern(home, ['serve', '--workers', workers], {
      env: { POSTERN_CONFIG: config },
      accept: [64],
    });
    assert.match(done.stderr, new RegExp(`port ${port}`));
    assert.match(done.stderr, /next: .*ss -ltnp/);
  }
  blocker.close();
});
