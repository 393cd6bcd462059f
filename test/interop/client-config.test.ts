/** What `postern client-config` prints, given unchanged to the real programs: each signs in through the gateway, reads and sends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { openDesk } from '../bed/command-desk.ts';
import { createHome, type Home, type Serving } from '../bed/installation.ts';
import { without } from '../bed/need.ts';
import { freePorts, privateFolder, runProgram } from '../bed/process.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
const scratch = privateFolder();
const desk = openDesk();
let sandbox: Sandbox;
let home: Home;
let serving: Serving;

before(async () => {
  sandbox = await startSandbox();
  const server = (endpoint: object): object => ({ ...endpoint, ca: sandbox.caPem });
  const { imap, pop3, smtp } = sandbox.mail;
  home = await createHome({
    application: {
      provider: 'microsoft',
      clientId: sandbox.clients.public.id,
      settings: {
        authority: sandbox.authority,
        ca: sandbox.caPem,
        imap: server(imap),
        pop3: server(pop3),
        smtp: server(smtp),
      },
    },
    authority: { approve: (url) => sandbox.approve(url, ALICE) },
  });
  const ports = await freePorts(6);
  const listeners = ['imap', 'pop3', 'smtp'].flatMap((protocol) =>
    ['none', 'implicit'].map((tls) => ({ protocol, tls, host: '127.0.0.1', port: ports.pop() })),
  );
  writeFileSync(
    join(home.path, 'postern.yaml'),
    JSON.stringify({ listeners, console: { port: 0 }, limits: { drainMs: 200 } }),
  );
  serving = await home.serve();
});
after(async () => {
  desk.close();
  await serving?.stop();
  home?.remove();
  await sandbox?.close();
  scratch.remove();
});

type Security = 'tls' | 'starttls' | 'plain';

interface Printed {
  readonly text: string;
  readonly password: string;
  readonly notes: readonly string[];
}

async function printed(program: string, security: Security): Promise<Printed> {
  const { stdout } = await desk.postern(home.path, [
    'client-config',
    ALICE,
    '--for',
    program,
    '--security',
    security,
    '--new-password',
    '--json',
  ]);
  return JSON.parse(stdout.toString()) as Printed;
}

/** An empty HOME with the printed text in it. */
function place(name: string, text: string): { readonly folder: string; readonly file: string } {
  const folder = join(scratch.path, name);
  const file = join(folder, 'config');
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, text, { mode: 0o600 });
  return { folder, file };
}

const inboxOf = (address: string): readonly string[] =>
  (sandbox.mailStore.find(address)?.folders.get('INBOX')?.messages ?? []).map(({ raw }) => raw.toString());

/** A letter that only this run sends. */
async function arrives(subject: string, send: (message: string) => Promise<unknown>): Promise<void> {
  const message = `From: ${ALICE}\r\nTo: ${BOB}\r\nSubject: ${subject}\r\n\r\nhello\r\n`;
  await send(message);
  assert.ok(
    inboxOf(BOB).some((source) => source.includes(subject)),
    `${subject} has not arrived`,
  );
}

/** A full-screen program in a terminal of its own, with keys typed. */
async function type(folder: string, program: string, args: readonly string[]): Promise<void> {
  const command = [program, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn('script', ['-qfec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 30_000,
    env: { PATH: process.env.PATH, HOME: folder, TERM: 'xterm', LANG: 'C.UTF-8', LINES: '40', COLUMNS: '120' },
  });
  let screen = '';
  child.stdout.on('data', (piece: Buffer) => void (screen += piece.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, screen.slice(-2000));
}

const jobs: Readonly<
  Record<
    string,
    {
      readonly needs?: string;
      readonly securities?: readonly Security[];
      readonly run: (security: Security) => Promise<void>;
    }
  >
> = {
  mutt: { needs: 'mutt', run: (security) => mutt('mutt', security) },
  neomutt: { needs: 'neomutt', run: (security) => mutt('neomutt', security) },
  msmtp: {
    needs: 'msmtp',
    async run(security) {
      const { folder, file } = place(`msmtp-${security}`, (await printed('msmtp', security)).text);
      await arrives(`msmtp-${security}`, (input) =>
        runProgram('msmtp', ['--file', file, '--', BOB], { input, env: { HOME: folder } }),
      );
    },
  },
  mbsync: {
    needs: 'isync',
    async run(security) {
      const { text, notes } = await printed('mbsync', security);
      const { folder, file } = place(`mbsync-${security}`, text);
      const first = notes.find((note) => note.startsWith('first: '))!.slice('first: '.length);
      await runProgram('sh', ['-c', first], { env: { HOME: folder } });
      await runProgram('mbsync', ['--config', file, '--all'], { env: { HOME: folder } });
      const { stdout } = await runProgram('grep', ['-rl', 'Subject:', join(folder, 'Mail', ALICE, 'INBOX')]);
      assert.ok(stdout.toString().trim().split('\n').length >= inboxOf(ALICE).length);
    },
  },
  fetchmail: {
    needs: 'fetchmail',
    async run(security) {
      const { folder, file } = place(`fetchmail-${security}`, (await printed('fetchmail', security)).text);
      const deliver = join(folder, 'deliver');
      writeFileSync(deliver, `#!/bin/sh\nexec cat >> '${folder}/mail'\n`);
      chmodSync(deliver, 0o755);
      const args = ['--fetchmailrc', file, '--nosyslog', '--all', '--mda', deliver, '--pidfile', join(folder, 'pid')];
      await runProgram('fetchmail', args, { env: { HOME: folder, FETCHMAILHOME: folder } });
      assert.match(readFileSync(join(folder, 'mail'), 'utf8'), /^Subject: /m);
    },
  },
  getmail: {
    needs: 'getmail6',
    securities: ['tls', 'plain'],
    async run(security) {
      const { text } = await printed('getmail', security);
      // Its own Maildir delivery refuses to run as root, which is who continuous integration is. The pause: see client/getmail.ts.
      const slow = join(scratch.path, `deliver-${security}`);
      writeFileSync(slow, '#!/bin/sh\nsleep 0.5\nexec cat\n');
      chmodSync(slow, 0o755);
      const { folder } = place(
        `getmail-${security}`,
        text.replace(
          'type = Maildir\npath = ~/Maildir/',
          `type = MDA_external\npath = ${slow}\nallow_root_commands = true\nignore_stderr = true`,
        ),
      );
      const ran = await runProgram('getmail', ['--getmaildir', folder, '--rcfile', 'config', '-v', '--all'], {
        env: { HOME: folder },
      });
      assert.match(`${ran.stdout.toString()}${ran.stderr}`, /[1-9]\d* messages? \(\d+ bytes\) retrieved/);
    },
  },
  postfix: {
    needs: 'postfix',
    securities: ['tls', 'starttls'],
    // Postfix itself reads the settings; its daemons are not started.
    async run(security) {
      const { text, password } = await printed('postfix', security);
      const { folder } = place(`postfix-${security}`, text);
      writeFileSync(join(folder, 'main.cf'), 'compatibility_level = 3.6\n');
      writeFileSync(join(folder, 'master.cf'), '');
      const env = { MAIL_CONFIG: folder, PATH: `${process.env.PATH ?? ''}:/usr/sbin` };
      const commands = text.replaceAll('/etc/postfix/', `${folder}/`).replace('postfix reload', 'postconf -n');
      const { stdout, stderr } = await runProgram('sh', ['-ec', commands], { env });
      assert.equal(stderr, '');
      const relay = /^relayhost = (\S+)$/m.exec(stdout.toString())![1]!;
      assert.match(stdout.toString(), new RegExp(`^smtp_tls_wrappermode = ${security === 'tls' ? 'yes' : 'no'}$`, 'm'));
      const { stdout: found } = await runProgram('postmap', ['-q', relay, `texthash:${folder}/postern_password`], {
        env,
      });
      assert.equal(found.toString().trim(), `${ALICE}:${password}`);
      assert.equal(statSync(join(folder, 'postern_password')).mode & 0o077, 0);
    },
  },
  python: {
    needs: 'python3',
    async run(security) {
      const { text, password } = await printed('python', security);
      const { folder, file } = place(`python-${security}`, text);
      const env = { HOME: folder, POSTERN_APP_PASSWORD: password };
      const { stdout } = await runProgram('python3', [file], { env });
      assert.match(stdout.toString(), /^Subject: /m);
      await arrives('a test from Python', () => runProgram('python3', [file, BOB], { env }));
    },
  },
  php: {
    // F62
    needs: 'php-imap',
    securities: ['tls', 'plain'],
    async run(security) {
      const { text, password } = await printed('php', security);
      const { folder, file } = place(`php-${security}`, text);
      const { stdout } = await runProgram('php', [file], { env: { HOME: folder, POSTERN_APP_PASSWORD: password } });
      assert.equal(stdout.toString().trim().split('\n').length, inboxOf(ALICE).length);
    },
  },
  nodemailer: {
    async run(security) {
      const { text, password } = await printed('nodemailer', security);
      const env = { POSTERN_APP_PASSWORD: password };
      const args = ['--input-type=module', '--eval', text, '--', BOB];
      await arrives('a test from nodemailer', () =>
        runProgram(process.execPath, args.with(2, text.replace('slice(2)', 'slice(1)')), {
          env,
          cwd: resolve(import.meta.dirname, '../..'),
        }),
      );
    },
  },
  curl: {
    needs: 'curl',
    async run(security) {
      const { text, password } = await printed('curl', security);
      const { folder } = place(`curl-${security}`, text);
      const end = security === 'tls' ? '\n' : '\r\n';
      writeFileSync(join(folder, 'message.eml'), [`Subject: curl-${security}`, '', 'hello', ''].join(end));
      const env = { HOME: folder, POSTERN_APP_PASSWORD: password, RECIPIENT: BOB };
      await arrives(`curl-${security}`, async () => {
        const { stdout } = await runProgram('sh', ['-ec', text], { env, cwd: folder });
        assert.match(stdout.toString(), /^Subject: /m);
      });
    },
  },
};

async function mutt(program: string, security: Security): Promise<void> {
  const { folder, file } = place(`${program}-${security}`, (await printed('mutt', security)).text);
  const subject = `${program}-${security}`;
  await arrives(subject, () =>
    runProgram(program, ['-F', file, '-s', subject, '--', BOB], {
      input: 'hello\n',
      env: { HOME: folder, TERM: 'dumb' },
    }),
  );
  const copy = join(folder, 'copy');
  const quiet = 'set quit=yes confirmcreate=no confirmappend=no wait_key=no sleep_time=0 header_cache=""';
  await type(folder, program, ['-F', file, '-e', quiet, '-e', `push '<copy-message>${copy}<enter><quit>'`]);
  assert.match(readFileSync(copy, 'utf8'), /^Subject: /m);
}

const ALL: readonly Security[] = ['tls', 'starttls', 'plain'];
for (const [program, { needs, securities = ALL, run }] of Object.entries(jobs))
  for (const security of securities)
    test(
      `${program} with its printed configuration, ${security}`,
      { skip: needs !== undefined && without(needs) },
      () => run(security),
    );

test('the dialogues name servers, ports and the sign-in', async () => {
  for (const program of ['thunderbird', 'outlook', 'printer']) {
    const { text, password } = await printed(program, 'tls');
    // A device is another machine: it gets the name that others know, and what the gateway has to listen on first.
    const server =
      program === 'printer'
        ? /\S+ {2}port 465 {2}security SSL\/TLS[^]*listeners:/
        : /localhost {2}port \d+ {2}security SSL\/TLS/;
    assert.match(text, server);
    assert.ok(text.includes(ALICE) && text.includes(password));
  }
});

test('what does not fit is refused with a way out', async () => {
  const refused = await home.cli(['client-config', ALICE, '--for', 'getmail', '--security', 'starttls'], {
    accept: [64],
  });
  assert.match(refused.stderr, /next: choose another --security/);
  const placeholder = await home.cli(['client-config', ALICE, '--for', 'msmtp']);
  assert.match(placeholder.stdout.toString(), /password "APP_PASSWORD"/);
});
