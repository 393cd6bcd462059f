/** `postern init` that is killed while it makes the master key leaves no second name of the key behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { COMMAND, postern } from '../bed/postern.ts';
import { INHERITED, privateFolder } from '../bed/process.ts';

const INIT = ['init', '--no-mailbox', '--yes'];

function home(t: TestContext): string {
  const folder = privateFolder();
  t.after(() => folder.remove());
  return folder.path;
}

/** Kills the process when it has called this of node:fs/promises, or is about to. */
async function killedAt(path: string, when: 'before' | 'after', name: 'link' | 'rm'): Promise<void> {
  const call = `const result = await real(...args);`;
  const kill = `process.kill(process.pid, 'SIGKILL');`;
  const hook = `import fs from 'node:fs/promises'; import { syncBuiltinESMExports } from 'node:module'; const real = fs.${name};
fs.${name} = async (...args) => { ${when === 'before' ? kill + call : call + kill} return result; }; syncBuiltinESMExports();`;
  const file = join(path, 'hook.mjs');
  writeFileSync(file, hook);
  const child = spawn(process.execPath, ['--import', file, ...COMMAND, ...INIT], {
    stdio: 'ignore',
    env: { ...INHERITED, HOME: path, POSTERN_HOME: join(path, 'home'), POSTERN_COMPILE_CACHE: 'off' },
  });
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL');
}

const left = (path: string): readonly string[] =>
  readdirSync(join(path, 'home')).filter((name) => name.startsWith('key.'));

test('K35: killed before or after the key gets its name, the next init removes what is left', async (t) => {
  for (const [when, name] of [
    ['before', 'link'],
    ['after', 'link'],
    ['before', 'rm'],
  ] as const) {
    const path = home(t);
    await killedAt(path, when, name);
    assert.equal(left(path).length, 1, `${when} ${name}`);
    await postern(join(path, 'home'), INIT);
    assert.deepEqual(left(path), [], `${when} ${name}`);
    assert.ok(existsSync(join(path, 'home/key')));
  }
});

test('K35: a start removes a second name that an earlier version left; check names what may be one', async (t) => {
  const path = home(t);
  const at = join(path, 'home');
  await postern(at, INIT);
  linkSync(join(at, 'key'), join(at, 'key.new-7ee11a567032'));
  mkdirSync(join(at, 'tls'), { recursive: true });
  writeFileSync(join(at, 'tls/ca.key.once-999999.new-999999'), 'half a key');
  await postern(at, ['mailbox', 'list']);
  assert.deepEqual(left(path), []);
  assert.ok(!existsSync(join(at, 'tls/ca.key.once-999999.new-999999')));
  // Of a process that may still be at it, somewhere: it stays for a minute, and is named.
  writeFileSync(join(at, 'key.new-7ee11a567032'), 'x');
  const any = { accept: Array.from({ length: 128 }, (_, code) => code) };
  const said = (await postern(at, ['check', '--details'], any)).stdout.toString();
  assert.match(said, /key\.new-7ee11a567032 may be the master key under another name/);
  assert.match(said, /rm \S*key\.new-7ee11a567032/);
  utimesSync(join(at, 'key.new-7ee11a567032'), 0, 0);
  await postern(at, ['mailbox', 'list']);
  assert.deepEqual(left(path), []);
});
