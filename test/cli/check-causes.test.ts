/** What `postern check` says of a refused renewal: each cause once, with whoever has to act and real names, and nothing of before. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Secret } from '../../src/base/secret.ts';
import { createHome, type Home } from '../bed/installation.ts';
import { ALICE } from '../bed/mail-site.ts';
import { type FaultId, type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { CheckReport } from '../../src/check/types.ts';

const ANY = Array.from({ length: 128 }, (_, code) => code);
let sandbox: Sandbox;
let home: Home;

before(async () => {
  sandbox = await startSandbox();
  const { caPem: ca, mail } = sandbox;
  const at = (name: 'imap' | 'pop3' | 'smtp') => ({ ...mail[name], ca });
  const { id: clientId, secret } = sandbox.clients.confidential;
  const application = {
    provider: 'microsoft' as const,
    clientId,
    credential: { type: 'secret', secret: new Secret(secret) },
    settings: { authority: sandbox.authority, ca, imap: at('imap'), pop3: at('pop3'), smtp: at('smtp') },
  };
  home = await createHome({
    application,
    authority: { approve: (url: string) => sandbox.approve(url, ALICE) },
  });
});
afterEach(() => sandbox.faults.clear());
after(async () => {
  home?.remove();
  await sandbox?.close();
});

const check = async (): Promise<string> => (await home.cli(['check', ALICE], { accept: ANY })).stdout.toString();
const owners = (text: string): readonly string[] => text.match(/^ {2}who .*$/gm) ?? [];

const REFUSALS: readonly (readonly [fault: FaultId, who: string])[] = [
  ['secret-wrong', 'whoever runs Postern'],
  ['application-missing', 'whoever runs Postern'],
  ['tenant-missing', 'whoever runs Postern'],
  ['account-disabled', 'an administrator at the provider'],
  ['conditional-access-blocked', 'an administrator at the provider'],
  ['password-expired', 'the owner of the mailbox'],
  ['mfa-required', 'the owner of the mailbox'],
  ['refresh-token-revoked', 'the owner of the mailbox'],
  ['authority-garbled', 'whoever runs Postern'],
];

describe('P61: one cause, one block, whoever has to act, real names', () => {
  for (const [fault, who] of REFUSALS)
    test(fault, async () => {
      sandbox.faults.set(fault);
      for (const text of [await check(), await check()]) {
        assert.deepEqual(
          owners(text).map((line) => line.slice(10)),
          [who],
          text,
        );
        assert.doesNotMatch(text, /\b(?:ADDRESS|NAME|CLIENT-ID|TENANT)\b/);
      }
      const shown = (await home.cli(['mailbox', 'show', ALICE])).stdout.toString();
      assert.match(shown, /at risk/);
      assert.doesNotMatch(shown, /\b(?:ADDRESS|NAME|CLIENT-ID|TENANT)\b/);
    });
});

test('P62: what failed before is no cause of what fails now', async () => {
  sandbox.faults.set('tenant-missing', { times: 1 });
  assert.match(await check(), /AADSTS90002/);
  sandbox.faults.clear();
  sandbox.faults.set('authority-throttled', { times: 1 });
  const text = await check();
  assert.deepEqual(owners(text).length, 1, text);
  assert.match(text, / {2}ok +what is to come +as told above; renewal has failed since \d{4}-.*AADSTS90002/);
  assert.doesNotMatch(text.slice(text.indexOf('\n\n')), /AADSTS90002/);
});

test('P63: mailbox list shows what a check was refused, until one succeeds', async () => {
  sandbox.faults.set('secret-wrong', { times: 1 });
  await check();
  const listed = async (): Promise<string> => (await home.cli(['mailbox', 'list'])).stdout.toString();
  assert.match(await listed(), /at risk/);
  const report = JSON.parse((await home.cli(['check', ALICE, '--json'])).stdout.toString()) as CheckReport;
  assert.equal(report.outcome, 'ok');
  assert.match(await listed(), /healthy/);
});

test('P84: mailbox list and show remember what a check and a test found of each protocol, and when, until there is another consent', async () => {
  const listed = async (): Promise<string> => (await home.cli(['mailbox', 'list'])).stdout.toString();
  const tried = async (): Promise<
    Readonly<Record<string, { at: string; failure?: { code: string; reason: string } }>>
  > => (JSON.parse((await home.cli(['mailbox', 'show', ALICE, '--json'])).stdout.toString()) as { tried: never }).tried;
  await check();
  assert.match(await listed(), /^alice@\S+ .* healthy +worked \d{4}-\d\d-\d\d \d\d:\d\d$/m);
  assert.deepEqual(Object.keys(await tried()), ['imap', 'pop3', 'smtp']);

  sandbox.faults.set('imap-not-connected');
  await home.cli(['mailbox', 'test', ALICE, '--protocols', 'imap'], { accept: ANY });
  const row = /^alice@.*$/m.exec(await listed())?.[0] ?? '';
  assert.match(row, / healthy +imap failed \S+ \S+: .*Exchange does not open this mailbox.*; pop3,smtp worked /);
  const after = await tried();
  assert.equal(after['imap']!.failure!.code, 'wire.syntax');
  assert.equal(after['smtp']!.failure, undefined);
  assert.match((await home.cli(['mailbox', 'show', ALICE])).stdout.toString(), /^last try {3}imap failed /m);

  sandbox.faults.clear();
  await home.cli(['mailbox', 'suspend', ALICE, '--reason', 'away']);
  await check();
  await home.cli(['mailbox', 'resume', ALICE]);
  assert.deepEqual(await tried(), after, 'a mailbox that is closed on purpose is not tried');
  await check();
  assert.match(await listed(), / healthy +worked /);
});

test('P90: init ends with what came of it and the next step, and leaves limits and coming changes to check', async () => {
  const init = ['init', '--yes', '--address', ALICE];
  const good = await home.cli(init);
  assert.match(good.stdout.toString(), / ok +provider limits +\d+ known\n/);
  assert.doesNotMatch(good.stdout.toString(), /^ +- .* per (?:minute|day)/m);
  const [works, next, later] = good.stderr.trimEnd().split('\n').slice(-3);
  assert.match(works!, /^postern: alice@contoso\.test works for imap, pop3, smtp/);
  assert.match(next!, /^postern: next: postern .*service install/);
  assert.match(later!, /postern .*check alice@contoso\.test$/);
  sandbox.faults.set('imap-disabled');
  const bad = await home.cli(init, { accept: ANY });
  const lines = bad.stderr.trimEnd().split('\n');
  const at = lines.findIndex((line) => line.startsWith('postern: alice@contoso.test does not work yet: '));
  assert.ok(at > 0 && lines.length - at < 6, bad.stderr);
  assert.match(lines[at + 1]!, /^postern: next: /);
  assert.match(
    lines.at(-1)!,
    /when that is done: postern .*check alice@contoso\.test; then postern .*service install$/,
  );
});
