/** Real mail programs hand their mail to the outbox, and it arrives: byte for byte, whoever composed it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { without } from '../bed/need.ts';
import { runProgram } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { exerciseSending } from './exercise.ts';
import { tenantView } from './tenant-view.ts';

let gateway: SandboxGateway;
let view: Awaited<ReturnType<typeof tenantView>>;

before(async () => {
  gateway = await startSandboxGateway();
  await gateway.cli(['mailbox', 'set', 'alice@contoso.test', '--outgoing', 'outbox']);
  view = await tenantView(gateway.facts, gateway.caPem);
});
after(async () => {
  await view?.close();
  await gateway?.stop();
});

exerciseSending(() => ({ ...view, door: gateway.door, log: () => gateway.output().slice(-4000) }));

interface Listed {
  readonly messages: readonly {
    readonly id: string;
    readonly source: string;
    readonly state: { readonly type: string };
    readonly recipients: readonly { readonly address: string; readonly state: string }[];
  }[];
}

/** Messages of the outbox once none is on its way any more. */
async function settled(): Promise<Listed['messages']> {
  for (const end = performance.now() + 30_000; performance.now() < end; await delay(200)) {
    const { stdout } = await gateway.cli(['outbox', 'list', '--json', '--limit', '1000']);
    const { messages } = JSON.parse(stdout.toString()) as Listed;
    if (messages.every(({ state }) => state.type !== 'queued' && state.type !== 'sending')) return messages;
  }
  throw new Error(`mail is still on its way:\n${gateway.output().slice(-3000)}`);
}

test('all of it went through the outbox', async () => {
  const messages = await settled();
  assert.ok(messages.length >= 10, `${messages.length} messages`);
  assert.deepEqual(
    messages.filter(({ state, source }) => state.type !== 'sent' || source !== 'smtp'),
    [],
  );
});

test(
  'swaks, as scripts use it: pipelining, and a refused sender that is told as such',
  { skip: without('swaks') },
  async () => {
    const { host, port } = gateway.facts.gateway.smtp;
    const base = ['--server', host, '--port', String(port), '--auth', 'LOGIN', '--auth-user', gateway.door.user];
    const secret = ['--auth-password', gateway.door.password];
    const message = ['--to', 'bob@contoso.test', '--header', 'Subject: from swaks', '--pipeline'];
    const good = await runProgram('swaks', [...base, ...secret, '--from', gateway.door.user, ...message]);
    assert.match(good.stdout.toString(), /250 2\.0\.0 queued as msg_/);
    await assert.rejects(
      runProgram('swaks', [...base, ...secret, '--from', 'eve@contoso.test', ...message]),
      /550 5\.7\.60 alice@contoso\.test may not send as eve@contoso\.test/,
    );
  },
);

test('sendmail: recipients from the header, Bcc gone, a bounce for whom nobody knows', async () => {
  const text = 'To: Bob <bob@contoso.test>\nBcc: nobody-here@contoso.test\nSubject: by sendmail\n\n.\nhi\n';
  await gateway.cli(['sendmail', '-t', '-i', '-f', 'alice@contoso.test'], { input: Buffer.from(text) });
  const message = (await settled()).find(({ source }) => source === 'sendmail');
  assert.deepEqual(
    message!.recipients.map(({ address, state }) => [address, state]),
    [
      ['bob@contoso.test', 'delivered'],
      ['nobody-here@contoso.test', 'refused'],
    ],
  );
  const arrived = (await view.messages('bob@contoso.test', 'INBOX')).at(-1)!.body.toString();
  assert.match(arrived, /^Subject: by sendmail\r$/m);
  assert.match(arrived, /\r\n\r\n\.\r\nhi\r\n/);
  assert.doesNotMatch(arrived, /nobody-here/);
  for (const end = performance.now() + 10_000; ; await delay(100)) {
    const inbox = await view.messages('alice@contoso.test', 'INBOX');
    const report = inbox.find(({ body }) => body.includes('report-type=delivery-status'));
    if (report) {
      assert.match(report.body.toString(), /^Final-Recipient: rfc822; nobody-here@contoso\.test\r$/m);
      assert.match(report.body.toString(), /^Status: 5\.1\.10\r$/m);
      break;
    }
    assert.ok(performance.now() < end, 'no report came');
  }
});
