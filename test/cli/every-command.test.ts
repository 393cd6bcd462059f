/** Every command, from the program itself: help with an example, misuse, an installation that is not there; plain and with --json. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Command } from 'commander';
import { program } from '../../src/cli/program.ts';
import { openDesk } from '../bed/command-desk.ts';
import { privateFolder } from '../bed/process.ts';

const folder = privateFolder();
const desk = openDesk();
after(() => {
  desk.close();
  folder.remove();
});

function leaves(
  command: Command,
  path: readonly string[] = [],
): readonly { path: readonly string[]; command: Command }[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}

/** Exactly one JSON object on standard error, and nothing on standard output. */
function errorOf(done: { stdout: Buffer; stderr: string }): { code: string; hint: string } {
  assert.equal(done.stdout.length, 0, done.stdout.toString());
  const { error } = JSON.parse(done.stderr) as { error: { code: string; hint: string } };
  assert.notEqual(error.hint, '', error.code);
  return error;
}

/** Any status but success. */
const FAILURES = Array.from({ length: 64 }, (_, index) => 64 + index);

for (const { path, command } of leaves(program())) {
  const name = path.join(' ');

  test(`D7: postern ${name}: help, misuse and --json`, async () => {
    const help = await desk.postern(folder.path, [...path, '--help']);
    assert.match(help.stdout.toString(), /^Examples?\b[^\n]*:\n {2}.*\bpostern /m);

    const misuse = [...path, '--no-such-option'];
    const plain = await desk.postern(folder.path, misuse, { accept: [64] });
    assert.equal(plain.stdout.length, 0);
    assert.match(plain.stderr, /^postern: .+\npostern: next: .+\n$/);
    assert.equal(errorOf(await desk.postern(folder.path, [...misuse, '--json'], { accept: [64] })).code, 'cli.usage');

    if (command.registeredArguments.some(({ required }) => required)) {
      const missing = await desk.postern(folder.path, [...path, '--json'], { accept: [64] });
      assert.equal(errorOf(missing).code, 'cli.usage');
    }
    // Every option with a list of values refuses others.
    for (const option of command.options.filter(({ argChoices }) => argChoices !== undefined)) {
      const args = command.registeredArguments.filter(({ required }) => required).map(() => 'x');
      const wrong = await desk.postern(folder.path, [...path, ...args, option.long!, 'zz', '--json'], { accept: [64] });
      assert.equal(errorOf(wrong).code, 'cli.usage', option.long);
    }
  });
}

for (const [args, accept] of [
  [['init', '--yes', '--flow', 'zz', '--no-mailbox'], [64]],
  [['sandbox', 'fault', 'list', '--stage', 'zz'], [64]],
  [
    ['support-bundle', '--output', '/no/such/b.tgz'],
    [64, 73],
  ],
  [['register', 'microsoft', '--flow', 'zz'], [64]],
] as const)
  test(`D7: postern ${args.join(' ')} is refused, plainly and as JSON`, async () => {
    const plain = await desk.postern(folder.path, args, { accept: [...accept] });
    assert.match(plain.stderr, /^(?:postern: .*\n)+$/);
    assert.doesNotMatch(plain.stderr, /\n {4}at /);
    errorOf(await desk.postern(folder.path, [...args, '--json'], { accept: [...accept] }));
  });

test('D7: what prints a script or a message gives JSON too', async () => {
  const { stdout } = await desk.postern(folder.path, ['completion', 'bash', '--json']);
  assert.deepEqual(Object.keys(JSON.parse(stdout.toString()) as object), ['shell', 'script']);
});

test('D7: without an installation every failure is one line and a next step', async () => {
  for (const args of [
    ['mailbox', 'list'],
    ['audit', 'verify'],
    ['outbox', 'show', 'msg_x'],
    ['token', 'a@b.test'],
  ]) {
    const plain = await desk.postern(folder.path, args, { accept: FAILURES });
    assert.match(plain.stderr, /^postern: .+\npostern: next: .+\n$/, args.join(' '));
  }
});
