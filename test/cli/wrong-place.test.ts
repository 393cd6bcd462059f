/** A mistyped folder or variable: nothing is made, and what named it is told. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openDesk } from '../bed/command-desk.ts';
import { privateFolder } from '../bed/process.ts';

const scratch = privateFolder();
const desk = openDesk();
after(() => {
  desk.close();
  scratch.remove();
});

test('G18: only init, serve and sandbox make a folder; others say what named it', async () => {
  const home = join(scratch.path, 'mistyped');
  for (const args of [['mailbox', 'list'], ['application', 'list'], ['check', 'alice@contoso.test'], ['check']]) {
    const { stderr, stdout } = await desk.postern(home, args, { accept: Array.from({ length: 128 }, (_, at) => at) });
    assert.match(
      `${stderr}${stdout.toString()}`,
      /there is no (?:installation|Postern) in \S*mistyped/i,
      args.join(' '),
    );
    assert.ok(!existsSync(home), args.join(' '));
  }
});

test('D23: check and serve where there is no installation: one sentence, exit 64, postern init, and nothing is made', async () => {
  const missing = join(scratch.path, 'none', 'at-all');
  const empty = join(scratch.path, 'empty');
  mkdirSync(empty, { mode: 0o700 });
  for (const home of [missing, empty])
    for (const args of [['check'], ['check', '--installation'], ['support-bundle'], ['serve']]) {
      const { stderr, stdout } = await desk.postern(home, [...args, '--json'], { accept: [64] });
      const { error } = JSON.parse(stderr.trim().split('\n').at(-1)!) as { error: { code: string; hint: string } };
      assert.deepEqual([error.code, stdout.toString()], ['server.not-initialised', ''], args.join(' '));
      assert.match(error.hint, /postern init/);
    }
  assert.ok(!existsSync(join(scratch.path, 'none')));
  assert.deepEqual(readdirSync(empty), []);
});

test('G12: where a variable set the value, the next step names the variable', async () => {
  const home = join(scratch.path, 'home');
  await desk.postern(home, ['init', '--no-mailbox']);
  const accept = [64, 78];
  const workers = await desk.postern(home, ['mailbox', 'list'], { accept, env: { POSTERN_WORKERS: 'many' } });
  assert.match(workers.stderr, /next: correct or unset POSTERN_WORKERS/);
  const url = `sqlite:${join(scratch.path, 'x.db')}`;
  const database = await desk.postern(home, ['mailbox', 'list'], { accept, env: { POSTERN_DATABASE_URL: url } });
  assert.match(database.stderr, /next: correct or unset POSTERN_DATABASE_URL, or /);
});
