/** `postern sandbox fault` and `clock`, the real commands against a real sandbox. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { openDesk } from '../bed/command-desk.ts';
import { privateFolder } from '../bed/process.ts';

const folder = privateFolder();
const desk = openDesk();
const { postern } = desk;
let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(async () => {
  desk.close();
  await sandbox.close();
  folder.remove();
});

const run = async (...args: readonly string[]): Promise<string> =>
  (await postern(folder.path, ['sandbox', ...args], { env: { POSTERN_SANDBOX: sandbox.control } })).stdout.toString();

test('a fault is set, shown and cleared', async () => {
  const said = await run('fault', 'set', 'connection-slow', '--times', '2', '--protocol', 'imap', '--value', '5');
  assert.match(said, /^connection-slow: 2 times, at imap, value 5 \(key [\da-f]+\)\n$/);
  assert.equal(sandbox.faults.active[0]?.fault, 'connection-slow');
  const listed = JSON.parse(await run('fault', 'list', '--json', '--stage', 'network')) as {
    faults: { id: string; stage: string }[];
    active: { fault: string }[];
  };
  assert.ok(listed.faults.every(({ stage }) => stage === 'network'));
  assert.deepEqual(
    listed.active.map(({ fault }) => fault),
    ['connection-slow'],
  );
  assert.match(await run('fault', 'list', '--set'), /connection-slow/);
  assert.equal(await run('fault', 'clear'), 'cleared: 1\n');
  assert.deepEqual(sandbox.faults.active, []);
});

test('P46: a fault that shows at a special host name says so when it is set', async () => {
  const { stderr } = await postern(folder.path, ['sandbox', 'fault', 'set', 'dns-failure'], {
    env: { POSTERN_SANDBOX: sandbox.control },
  });
  assert.match(stderr, /it bites at: .*; then: .*for mail, use the host outlook\.unresolvable\.invalid/);
  await run('fault', 'clear');
});

test('time passes', async () => {
  const before = sandbox.clock.now();
  const now = new Date((await run('clock', 'advance', '3d')).trim()).getTime();
  assert.ok(now >= before + 3 * 86_400_000);
  const shown = JSON.parse(await run('clock', 'show', '--json')) as { aheadMs: number };
  assert.equal(shown.aheadMs, 3 * 86_400_000);
});

test('what is wrong is said: no such fault, no sandbox', async () => {
  const env = { POSTERN_SANDBOX: sandbox.control };
  const unknown = await postern(folder.path, ['sandbox', 'fault', 'set', 'imap-throtled'], { env, accept: [64] });
  assert.match(unknown.stderr, /there is no fault imap-throtled\npostern: next: .*fault list/);
  const bogus = await postern(folder.path, ['sandbox', 'fault', 'clear', 'bogus'], { env, accept: [64] });
  assert.match(bogus.stderr, /there is no fault bogus, and none is set with this key\n/);
  assert.equal(await run('fault', 'clear', 'imap-throttled'), 'cleared: 0\n');
  const nowhere = ['sandbox', 'clock', 'show', '--control', 'http://127.0.0.1:1/sandbox', '--json'];
  const absent = await postern(folder.path, nowhere, { accept: [75] });
  assert.equal((JSON.parse(absent.stderr) as { error: { code: string } }).error.code, 'cli.no-sandbox');
});
