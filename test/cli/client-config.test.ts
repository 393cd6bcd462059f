/** `postern client-config` against a running demonstration: what it prints is true, and a new password is shown once. */
import assert from 'node:assert/strict';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ALICE } from '../bed/mail-site.ts';
import { openDesk } from '../bed/command-desk.ts';
import { privateFolder, runProgram } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { programs } from '../../src/cli/client-config/programs.ts';

const folder = privateFolder();
const home = join(folder.path, 'home');
const desk = openDesk();
let sandbox: SandboxGateway;

before(async () => {
  sandbox = await startSandboxGateway(['--home', home]);
});
after(async () => {
  desk.close();
  await sandbox?.stop();
  folder.remove();
});

const PASSWORD = /\b[0-9a-z]{26}\b/g;

for (const name of Object.keys(programs)) {
  test(`N2: ${name}: a newly made password is shown, with --quiet as well, and the CA file is there`, async () => {
    const args = ['client-config', ALICE, '--for', name, '--new-password'];
    const { stdout, stderr } = await desk.postern(home, [...args, '--quiet']);
    const file = new Set(stdout.toString().match(PASSWORD));
    const said = stderr.match(PASSWORD) ?? [];
    // In the file where it belongs there, otherwise said once beside it; never both.
    assert.deepEqual([file.size, said.length].toSorted(), [0, 1], stdout.toString() + stderr);
    const ca = /\/\S+\.pem/.exec(stdout.toString() + stderr)?.[0]?.replace(/["');,]+$/, '');
    assert.ok(ca === undefined || existsSync(ca), `${ca} is not there`);
    const json = JSON.parse((await desk.postern(home, [...args, '--json'])).stdout.toString()) as { password: string };
    assert.match(json.password, /^[0-9a-z]{26}$/);
  });
}

test('N2: what is printed for Thunderbird and curl on the demonstration works', async () => {
  const { stdout } = await desk.postern(home, ['client-config', ALICE, '--for', 'thunderbird', '--new-password']);
  const { stdout: shell, stderr } = await desk.postern(home, [
    'client-config',
    ALICE,
    '--for',
    'curl',
    '--new-password',
  ]);
  const listening = new Set(Object.values(sandbox.facts.gateway).map(({ port }) => String(port)));
  const ports = [...stdout.toString().matchAll(/\bport:?\s+(\d+)/gi)].map(([, port]) => port!);
  assert.ok(ports.length >= 2 && ports.every((port) => listening.has(port)), stdout.toString());
  const read = shell
    .toString()
    .split('\n')
    .find((line) => line.includes('INBOX'))!;
  const [password] = PASSWORD.exec(stderr)!;
  const mail = await runProgram('sh', ['-ec', read], {
    env: { POSTERN_APP_PASSWORD: password },
  });
  assert.match(mail.stdout.toString(), /^Subject: /m);
  // P66: an ordinary text file, with the line ends of Unix.
  const send = shell
    .toString()
    .split('\n')
    .find((line) => line.includes('--upload-file'))!;
  const own = privateFolder();
  try {
    writeFileSync(join(own.path, 'message.eml'), `From: ${ALICE}\nTo: ${ALICE}\nSubject: P66\n\nIt works.\n`);
    const env = { POSTERN_APP_PASSWORD: password, RECIPIENT: ALICE };
    await runProgram('sh', ['-ec', send], { env, cwd: own.path });
  } finally {
    own.remove();
  }
});

test('N2: a CA file that is not there is told before a password is made', async () => {
  const ca = join(home, 'gateway-ca.pem');
  const passwords = async (): Promise<unknown> =>
    JSON.parse((await desk.postern(home, ['password', 'list', '--json'])).stdout.toString());
  const before = await passwords();
  renameSync(ca, `${ca}.away`);
  try {
    const args = ['client-config', ALICE, '--for', 'mutt', '--new-password'];
    const { stderr } = await desk.postern(home, args, { accept: [64] });
    assert.match(stderr, /gateway-ca\.pem is not there/);
    assert.match(stderr, /next: correct tls\.ca in postern\.yaml/);
  } finally {
    renameSync(`${ca}.away`, ca);
  }
  assert.deepEqual(await passwords(), before);
});

test('P66: APP_PASSWORD is explained where it is in the text, and nowhere else', async () => {
  for (const [program, says] of [
    ['curl', /make the app password with: postern password add /],
    ['python', /make the app password with: postern password add /],
    ['nodemailer', /make the app password with: postern password add /],
    ['msmtp', /\bAPP_PASSWORD stands for: postern password add /],
  ] as const) {
    const { stdout, stderr } = await desk.postern(home, ['client-config', ALICE, '--for', program]);
    assert.match(stderr, says, program);
    assert.equal(/(?<!POSTERN_)APP_PASSWORD/.test(stdout.toString()), program === 'msmtp', program);
    assert.equal(/(?<!POSTERN_)APP_PASSWORD stands for/.test(stderr), program === 'msmtp', program);
  }
});
