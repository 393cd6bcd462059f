/** A wrong port or CA is corrected in place: the running gateway uses it, and no consent is given twice. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createHome, type Home, type Serving } from '../bed/installation.ts';
import { ALICE } from '../bed/mail-site.ts';
import type { CheckReport } from '../../src/check/types.ts';
import { type Finished, privateFolder, runProgram } from '../bed/process.ts';
import { startSandbox, type Sandbox } from '../../src/sandbox/index.ts';

const folder = privateFolder();
let sandbox: Sandbox;
let home: Home;
let serving: Serving;

before(async () => {
  sandbox = await startSandbox();
  const { pop3, smtp } = sandbox.mail;
  const ca = sandbox.caPem;
  home = await createHome({
    application: {
      provider: 'microsoft',
      clientId: sandbox.clients.public.id,
      // Nothing listens on port 1.
      settings: {
        authority: sandbox.authority,
        ca,
        imap: { host: 'localhost', port: 1, tls: 'implicit', ca },
        pop3: { ...pop3, ca },
        smtp: { ...smtp, ca },
      },
    },
    authority: { approve: (url: string) => sandbox.approve(url, ALICE) },
  });
  serving = await home.serve();
});
after(async () => {
  await serving?.stop();
  home?.remove();
  await sandbox?.close();
  folder.remove();
});

const json = ({ stdout }: Finished): Record<string, unknown> =>
  JSON.parse(stdout.toString()) as Record<string, unknown>;

const imap = (accept: readonly number[]): Promise<Finished> =>
  runProgram(
    'curl',
    ['-sv', '--max-time', '20', '--user', `${ALICE}:${home.password}`, `imap://127.0.0.1:${serving.door.imap.port}/`],
    { accept },
  );

test('N3: a wrong port and a wrong CA are corrected in place, under a running gateway, without another consent', async () => {
  assert.match((await imap([67, 56, 8])).stderr, /NO \[UNAVAILABLE\]/);
  const consents = json(await home.cli(['mailbox', 'show', ALICE, '--json']))['grant'] as { id: string };
  const { host, port } = sandbox.mail.imap;
  const set = json(await home.cli(['application', 'set', 'work', '--imap', `${host}:${port}/implicit`, '--json']));
  assert.deepEqual([set['changed'], set['consentsLost']], [['imap'], []]);
  await works();

  const wrong = join(folder.path, 'wrong.pem');
  const right = join(folder.path, 'right.pem');
  writeFileSync(wrong, serving.caPem);
  writeFileSync(right, sandbox.caPem);
  // The CA is that of the servers too, and is one change.
  const { stdout: said } = await home.cli(['application', 'set', 'work', '--ca', wrong]);
  assert.match(said.toString(), /^work: changed ca\n/, 'P70');
  const { stdout } = await home.cli(['check', ALICE], { accept: [64, 69, 75, 76] });
  assert.match(stdout.toString(), /postern application set work --ca FILE/);
  await home.cli(['application', 'set', 'work', '--ca', right]);
  await works();
  const now = json(await home.cli(['mailbox', 'show', ALICE, '--json']))['grant'] as { id: string };
  assert.equal(now.id, consents.id);
  const again = json(await home.cli(['application', 'set', 'work', '--ca', right, '--json']));
  assert.deepEqual(again['changed'], []);
});

/** The gateway hears of the change within two seconds. */
async function works(): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; await delay(250)) {
    const { stdout } = await imap([0, 67, 56, 8]);
    if (stdout.toString().includes('INBOX')) return;
  }
  assert.fail(`it does not work: ${serving.output()}`);
}

test('P83: a tenant that does not exist is told when it is set', async () => {
  const wrong = `${new URL(sandbox.authority).origin}/11111111-2222-4333-8444-555555555555`;
  const { stderr } = await home.cli(['application', 'set', 'work', '--authority', wrong]);
  assert.match(stderr, /it was set, and .*the tenant does not exist in this cloud; .*postern .*application show work/);
  const { stderr: right } = await home.cli(['application', 'set', 'work', '--authority', sandbox.authority]);
  assert.doesNotMatch(right, /it was set/);
});

test('N3: what makes no sense changes nothing, and what loses consents says whose', async () => {
  const refusals = [
    ['application', 'set', 'work'],
    ['application', 'set', 'work', '--unset', 'colour'],
    ['application', 'set', 'work', '--authority', 'http://insecure.example/x'],
    ['application', 'set', 'work', '--name', 'a b'],
    ['application', 'set', 'work', '--client-id', ''],
    ['application', 'add', 'typed', '--client-id', 'a-secret-value'],
    ['application', 'set', 'nobody', '--tenant', 'x'],
    ['mailbox', 'set', ALICE, '--application', 'nobody'],
  ];
  for (const args of refusals) assert.match((await home.cli(args, { accept: [64] })).stderr, /next: /, args.join(' '));
  const other = json(
    await home.cli(['application', 'set', 'work', '--client-id', '5a4db0c5-0000-4000-8000-0000000000ff', '--json']),
  );
  assert.deepEqual(other['consentsLost'], [ALICE]);
  const back = ['application', 'set', 'work', '--client-id', sandbox.clients.public.id, '--name', 'mail', '--json'];
  assert.deepEqual(json(await home.cli(back))['changed'], ['name', 'clientId']);
  await home.cli(['application', 'set', 'mail', '--name', 'work']);
});

test('N3: a mailbox moves to another application of the same client with its consent, and to no other', async () => {
  const settings = join(folder.path, 'settings.json');
  const ca = sandbox.caPem;
  const server = (protocol: 'imap' | 'pop3' | 'smtp'): object => ({ ...sandbox.mail[protocol], ca });
  writeFileSync(
    settings,
    JSON.stringify({
      authority: sandbox.authority,
      ca,
      imap: server('imap'),
      pop3: server('pop3'),
      smtp: server('smtp'),
    }),
  );
  const add = (name: string, id: string): Promise<Finished> =>
    home.cli(['application', 'add', name, '--client-id', id, '--settings', settings]);
  await add('twin', sandbox.clients.public.id);
  await add('stranger', sandbox.clients.confidential.id);
  assert.deepEqual(json(await home.cli(['mailbox', 'set', ALICE, '--application', 'twin', '--json']))['moved'], [
    ALICE,
  ]);
  await works();
  const { stderr } = await home.cli(['mailbox', 'set', ALICE, '--application', 'stranger'], { accept: [64] });
  assert.match(stderr, /next: .*postern mailbox reconsent alice@contoso\.test --application stranger/);
  await home.cli(['application', 'remove', 'stranger']);
  await home.cli(['mailbox', 'set', ALICE, '--application', 'work']);
  await home.cli(['application', 'remove', 'twin']);
  await works();
});

test('N8: mailbox add --link prints a link for the owner, and only one that lasts', async () => {
  const moving = await home.cli(['mailbox', 'add', 'bob@contoso.test', '--link'], { accept: [64] });
  assert.match(moving.stderr, /set console\.port in postern\.yaml/);
  const device = await home.cli(['mailbox', 'add', 'bob@contoso.test', '--link', '--flow', 'device'], { accept: [64] });
  assert.match(device.stderr, /leave --flow out/);
});

test('G6: a port of another TLS mode or another protocol is told as such, as our setting, with the command that corrects it', async () => {
  const { host, port } = sandbox.mail.imap;
  const { pop3, smtp } = sandbox.mail;
  for (const [setting, sentence, right] of [
    [`${host}:${port}/starttls`, /speaks IMAP with TLS from the first byte, and the settings say STARTTLS/, port],
    [`${host}:${pop3.port}/implicit`, /is a port for POP3, and the settings say IMAP/, 993],
    [`${host}:${smtp.port}/implicit`, /is a port for SMTP, and the settings say IMAP/, 993],
  ] as const) {
    await home.cli(['application', 'set', 'work', '--imap', setting, '--json']);
    const done = await home.cli(['check', ALICE, '--json'], { accept: [64, 69, 75, 76, 77, 78] });
    const { first, findings } = json(done) as unknown as CheckReport;
    assert.match(first?.sentence ?? '', sentence, setting);
    assert.equal(first?.blame, 'operator');
    assert.equal(first?.passesWhen, undefined);
    assert.match(
      first?.remedy[0]?.do ?? '',
      new RegExp(`postern application set work --imap ${host}:${right}/implicit$`),
    );
    // The step agrees with what is said above all.
    const failed = findings.find(({ outcome }) => outcome === 'failed');
    assert.match(failed?.says ?? '', sentence);
  }
  await home.cli(['application', 'set', 'work', '--imap', `${host}:${port}/implicit`]);
});
