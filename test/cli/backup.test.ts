/** The commands of docs/backup.md, as they are printed: another folder, the same local CA, the same mailboxes. */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { COMMAND } from '../bed/postern.ts';
import { type Finished, privateFolder, runProgram } from '../bed/process.ts';

const folder = privateFolder();
const page = readFileSync(resolve(import.meta.dirname, '../../docs/backup.md'), 'utf8');
const [making, restoring] = [...page.matchAll(/```sh\n(.*?)```/gs)].map(([, text]) =>
  text!.replaceAll('/srv/backup/postern', join(folder.path, 'backup')),
);
const env = { HOME: folder.path, POSTERN_HOME: '', POSTERN_CONFIG: '' };
const state = join(folder.path, '.local/state/postern');

const postern = (...args: readonly string[]): Promise<Finished> =>
  runProgram(process.execPath, [...COMMAND, ...args], { env });
const shell = (text: string): Promise<Finished> => runProgram('bash', ['-euc', text], { env });

before(async () => {
  await postern('init', '--no-mailbox');
  await postern('application', 'add', 'work', '--client-id', '5a4db0c5-0000-4000-8000-000000000010');
});
after(folder.remove);

test('N9: a backup made and restored as documented has the same key, providers and local CA', async () => {
  const ca = readFileSync(join(state, 'tls/ca.pem'), 'utf8');
  await shell(making!);
  renameSync(join(folder.path, '.local'), join(folder.path, 'lost'));
  rmSync(join(folder.path, '.config'), { recursive: true });
  await shell(restoring!);
  const { stdout } = await postern('application', 'list', '--json');
  assert.equal((JSON.parse(stdout.toString()) as { name: string }[])[0]?.name, 'work');
  await postern('init', '--no-mailbox');
  assert.equal(readFileSync(join(state, 'tls/ca.pem'), 'utf8'), ca);
  await postern('audit', 'verify');
  const { stdout: checked } = await postern('check', '--installation');
  assert.match(checked.toString(), /ok +master key/);
});
