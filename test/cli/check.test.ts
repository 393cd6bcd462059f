/** `postern check`, `explain`, `update-data` and `support-bundle`, run as a person runs them against the sandbox. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Command } from 'commander';
import type { Explanation } from '../../src/check/explain.ts';
import { topics } from '../../src/check/topics.ts';
import type { CheckReport } from '../../src/check/types.ts';
import { program } from '../../src/cli/program.ts';
import { builtIn } from '../../src/oauth/catalogue/catalogue.ts';
import { signCatalogue } from '../../src/oauth/catalogue/signature.ts';
import { openDesk } from '../bed/command-desk.ts';
import { type Finished, privateFolder, type RunOptions } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { type Leak, search } from '../bed/secret-sweep.ts';

const scratch = privateFolder();
const desk = openDesk();
const { postern } = desk;
const home = join(scratch.path, 'home');
let sandbox: SandboxGateway;
before(async () => {
  sandbox = await startSandboxGateway(['--home', home]);
  chmodSync(home, 0o700);
});
after(async () => {
  desk.close();
  await sandbox?.stop();
  scratch.remove();
});

const ANY = Array.from({ length: 128 }, (_, code) => code);
const run = (args: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  postern(home, args, { accept: ANY, ...options });
const parsed = (done: Finished): unknown => JSON.parse(done.stdout.toString());

describe('check', () => {
  test('a mailbox that works: every step, exit code 0, nothing sent', async () => {
    const done = await run(['check', 'alice@contoso.test', '--json']);
    assert.equal(done.code, 0, done.stderr);
    const report = parsed(done) as CheckReport;
    assert.deepEqual([report.format, report.outcome, report.first], [1, 'ok', undefined]);
    const steps = report.findings.map(({ step }) => step);
    for (const step of [
      'grant',
      'authority.dns',
      'authority.tcp',
      'authority.tls',
      'authority.metadata',
      'clock',
      'credential',
      'token',
      'permissions',
      'limits',
      'calendar',
    ])
      assert.ok(steps.includes(step), step);
    for (const protocol of ['imap', 'pop3', 'smtp'])
      for (const step of ['dns', 'tcp', 'tls', 'sign-in']) assert.ok(steps.includes(`${protocol}.${step}`), step);
    for (const step of ['imap.command', 'imap.message', 'pop3.command', 'smtp.sender'])
      assert.ok(steps.includes(step), step);
    const permissions = report.findings.find(({ step }) => step === 'permissions');
    assert.deepEqual(permissions?.facts['audience'], ['https://outlook.office.com']);
  });

  test('lines for a person', async () => {
    const { stdout, code } = await run(['check', 'alice@contoso.test']);
    assert.equal(code, 0);
    assert.match(stdout.toString(), /^alice@contoso\.test\n {2}ok +consent /);
    assert.match(stdout.toString(), /Everything works: \d+ steps\.\n/);
  });

  test('what is wrong first, in one sentence, with the remedy; the exit code is that of the failure', async () => {
    await postern(home, ['sandbox', 'fault', 'set', 'smtp-auth-disabled-mailbox', '--control', control()]);
    try {
      const done = await run(['check', 'alice@contoso.test']);
      assert.equal(done.code, 77);
      assert.match(
        done.stdout.toString(),
        /\nSMTP AUTH is switched off for this mailbox\.\n {2}who {5}an administrator at the provider\n {2}next .*Set-CASMailbox -Identity alice@contoso\.test /,
      );
      const tested = await run(['mailbox', 'test', 'alice@contoso.test']);
      assert.equal(tested.code, 77);
      assert.match(tested.stdout.toString(), /^SMTP {2}does not work: .*\n {6}because SMTP AUTH is switched off/m);
      assert.match(tested.stdout.toString(), /^IMAP {2}works /m);
    } finally {
      await postern(home, ['sandbox', 'fault', 'clear', '--control', control()]);
    }
  });

  test('the installation and every mailbox', async () => {
    const done = await run(['check', '--json']);
    assert.equal(done.code, 0, done.stderr);
    const { installation, mailboxes } = parsed(done) as {
      installation: CheckReport;
      mailboxes: readonly CheckReport[];
    };
    assert.equal(installation.subject.type, 'installation');
    assert.equal(mailboxes.length, 3);
    assert.ok(mailboxes.every(({ outcome }) => outcome !== 'failed'));
    assert.equal(installation.findings.find(({ step }) => step === 'home.listeners')?.outcome, 'ok');
  });

  test('S7: another installation at the same ports is not taken for this one', async () => {
    const other = join(scratch.path, 'other');
    assert.equal((await postern(other, ['init', '--no-mailbox'], { accept: ANY })).code, 0);
    const config = readFileSync(join(home, 'postern.yaml'), 'utf8');
    writeFileSync(join(other, 'postern.yaml'), config.replaceAll(home, other));
    const done = await postern(other, ['check', '--installation', '--json'], { accept: ANY });
    const { installation } = parsed(done) as { installation: CheckReport };
    const listeners = installation.findings.find(({ step }) => step === 'home.listeners');
    assert.equal(listeners?.outcome, 'warning', done.stdout.toString());
    assert.match(listeners?.says ?? '', /^another installation answers at http/);
  });

  test('an exposed key: the installation does not open, and that is what is said', async () => {
    chmodSync(join(home, 'key'), 0o644);
    try {
      const done = await run(['check', '--json']);
      assert.equal(done.code, 64);
      const { installation } = parsed(done) as { installation: CheckReport };
      assert.equal(installation.first?.step, 'home.key');
      assert.match(installation.first?.remedy[0]?.do ?? '', /^chmod 600 /);
      assert.equal(installation.findings.find(({ step }) => step === 'home.database')?.error?.code, 'vault.exposed');
    } finally {
      chmodSync(join(home, 'key'), 0o600);
    }
  });

  test('verification of certificates switched off is a failure', async () => {
    const done = await run(['check', '--installation', '--json'], { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } });
    const { installation } = parsed(done) as { installation: CheckReport };
    assert.equal(installation.findings.find(({ step }) => step === 'home.settings')?.error?.code, 'check.insecure');
  });

  test('an unknown mailbox', async () => {
    const done = await run(['check', 'nobody@contoso.test']);
    assert.equal(done.code, 64);
    assert.match(done.stderr, /postern: next: /);
  });
});

const control = (): string => (sandbox.facts as unknown as { control: string }).control;

describe('explain', () => {
  test('needs no installation', async () => {
    const empty = privateFolder();
    try {
      const done = await postern(empty.path, ['explain', 'AADSTS50173', '--json']);
      const [found] = parsed(done) as readonly Explanation[];
      assert.equal(found?.diagnosis?.blame, 'user');
      assert.match(found?.diagnosis?.remedy[0]?.run ?? '', /reconsent/);
    } finally {
      empty.remove();
    }
  });

  test('topics, words, codes', async () => {
    assert.match((await run(['explain'])).stdout.toString(), /^device-code +Device codes: /m);
    assert.match(
      (await run(['explain', 'device-code'])).stdout.toString(),
      /Type a code only if you asked for it yourself/,
    );
    assert.match((await run(['explain', '--search', 'shared', 'mailbox'])).stdout.toString(), /^shared-mailboxes/m);
    assert.match((await run(['explain', 'check.clock'])).stdout.toString(), /timedatectl/);
  });

  test('what nobody knows', async () => {
    const done = await run(['explain', 'devcie-code', '--json']);
    assert.equal(done.code, 64);
    const { error } = JSON.parse(done.stderr) as { error: { code: string; hint: string } };
    assert.equal(error.code, 'check.unknown-topic');
    assert.match(error.hint, /device-code/);
  });
});

describe('update-data', () => {
  const pair = generateKeyPairSync('ed25519');
  const key = pair.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const file = join(scratch.path, 'edition.json');
  const edition = (number: number): void => {
    const data = builtIn();
    const errors = data.errors.map((row) =>
      row.id === 'microsoft.grant-revoked' ? { ...row, cause: 'a newer sentence' } : row,
    );
    writeFileSync(file, signCatalogue(JSON.stringify({ ...data, edition: number, errors }), pair.privateKey));
  };

  test('strangers, old and broken editions are refused; a newer one by a known publisher is used at once', async () => {
    edition(1000);
    const stranger = await run(['update-data', file, '--json']);
    assert.equal(stranger.code, 69);
    assert.match(stranger.stderr, /oauth\.catalogue-untrusted/);
    writeFileSync(join(home, 'postern.yaml'), `data: { publishers: ['${key}'] }\n`);
    try {
      assert.deepEqual(parsed(await run(['update-data', file, '--json'])), {
        before: builtIn().edition,
        now: 1000,
        published: builtIn().published,
        changed: true,
      });
      assert.match((await run(['explain', '50173'])).stdout.toString(), /^A newer sentence/);
      edition(999);
      assert.match((await run(['update-data', file])).stderr, /edition 999 is older than edition 1000/);
      writeFileSync(file, readFileSync(file, 'utf8').slice(0, -9));
      assert.equal((await run(['update-data', file])).code, 76);
      assert.equal((await run(['update-data', join(scratch.path, 'none')])).code, 64);
      assert.equal((await run(['update-data'])).code, 64);
      assert.equal((await run(['update-data', 'http://localhost:1/x'])).code, 64);
    } finally {
      writeFileSync(join(home, 'postern.yaml'), '');
    }
    // Whoever no longer trusts the publisher is back at the built-in edition, and is told.
    assert.match((await run(['explain', '50173'])).stdout.toString(), /^The consent was revoked/);
    const { installation } = parsed(await run(['check', '--installation', '--json'])) as { installation: CheckReport };
    assert.equal(installation.findings.find(({ step }) => step === 'home.catalogue')?.outcome, 'warning');
  });
});

test('where mail is to leave by Graph, check looks whether it may', async () => {
  await postern(home, ['mailbox', 'set', 'alice@contoso.test', '--route', 'graph']);
  try {
    // Nobody consented to that here.
    const done = await run(['check', 'alice@contoso.test', '--json']);
    assert.equal(done.code, 77);
    const { findings, first } = parsed(done) as CheckReport;
    assert.equal(findings.find(({ step }) => step === 'graph')?.error?.code, 'check.graph-not-allowed');
    assert.match(JSON.stringify(first?.remedy), /register microsoft --graph/);
  } finally {
    await postern(home, ['mailbox', 'set', 'alice@contoso.test', '--route', 'smtp', '--route', 'graph']);
  }
});

describe('support-bundle', () => {
  const file = join(scratch.path, 'bundle.tar.gz');

  /** Everything that must not be in it, taken from where it is kept. */
  async function secrets(): Promise<Map<string, string>> {
    const known = new Map(
      sandbox.facts.mailboxes.map(({ address, password }) => [`app password of ${address}`, password]),
    );
    const token = await run(['token', 'alice@contoso.test', '--protocol', 'imap']);
    known.set('access token', token.stdout.toString().trim());
    known.set('master key', readFileSync(join(home, 'key'), 'utf8').trim());
    known.set('client secret', 'client-secret-of-the-robot~1');
    return known;
  }

  test('has what helps and no secret', async () => {
    const secret = join(scratch.path, 'secret');
    writeFileSync(secret, 'client-secret-of-the-robot~1\n');
    await postern(home, [
      'application',
      'add',
      'robot',
      '--client-id',
      '5a4db0c5-0000-4000-8000-000000000020',
      '--client-secret-file',
      secret,
    ]);
    const known = await secrets();
    const log = join(scratch.path, 'log.txt');
    // A log that somebody was careless with.
    writeFileSync(
      log,
      [
        ...known.values(),
        ...[...known.values()].map((value) => Buffer.from(`user=x\u0001auth=Bearer ${value}`).toString('base64')),
      ].join('\n'),
    );
    writeFileSync(join(home, 'postern.yaml'), `database: sqlite:${join(home, 'postern.db')}\n`);
    const done = await run(['support-bundle', '--output', file, '--log', log, '--json']);
    assert.equal(done.code, 0, done.stderr);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const text = execFileSync('tar', ['-xzOf', file], { maxBuffer: 64 << 20 });
    const leaks: Leak[] = search(text, known, 'bundle');
    assert.deepEqual(leaks, []);
    const names = execFileSync('tar', ['-tzf', file])
      .toString()
      .trim()
      .split('\n')
      .map((name) => name.replace('postern-support/', ''));
    for (const name of [
      'README.txt',
      'versions.json',
      'postern.yaml',
      'configuration.json',
      'environment.json',
      'check.json',
      'metrics.txt',
      'log-1.txt',
      'store.json',
      'audit.jsonl',
    ])
      assert.ok(names.includes(name), name);
    assert.match(text.toString(), /alice@contoso\.test/);
    assert.equal((await run(['support-bundle', '--output', file])).code, 64, 'never written over');
  });

  test('A71, A75: secrets broken inside JSON text, behind a flood of words like app passwords', async () => {
    const known = await secrets();
    known.delete('client secret');
    const broken = [...known.values()].flatMap((value) =>
      ['\n  ', '\t'].map((between) => JSON.stringify({ msg: value.replace(/.{7}/g, `$&${between}`) })),
    );
    const flood = Array.from({ length: 1_000 }, () => randomBytes(400).toString('hex').replaceAll('a', 'g'));
    const log = join(scratch.path, 'flood.txt');
    writeFileSync(log, [...broken, ...flood, ...known.values(), ...broken, 'useful'].join('\n'));
    const flooded = join(scratch.path, 'flooded.tar.gz');
    const done = await run(['support-bundle', '--output', flooded, '--log', log]);
    assert.equal(done.code, 0, done.stderr);
    const read = (name: string): string =>
      execFileSync('tar', ['-xzOf', flooded, `postern-support/${name}`], { maxBuffer: 64 << 20 }).toString();
    const text = read('log-1.txt');
    const letters = text.replace(/\\[nt]|[^A-Za-z0-9]/g, '');
    for (const [name, value] of known) assert.ok(!letters.includes(value.replace(/[^A-Za-z0-9]/g, '')), name);
    assert.match(text, /useful$/m);
    assert.match(read('problems.txt'), /^log-1\.txt has more words .* masked, secret or not\./m);
  });

  test('names can be hidden, and an installation that does not open gives one too', async () => {
    const hidden = join(scratch.path, 'hidden.tar.gz');
    chmodSync(join(home, 'key'), 0o644);
    const broken = await run(['support-bundle', '--output', hidden, '--hide-addresses', '--json']);
    chmodSync(join(home, 'key'), 0o600);
    assert.equal(broken.code, 0, broken.stderr);
    assert.match(execFileSync('tar', ['-xzOf', hidden, 'postern-support/problems.txt']).toString(), /vault\.exposed/);
    const again = join(scratch.path, 'again.tar.gz');
    await postern(home, ['support-bundle', '--output', again, '--hide-addresses']);
    const text = execFileSync('tar', ['-xzOf', again], { maxBuffer: 64 << 20 }).toString();
    assert.doesNotMatch(text, /alice@|bob@/i);
    assert.match(text, /mailbox-1@contoso\.test/);
  });
});

test('outbox show says why a message was not delivered, and what to do', async () => {
  await postern(home, ['sandbox', 'fault', 'set', 'smtp-mailbox-full', '--control', control()]);
  try {
    const letter = 'From: alice@contoso.test\nTo: bob@contoso.test\nSubject: x\n\nx\n';
    const queued = await run(['sendmail', '-t', '-v', '-f', 'alice@contoso.test'], { input: letter });
    const id = /msg_\w+/.exec(queued.stderr)?.[0];
    assert.ok(id, queued.stderr);
    let shown: { state: { type: string }; diagnosis: { id: string; remedy: unknown[] } | null };
    const end = performance.now() + 20_000;
    do shown = parsed(await run(['outbox', 'show', id, '--json'])) as typeof shown;
    while (shown.state.type !== 'failed' && performance.now() < end);
    assert.equal(shown.diagnosis?.id, 'smtp.mailbox-full');
    assert.match((await run(['outbox', 'show', id])).stdout.toString(), /^ {2}because {3}the mailbox is full/m);
  } finally {
    await postern(home, ['sandbox', 'fault', 'clear', '--control', control()]);
  }
});

test('every command that a remedy or a topic names exists, with its options', () => {
  const { errors, calendar } = builtIn();
  const named = [
    ...[...errors, ...calendar].flatMap(({ remedy }) =>
      remedy.flatMap(({ run: command = '', do: what }) => [
        command,
        ...(what.match(/`[^`]+`/g) ?? []).map((one) => one.slice(1, -1)),
      ]),
    ),
    ...topics.flatMap(({ commands, text }) => [
      ...commands,
      ...text.flatMap((one) => (one.match(/`[^`]+`/g) ?? []).map((part) => part.slice(1, -1))),
    ]),
  ].filter((command) => /(?:^|\s)postern /.test(command));
  assert.ok(named.length > 60);
  const wrong = named.filter(
    (command) => !exists(program(), command.replace(/^.*?postern /, '').split(/ (?=(?:[^"]*"[^"]*")*[^"]*$)/)),
  );
  assert.deepEqual([...new Set(wrong)], []);
});

function exists(command: Command, words: readonly string[]): boolean {
  const [word, ...rest] = words;
  if (word === undefined) return true;
  const child = command.commands.find((one) => one.name() === word);
  if (child) return exists(child, rest);
  // Only groups of commands are left without arguments.
  if (command.commands.length > 0 && !word.startsWith('-')) return false;
  const flags = words.filter((one) => one.startsWith('--') && one !== '--help');
  return flags.every((flag) => command.options.some(({ long }) => long === flag));
}
