/** `*@domain`: one application-only mailbox opens every address of a domain, with the real commands and the real gateway. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { privateFolder } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { Wire } from '../bed/wire.ts';

const EVERYBODY = '*@contoso.test';
const folder = privateFolder();
let site: SandboxGateway;
let password: string;

before(async () => {
  site = await startSandboxGateway();
  const { tenant, authority } = site.facts;
  const settings = join(folder.path, 'settings.json');
  writeFileSync(
    settings,
    JSON.stringify({
      authority,
      ca: site.caPem,
      imap: { ...tenant.imap, ca: site.caPem },
      smtp: { ...tenant.smtp, ca: site.caPem },
    }),
  );
  const secret = join(folder.path, 'secret');
  writeFileSync(secret, 'sandbox~secret/for+contoso-only');
  await site.cli([
    'application',
    'add',
    'robot',
    '--preset',
    'microsoft',
    '--client-id',
    '5a4db0c5-0000-4000-8000-000000000020',
    '--client-secret-file',
    secret,
    '--settings',
    settings,
  ]);
  await site.cli(['mailbox', 'add', EVERYBODY, '--application', 'robot', '--flow', 'app-only', '--protocols', 'imap']);
  await site.cli(['mailbox', 'remove', 'sales@contoso.test', '--yes']);
  const made = await site.cli(['password', 'add', '--mailbox', EVERYBODY, '--label', 'archive', '--json']);
  ({ password } = JSON.parse(made.stdout.toString()) as { password: string });
});
after(async () => {
  await site?.stop();
  folder.remove();
});

async function login(address: string): Promise<{ wire: Wire; answer: string }> {
  const wire = await Wire.open(site.facts.gateway.imap);
  wire.send(`a LOGIN ${address} ${password}\r\n`);
  const answer = await wire.until(/^a (?:OK|NO|BAD).*$/m);
  return { wire, answer };
}

test('M: addresses without a mailbox of their own are opened, those of another domain are not', async () => {
  // Its own mailbox was removed a moment ago: until the gateway has heard of that, it is closed.
  let { wire, answer } = await login('sales@contoso.test');
  for (const end = performance.now() + 10_000; !/^a OK/m.test(answer) && performance.now() < end;)
    ({ wire, answer } = await login('sales@contoso.test'));
  assert.match(answer, /^a OK/m);
  wire.send('b SELECT INBOX\r\n');
  assert.match(await wire.until(/^b .*$/m), /^b OK/m);
  const { answer: other } = await login('sales@fabrikam.test');
  assert.match(other, /^a NO \[AUTHENTICATIONFAILED\]/m);
});

test('P84: a mailbox that does not exist is not called open: it is tried when it is added', async () => {
  const add = (address: string) =>
    site.cli(['mailbox', 'add', address, '--application', 'robot', '--flow', 'app-only', '--protocols', 'imap']);
  const missing = await add('nobody@contoso.test');
  assert.match(
    String(missing.stdout),
    /nobody@contoso\.test is set up for imap\nIMAP {2}does not work: .*\n +because /,
  );
  assert.doesNotMatch(String(missing.stdout), / is open/);
  const listed = await site.cli(['mailbox', 'list']);
  assert.match(String(listed.stdout), /^MAILBOX .* GRANT +LAST TRY$/m);
  assert.match(String(listed.stdout), /^nobody@contoso\.test .* healthy +failed \d{4}-\d\d-\d\d \d\d:\d\d: \S/m);
  assert.match(String(listed.stdout), /^\*@contoso\.test .* healthy +-$/m);
  await site.cli(['mailbox', 'remove', 'nobody@contoso.test', '--yes']);
  const there = await add('sales@contoso.test');
  assert.match(String(there.stdout), /sales@contoso\.test is open for imap\n$/);
  await site.cli(['mailbox', 'remove', 'sales@contoso.test', '--yes']);
});

test('P85: check tells several mailboxes with one cause in one block, with the service principal by its id', async () => {
  const names = ['no1', 'no2'].map((name) => `${name}@contoso.test`);
  const flags = ['--application', 'robot', '--flow', 'app-only', '--protocols', 'imap'];
  for (const address of names) await site.cli(['mailbox', 'add', address, ...flags]);
  const { stdout } = await site.cli(['check'], { accept: Array.from({ length: 128 }, (_, code) => code) });
  const text = String(stdout);
  assert.match(text, /^2 mailboxes alike; ADDRESS stands for each\n {2}no1@contoso\.test, no2@contoso\.test$/m);
  const block = text.slice(text.indexOf('2 mailboxes alike')).split('\n\n')[0]!;
  assert.match(block, /Add-MailboxPermission -Identity ADDRESS -User [\da-f-]{36} -AccessRights FullAccess/);
  assert.equal(text.match(/Add-MailboxPermission/g)?.length, 1, text);
  for (const address of names) await site.cli(['mailbox', 'remove', address, '--yes']);
});

test('P53: what is refused while a mailbox is added names the application and the mailbox in its next step', async () => {
  const wrong = join(folder.path, 'wrong-secret');
  writeFileSync(wrong, 'sandbox~secret/of+somebody-else');
  const like = [
    '--client-id',
    '5a4db0c5-0000-4000-8000-000000000020',
    '--settings',
    join(folder.path, 'settings.json'),
  ];
  await site.cli(['application', 'add', 'typed', ...like, '--client-secret-file', wrong]);
  const add = ['mailbox', 'add', 'sales@contoso.test', '--application', 'typed', '--flow', 'app-only'];
  const { stderr } = await site.cli(add, { accept: Array.from({ length: 128 }, (_, code) => code) });
  assert.match(stderr, /AADSTS7000215/);
  assert.match(stderr, /next: .*postern application credential add typed /);
  assert.doesNotMatch(stderr, /\b(?:NAME|ADDRESS|TENANT|CLIENT-ID)\b/);
  await site.cli(['application', 'remove', 'typed']);
});

test('M: a password for the domain opens a mailbox that has its own consent as well; one for an address opens only that', async () => {
  assert.match((await login('alice@contoso.test')).answer, /^a OK/m);
  const made = await site.cli(['password', 'add', '--mailbox', 'sales@contoso.test', '--label', 'one', '--json']);
  const own = (JSON.parse(made.stdout.toString()) as { password: string }).password;
  const wire = await Wire.open(site.facts.gateway.imap);
  wire.send(`a LOGIN bob@contoso.test ${own}\r\n`);
  assert.match(await wire.until(/^a .*$/m), /^a NO \[AUTHENTICATIONFAILED\]/m);
});

test('M: what can be changed is the mailbox of the domain, and commands about one address say so', async () => {
  const tested = await site.cli(['mailbox', 'test', 'sales@contoso.test', '--protocols', 'imap']);
  assert.match(tested.stdout.toString(), /IMAP +works/);
  const refused = await site.cli(['mailbox', 'suspend', 'sales@contoso.test'], { accept: [64] });
  assert.match(refused.stderr, /no mailbox of its own; \*@contoso\.test opens it/);
  const named = await site.cli(['mailbox', 'test', EVERYBODY], { accept: [64] });
  assert.match(named.stderr, /mailbox test SOMEBODY@contoso\.test/);
});

test('M: suspending the mailbox of the domain ends the sessions it opened', async () => {
  const { wire, answer } = await login('sales@contoso.test');
  assert.match(answer, /^a OK/m);
  await site.cli(['mailbox', 'suspend', EVERYBODY]);
  await wire.until(/\* BYE this mailbox was closed/);
  assert.match((await login('sales@contoso.test')).answer, /^a NO/m);
  await site.cli(['mailbox', 'resume', EVERYBODY]);
  assert.match((await login('sales@contoso.test')).answer, /^a OK/m);
});

test('M: a person’s consent does not open a domain', async () => {
  const refused = await site.cli(['mailbox', 'add', '*@fabrikam.test', '--application', 'robot', '--flow', 'device'], {
    accept: [64],
  });
  assert.match(refused.stderr, /stands for every address of its domain/);
});

test('A5: removing a mailbox ends its sessions although the domain’s mailbox would open its address, and says so', async () => {
  const alice = site.facts.mailboxes.find(({ address }) => address === 'alice@contoso.test')!;
  const wire = await Wire.open(site.facts.gateway.imap);
  wire.send(`a LOGIN ${alice.address} ${alice.password}\r\n`);
  assert.match(await wire.until(/^a .*$/m), /^a OK/m);
  const removed = await site.cli(['mailbox', 'remove', alice.address, '--yes']);
  await wire.until(/\* BYE this mailbox was closed/);
  assert.match(removed.stderr, /\*@contoso\.test opens alice@contoso\.test from now on/);
});
