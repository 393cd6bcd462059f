/** From nothing to a first message: `postern init` in front of a sandbox of its own, as a script and as a person at a terminal. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { COMMAND, postern, startPostern } from '../bed/postern.ts';
import { freePorts, INHERITED, listening, privateFolder, runProgram } from '../bed/process.ts';

const ALICE = 'alice@contoso.test';
const folder = privateFolder();
let sandbox: Sandbox;

before(async () => {
  sandbox = await startSandbox();
});
after(async () => {
  await sandbox?.close();
  folder.remove();
});

/** The options that stand for Microsoft here. */
const atSandbox = (): string[] => {
  const { imap, pop3, smtp } = sandbox.mail;
  const options: Readonly<Record<string, string>> = {
    '--client-id': sandbox.clients.public.id,
    '--authority': sandbox.authority,
    '--ca': sandbox.caPath,
    '--imap': `localhost:${imap.port}/implicit`,
    '--pop3': `localhost:${pop3.port}/implicit`,
    '--smtp': `localhost:${smtp.port}/starttls`,
  };
  return Object.entries(options).flat();
};

interface Conversation {
  readonly code: number | null;
  readonly stdout: string;
  readonly screen: string;
}

/** Runs a command and answers what it says: the sign-in address by signing in, other texts as told. */
async function converse(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  answers: readonly (readonly [heard: RegExp, typed: string])[] = [],
): Promise<Conversation> {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 60_000,
    env: { ...INHERITED, TERM: 'xterm', LANG: 'C.UTF-8', ...env },
  });
  const waiting = [...answers];
  let stdout = '';
  let screen = '';
  let from = 0;
  let signedIn = false;
  const hear = (piece: Buffer): void => {
    screen += piece.toString();
    const [next] = waiting;
    if (next && next[0].test(screen.slice(from))) {
      waiting.shift();
      from = screen.length;
      child.stdin.write(next[1]);
    }
    const url = /https:\/\/localhost:\d+\/\S+authorize\S+(?=\s)/.exec(screen)?.[0];
    if (url === undefined || signedIn || !screen.includes('paste it here')) return;
    signedIn = true;
    sandbox.approve(url, ALICE).then(
      (answer) => child.stdin.write(`${answer.href}\n`),
      (error: unknown) => child.stdin.destroy(error as Error),
    );
  };
  child.stdout.on('data', (piece: Buffer) => void (stdout += piece.toString()));
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  child.stdin.on('error', (error) => void (screen += error.message));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, screen };
}

test('as a script: installation, application, consent, a green check, a configuration that works', async () => {
  const home = join(folder.path, 'script');
  const args = [...COMMAND, 'init', '--address', ALICE, ...atSandbox(), '--flow', 'paste', '--for', 'curl', '--json'];
  const { code, stdout, screen } = await converse(process.execPath, args, { HOME: home, POSTERN_HOME: home });
  assert.equal(code, 0, screen);
  const done = JSON.parse(stdout) as {
    config: string;
    mailbox: string;
    check: { outcome: string };
    client: { password: string; text: string };
  };
  assert.equal(done.mailbox, ALICE);
  assert.notEqual(done.check.outcome, 'failed');
  const again = await postern(home, ['init', '--address', ALICE, '--json']);
  assert.equal((JSON.parse(again.stdout.toString()) as { client: unknown }).client, null);

  // Ports that are free on this machine instead of the default ones, then the printed command, as it is.
  const [imap, smtp] = await freePorts(2);
  writeFileSync(
    done.config,
    JSON.stringify({
      listeners: [
        { protocol: 'imap', tls: 'implicit', host: '127.0.0.1', port: imap },
        { protocol: 'smtp', tls: 'implicit', host: '127.0.0.1', port: smtp },
      ],
      console: { port: 0 },
    }),
  );
  const { text } = JSON.parse(
    (await postern(home, ['client-config', ALICE, '--for', 'curl', '--json'])).stdout.toString(),
  ) as { text: string };
  const daemon = startPostern(home, ['serve']);
  try {
    await listening(daemon, [imap!, smtp!]);
    const read = text.split('\n').find((line) => line.includes('INBOX'))!;
    const { stdout: mail } = await runProgram('sh', ['-ec', read], {
      env: { HOME: home, POSTERN_APP_PASSWORD: done.client.password },
    });
    assert.match(mail.toString(), /^Subject: /m);
  } finally {
    await daemon.stop();
  }
});

const ENTER = '\r';

test('at a terminal: every question has a default, and Enter is enough', async () => {
  const home = join(folder.path, 'person');
  const quoted = [process.execPath, ...COMMAND, 'init', ...atSandbox()].map((word) => `'${word}'`).join(' ');
  const { code, screen } = await converse(
    'script',
    ['-qfec', `stty cols 200 rows 50; ${quoted}`, '/dev/null'],
    { HOME: home, POSTERN_HOME: home, POSTERN_NO_BROWSER: '1' },
    [
      [/Which mailbox\?/, `${ALICE}${ENTER}`],
      [/Which protocols\?/, ENTER],
      [/How will you sign in\?/, ENTER],
      [/Which mail program\?/, ENTER],
    ],
  );
  assert.equal(code, 0, screen);
  assert.match(screen, /--address ADDRESS/, 'each question names its option');
  assert.match(screen, /Everything works/);
  assert.match(screen, /For Thunderbird:/);
  assert.match(screen, /App password, shown once: [0-9a-z]{26}/);
  assert.ok(existsSync(join(home, 'postern.yaml')) && readFileSync(join(home, 'postern.yaml'), 'utf8') !== '');
});

test('by device code, with nobody at the keyboard: it waits until the code was entered elsewhere', async () => {
  const home = join(folder.path, 'device');
  const args = ['init', '--address', ALICE, ...atSandbox(), '--flow', 'device-code', '--for', 'curl'];
  const waiting = startPostern(home, args, { HOME: home });
  const ended = once(waiting.child, 'exit');
  const code = async (): Promise<string> => {
    for (; ; await delay(50)) {
      const found = /enter the code (\S+) to/.exec(waiting.output())?.[1];
      if (found !== undefined) return found;
      assert.ok(waiting.running, waiting.output());
    }
  };
  const shown = await code();
  // Longer than an idle connection to the authority stays open.
  await delay(6000);
  assert.ok(waiting.running, waiting.output());
  await sandbox.approveDevice(shown, ALICE);
  assert.deepEqual(await ended, [0, null], waiting.output());
});

test('a wrong client id is told before anybody signs in, and does not stay', async () => {
  const home = join(folder.path, 'wrong');
  const args = atSandbox();
  args[1] = '00000000-0000-4000-8000-000000000000';
  const refused = await postern(home, ['init', '--address', ALICE, ...args], { accept: [64] });
  assert.match(refused.stderr, /AADSTS700016/);
  assert.equal((await postern(home, ['application', 'list', '--json'])).stdout.toString().trim(), '[]');
});

test('without an application the next step is the exact command', async () => {
  const home = join(folder.path, 'none');
  const refused = await postern(home, ['init', '--address', 'a@contoso.onmicrosoft.com'], { accept: [64] });
  assert.match(
    refused.stderr,
    /next: postern register microsoft --tenant contoso\.onmicrosoft\.com, then postern init --address/,
  );
});
