/** A real Postfix with what `postern client-config --for postfix` prints: bounces keep their empty sender, and end. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { makeCertificates } from '../bed/certificates.ts';
import { createHome, type Home, type Serving } from '../bed/installation.ts';
import { without } from '../bed/need.ts';
import { type Postfix, startPostfix } from '../bed/postfix.ts';
import { freePorts, privateFolder, runProgram } from '../bed/process.ts';

const ALICE = 'alice@contoso.test';
const skip = without('postfix', 'libsasl2-modules');
const scratch = privateFolder();
let sandbox: Sandbox;
let home: Home;
let serving: Serving;
let postfix: Postfix;

before(async () => {
  if (skip !== false) return;
  sandbox = await startSandbox();
  const server = (endpoint: object): object => ({ ...endpoint, ca: sandbox.caPem });
  const { imap, smtp } = sandbox.mail;
  home = await createHome({
    application: {
      provider: 'microsoft',
      clientId: sandbox.clients.public.id,
      settings: { authority: sandbox.authority, ca: sandbox.caPem, imap: server(imap), smtp: server(smtp) },
    },
    authority: { approve: (url) => sandbox.approve(url, ALICE) },
  });
  const ports = await freePorts(6);
  const listeners = ['imap', 'pop3', 'smtp'].flatMap((protocol) =>
    ['none', 'implicit'].map((tls) => ({ protocol, tls, host: '127.0.0.1', port: ports.pop() })),
  );
  writeFileSync(join(home.path, 'postern.yaml'), JSON.stringify({ listeners, console: { port: 0 } }));
  await home.cli(['mailbox', 'set', ALICE, '--outgoing', 'outbox']);
  serving = await home.serve();
  postfix = await startPostfix({
    certificates: await makeCertificates(scratch.path),
    users: [],
    sasl: 1,
    lmtp: 1,
    settings: ['virtual_mailbox_domains =', 'default_transport = smtp', 'myorigin = vm.contoso.test'],
  });
  const args = ['client-config', ALICE, '--for', 'postfix', '--security', 'tls', '--new-password', '--json'];
  const { stdout } = await home.cli(args);
  const { text } = JSON.parse(stdout.toString()) as { text: string };
  await runProgram('sh', ['-ec', text.replaceAll('/etc/postfix/', `${postfix.etc}/`)], { env: env() });
});
after(async () => {
  await postfix?.stop();
  await serving?.stop();
  home?.remove();
  await sandbox?.close();
  scratch.remove();
});

const env = (): Record<string, string> => ({
  MAIL_CONFIG: postfix.etc,
  PATH: `${process.env.PATH ?? ''}:/usr/sbin`,
});

/** As cron does; resolves when nothing of it is left in the queue. */
async function mail(to: string): Promise<string> {
  const from = postfix.log().length;
  const input = `From: root (Cron Daemon)\nTo: ${to}\nSubject: Cron\n\nout\n`;
  await runProgram('/usr/sbin/sendmail', ['-FCronDaemon', '-i', '-oem', to], { input, env: env() });
  for (const end = performance.now() + 60_000; postfix.queued() > 0; await delay(100))
    assert.ok(performance.now() < end, `it is still in the queue:\n${postfix.log().slice(from)}`);
  return postfix.log().slice(from);
}

const fromOf = (log: string): readonly string[] =>
  [...log.matchAll(/qmgr\[\d+\]: \w+: from=<(.*?)>/g)].map((one) => one[1]!);

test('F1, F2: a bounce of Postfix keeps the null sender, passes Postern and lies in the inbox', { skip }, async () => {
  await home.cli(['suppression', 'add', 'gone@fabrikam.test']);
  const log = await mail('gone@fabrikam.test');
  assert.deepEqual(fromOf(log), [ALICE, ''], log);
  assert.match(log, /to=<gone@fabrikam\.test>.*status=bounced/);
  assert.match(log, /to=<alice@contoso\.test>.*status=sent \(250 /);
  const bounces = () =>
    sandbox.mailStore
      .find(ALICE)!
      .inbox.messages.map(({ raw }) => raw.toString())
      .filter((raw) => raw.includes('Undelivered Mail Returned to Sender'));
  for (const end = performance.now() + 30_000; bounces().length === 0; await delay(100))
    assert.ok(performance.now() < end, 'the bounce has not arrived');
  assert.match(bounces()[0]!, /^From: .*<?alice@contoso\.test>?/m);
  assert.equal(bounces().length, 1);
});

test('F1: a bounce that Postern refuses is not bounced again', { skip }, async () => {
  await home.cli(['suppression', 'add', ALICE]);
  const log = await mail('gone@fabrikam.test');
  assert.deepEqual(fromOf(log), [ALICE, ''], log);
  assert.match(log, /to=<alice@contoso\.test>.*status=bounced \(.* 550 5\.7\.1/s);
});
