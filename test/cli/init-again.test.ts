/** `postern init` again: it goes on where it stopped, and asks nobody to sign in at the wrong provider. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openDesk } from '../bed/command-desk.ts';
import { ALICE } from '../bed/mail-site.ts';
import { type Finished, privateFolder, type RunOptions } from '../bed/process.ts';
import { startSandbox, type Sandbox } from '../../src/sandbox/index.ts';

const folder = privateFolder();
const desk = openDesk();
const home = join(folder.path, 'home');
const ca = join(folder.path, 'ca.pem');
let sandbox: Sandbox;

before(async () => {
  sandbox = await startSandbox();
  writeFileSync(ca, sandbox.caPem);
});
after(async () => {
  desk.close();
  await sandbox?.close();
  folder.remove();
});

/** Nothing comes through this proxy, so discovery knows what it knows by itself. */
const OFFLINE = { HTTPS_PROXY: 'http://127.0.0.1:1', NO_PROXY: 'localhost' };
const run = (args: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  desk.postern(home, args, { ...options, env: { ...OFFLINE, ...options.env } });

const providers = async (): Promise<readonly { readonly name: string }[]> =>
  JSON.parse((await run(['application', 'list', '--json'])).stdout.toString()) as never;

const start = (imap: string): readonly string[] =>
  `init --yes --address ${ALICE} --client-id ${sandbox.clients.public.id} --ca ${ca} --authority ${sandbox.authority} --imap ${imap} --protocols imap --flow paste`.split(
    ' ',
  );

test('N11: an init that stopped at the sign-in goes on with the same application, corrected by what is said again', async () => {
  const { host, port } = sandbox.mail.imap;
  for (const imap of ['localhost:1/implicit', `${host}:${port}/implicit`, `${host}:${port}/implicit`]) {
    // Nothing is pasted: standard input is at its end.
    const { stderr } = await run(start(imap), { accept: [64, 69, 70, 75, 77] });
    assert.doesNotMatch(stderr, /defect/);
    assert.deepEqual(
      (await providers()).map(({ name }) => name),
      ['work'],
    );
  }
  const { stdout } = await run(['application', 'show', 'work']);
  assert.match(stdout.toString(), new RegExp(`imap +${host}:${port} implicit`));
});

test('N11: an address at Google is not sent to the Microsoft application, by init or by mailbox add', async () => {
  const init = await run(['init', '--yes', '--address', 'x@gmail.com'], { accept: [64] });
  assert.match(
    init.stderr,
    /x@gmail\.com is at Gmail and Google Workspace, and no application here is registered there: work/,
  );
  assert.match(
    init.stderr,
    /next: postern register google, then postern init --address x@gmail\.com --client-id CLIENT_ID/,
  );
  const add = await run(['mailbox', 'add', 'x@gmail.com'], { accept: [64] });
  assert.match(
    add.stderr,
    /x@gmail\.com is at Gmail and Google Workspace, and work is an application at Microsoft 365/,
  );
  const unknown = await run(['init', '--yes', '--address', 'x@nobody.invalid'], { accept: [69] });
  assert.match(unknown.stderr, /nothing is known about the provider of x@nobody\.invalid/);
  assert.match(unknown.stderr, /name it with --application: work \(microsoft\)/);
  assert.equal((await providers()).length, 1);
});

test('K26: three at once all end well, and an empty key file without a database is made again', async () => {
  const together = join(folder.path, 'together');
  const init = (where: string): Promise<Finished> =>
    desk.postern(where, ['init', '--no-mailbox', '--yes'], { env: OFFLINE });
  await Promise.all([init(together), init(together), init(together)]);
  const ended = join(folder.path, 'ended');
  mkdirSync(ended);
  writeFileSync(join(ended, 'key'), '', { mode: 0o600 });
  await init(ended);
  for (const where of [together, ended]) {
    const listed = await desk.postern(where, ['--json', 'application', 'list']);
    assert.deepEqual(JSON.parse(listed.stdout.toString()), []);
    assert.deepEqual(
      readdirSync(where).filter((name) => name.includes('.new')),
      [],
    );
  }
});
