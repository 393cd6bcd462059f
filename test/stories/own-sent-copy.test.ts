/** A program that sends and then stores its copy in Sent, at a provider that keeps one by itself: with the right app password there is one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ImapProgram } from '../bed/imap-program.ts';
import { without } from '../bed/need.ts';
import { runProgram } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';

const PROGRAM = new URL('send_and_store.py', import.meta.url).pathname;
let site: SandboxGateway;

before(async () => {
  site = await startSandboxGateway();
});
after(async () => {
  await site?.stop();
});

async function appPassword(...options: readonly string[]): Promise<string> {
  const args = ['--json', 'password', 'add', '--mailbox', site.door.user, '--label', 'program', ...options];
  const { stdout, stderr } = await site.cli(args);
  assert.notEqual(stdout.length, 0, stderr);
  return (JSON.parse(stdout.toString()) as { password: string }).password;
}

/** A program sends, and stores its copy in Sent Items. */
async function send(password: string, subject: string): Promise<void> {
  const { imap, smtp, user } = site.door;
  await runProgram('python3', [PROGRAM, String(smtp.port), String(imap.port), user, password, subject]);
}

/** How often it is in Sent Items; looked at past the gateway's option. */
async function copies(subject: string, expected = 1): Promise<number> {
  const program = await ImapProgram.open({ imap: site.door.imap, user: site.door.user, password: site.door.password });
  await program.ask('EXAMINE "Sent Items"');
  let found = '';
  // The outbox may still be sending it.
  for (const end = performance.now() + 20_000; performance.now() < end; await delay(100)) {
    await program.ask('NOOP');
    found = /^\* SEARCH(.*)\r$/m.exec(await program.ask(`SEARCH SUBJECT "${subject}"`))?.[1] ?? '';
    if (found.trim().split(' ').length === expected && found.trim() !== '') break;
  }
  await program.ask('LOGOUT');
  return found.trim() === '' ? 0 : found.trim().split(' ').length;
}

for (const [name, options, setUp] of [
  ['relayed', ['--outgoing', 'direct'], []],
  ['outbox', ['--outgoing', 'outbox'], ['--route', 'smtp']],
] as const)
  test(
    `M: a program that stores its copy makes two, and with --drop-own-sent-copy one (${name})`,
    { skip: without('python3') },
    async () => {
      if (setUp.length > 0) await site.cli(['mailbox', 'set', site.door.user, ...setUp]);
      await send(await appPassword(...options), `${name}-kept`);
      assert.equal(await copies(`${name}-kept`, 2), 2);
      await send(await appPassword(...options, '--drop-own-sent-copy'), `${name}-dropped`);
      assert.equal(await copies(`${name}-dropped`), 1);
    },
  );

test('M: nothing is left out of Sent that was not sent, or was sent by somebody else', async () => {
  const password = await appPassword('--drop-own-sent-copy');
  const program = await ImapProgram.open({ imap: site.door.imap, user: site.door.user, password });
  const letter = [
    `Date: ${new Date().toUTCString()}`,
    `From: ${site.door.user}`,
    'Message-ID: <never-sent@contoso.test>',
    'Subject: never-sent',
    '',
    'hello',
    '',
  ].join('\r\n');
  program.wire.send(`x1 APPEND "Sent Items" (\\Seen) {${letter.length}}\r\n`);
  await program.wire.until(/^\+ .*\r\n/m);
  program.wire.send(`${letter}\r\n`);
  await program.wire.until(/^x1 OK .*\r\n/m);
  assert.equal(await copies('never-sent'), 1);
});

test('M: password list and the audit say which app passwords leave copies out', async () => {
  await appPassword('--drop-own-sent-copy', '--protocols', 'imap');
  const listed = JSON.parse((await site.cli(['--json', 'password', 'list'])).stdout.toString()) as {
    dropOwnSentCopy: boolean;
  }[];
  assert.deepEqual(new Set(listed.map(({ dropOwnSentCopy }) => dropOwnSentCopy)), new Set([true, false]));
  assert.match((await site.cli(['password', 'list'])).stdout.toString(), /OWN SENT COPY[\s\S]*dropped/);
  const audit = (await site.cli(['--json', 'audit', 'show', '--type', 'app-password.created'])).stdout.toString();
  assert.match(audit, /"dropOwnSentCopy": ?true/);
  const refused = site.cli(['password', 'add', '--all', '--label', 'x', '--protocols', 'smtp', '--drop-own-sent-copy']);
  await assert.rejects(refused, /add imap to --protocols/);
});
