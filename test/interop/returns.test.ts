/** Reports in the sender's inbox find their message, over IMAP as the sandbox's tenant speaks it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nullLog } from '../../src/base/log.ts';
import { Upstream } from '../../src/upstream/upstream.ts';
import { type Returns, watchReturns } from '../../src/outbox/deliver/returns.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { Mailbox } from '../../src/store/types.ts';
import type { OutboxMessage } from '../../src/store/types-outbox.ts';
import { MARKS } from '../bed/outbox.ts';
import { openTenantHome, type TenantHome } from '../bed/tenant-home.ts';

const ALICE = 'alice@contoso.test';

let sandbox: Sandbox;
let home: TenantHome;
let alice: Mailbox;
let returns: Returns;
before(async () => {
  sandbox = await startSandbox();
  home = await openTenantHome(sandbox);
  alice = await home.connect(await home.application(), { address: ALICE });
  const { clock, store, tokens } = home.instance;
  const provider = new Upstream({ tokens, clock, upstreamMs: 10_000, ehloName: undefined });
  returns = watchReturns({ store, marks: MARKS, clock, log: nullLog, signIn: (...args) => provider.signIn(...args) });
});
after(async () => {
  await returns.close();
  await home.close();
  await sandbox.close();
});

async function queuedMessage(to: readonly string[], header = ''): Promise<OutboxMessage> {
  const { message } = await home.instance.outbox.accept(
    {
      mailbox: alice,
      envelope: { from: ALICE, recipients: to.map((address) => ({ address })) },
      source: 'smtp',
      principal: 'apw_1',
    },
    [Buffer.from(`${header}From: ${ALICE}\r\n\r\nhi\r\n`)],
  );
  return message;
}

async function sentMessage(to: string | readonly string[], header = ''): Promise<OutboxMessage> {
  const message = await queuedMessage([to].flat(), header);
  const state = { type: 'sent', at: Date.now() } as const;
  const recipients = message.recipients.map((one) => ({ ...one, state: 'delivered' as const }));
  return (await home.instance.store.outbox.change(message.id, message.fence, { state, recipients }, []))!;
}

const isSuppressed = async (address: string): Promise<boolean> =>
  (await home.instance.store.suppressions.match(ALICE, [address])).length > 0;

function report(
  { id, messageId }: OutboxMessage,
  to: string,
  action: string,
  status: string,
  extra = '',
  fields = '',
): Buffer {
  const text = `From: postmaster@fabrikam.test
To: ${ALICE}
Message-ID: <${action}.${id}@fabrikam.test>${extra}
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

It did not work out.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.fabrikam.test${fields}

Final-Recipient: rfc822; ${to}
Action: ${action}
Status: ${status}
Diagnostic-Code: smtp; 550 ${status} no such person

--b
Content-Type: text/rfc822-headers

Message-ID: ${messageId}
--b--
`;
  return Buffer.from(text.replaceAll('\n', '\r\n'));
}

const eventsOf = async ({ id }: OutboxMessage): Promise<readonly string[]> =>
  (await home.instance.outbox.events({ messageId: id, limit: 100 })).map(({ type }) => type);

test('S6: a forged bounce that names a known Message-ID is shown and suppresses nobody', async () => {
  const customer = 'customer@fabrikam.test';
  const message = await sentMessage(customer);
  // The Message-ID is in the message and in every answer to it; the id of the outbox in the reply to the program.
  for (const guess of ['', `\nOriginal-Envelope-Id: ${message.id}`, `\nOriginal-Envelope-Id: ${message.id}.AAAA`]) {
    const forged = { ...message, id: `forged${guess.length}` };
    sandbox.mailStore.deliver(ALICE, report(forged, customer, 'failed', '5.1.1', '', guess));
  }
  await returns.look();
  assert.equal(await isSuppressed(customer), false);
  const events = await home.instance.outbox.events({ messageId: message.id, limit: 100 });
  assert.deepEqual(
    events.flatMap(({ data, type }) => (type === 'bounced' ? [data['proven']] : [])),
    [false, false, false],
  );
  await sentMessage(customer);
});

test('S6: the server of one recipient, which knows the envelope id, says nothing about those of another', async () => {
  const message = await sentMessage(['victim2@fabrikam.test', 'attacker@evil.test']);
  const envelope = `\nOriginal-Envelope-Id: ${MARKS.envelopeId(message)}`;
  sandbox.mailStore.deliver(ALICE, report(message, 'victim2@fabrikam.test', 'failed', '5.1.1', '', envelope));
  await returns.look();
  assert.equal(await isSuppressed('victim2@fabrikam.test'), false);
});

// RFC 3463 §3.2
test('a report is tied to its message once, and an address that does not exist is not written to again', async () => {
  const gone = 'gone@fabrikam.test';
  const message = await sentMessage(gone);
  const envelope = `\nOriginal-Envelope-Id: ${MARKS.envelopeId(message)}`;
  sandbox.mailStore.deliver(ALICE, report(message, gone, 'delayed', '4.4.7'));
  sandbox.mailStore.deliver(ALICE, Buffer.from('Subject: something else\r\n\r\nhi\r\n'));
  sandbox.mailStore.deliver(ALICE, report(message, gone, 'failed', '5.1.1', '', envelope));
  await returns.look();
  await returns.look();
  assert.deepEqual(await eventsOf(message), ['accepted', 'deferred', 'bounced']);
  // The same report again, as after a lost mark or a second copy.
  sandbox.mailStore.deliver(ALICE, report(message, gone, 'failed', '5.1.1', '', envelope));
  await returns.look();
  assert.deepEqual(await eventsOf(message), ['accepted', 'deferred', 'bounced']);
  await assert.rejects(() => sentMessage(gone), { code: 'outbox.suppressed' });
  const inbox = sandbox.mailStore.find(ALICE)!.inbox.messages;
  assert.ok(
    inbox.slice(-4).every(({ flags }) => !flags.has('\\Seen')),
    'nothing was marked as read',
  );
});

test('a full mailbox is no reason never to write again; strangers and our own reports say nothing', async () => {
  const full = 'full@fabrikam.test';
  const message = await sentMessage(full);
  sandbox.mailStore.deliver(ALICE, report(message, full, 'failed', '5.2.2'));
  const other = await sentMessage('fine@fabrikam.test');
  sandbox.mailStore.deliver(ALICE, report(other, 'stranger@fabrikam.test', 'failed', '5.1.1'));
  const own = await sentMessage('own@fabrikam.test');
  sandbox.mailStore.deliver(
    ALICE,
    report(own, 'own@fabrikam.test', 'failed', '5.1.1', `\nX-Postern-Message: ${own.id}`),
  );
  await returns.look();
  assert.deepEqual(await eventsOf(message), ['accepted', 'bounced']);
  assert.deepEqual(await eventsOf(other), ['accepted']);
  assert.deepEqual(await eventsOf(own), ['accepted']);
  await sentMessage(full);
});

test('a forged report suppresses nobody but who wrote it: not the other recipients of a message', async () => {
  const [victim, attacker] = ['victim@fabrikam.test', 'attacker@evil.test'];
  const message = await sentMessage([victim, attacker]);
  // Whoever got the message knows its Message-ID and, from the header, the others.
  sandbox.mailStore.deliver(ALICE, report(message, victim, 'failed', '5.1.1'));
  sandbox.mailStore.deliver(
    ALICE,
    report({ ...message, id: 'other' }, victim, 'failed', '5.1.1', '', '\nOriginal-Envelope-Id: msg_guessed'),
  );
  await returns.look();
  assert.equal(await isSuppressed(victim), false);
  assert.deepEqual(await eventsOf(message), ['accepted', 'bounced', 'bounced'], 'they are told, all the same');
});

test('a message handed over once for each recipient under one Message-ID is no proof either', async () => {
  const header = 'Message-ID: <to-many@contoso.test>\r\n';
  const victim = 'listed@fabrikam.test';
  const mine = await sentMessage(victim, header);
  await sentMessage('member@evil.test', header);
  sandbox.mailStore.deliver(ALICE, report(mine, victim, 'failed', '5.1.1'));
  await returns.look();
  assert.equal(await isSuppressed(victim), false);
  assert.deepEqual(await eventsOf(mine), ['accepted', 'bounced'], 'tied to the one that went there');
});

// RFC 3461 §4.4
test('a server that gives back the envelope id is believed, with the original or without it', async () => {
  const gone = ['gone1@fabrikam.test', 'gone2@fabrikam.test'] as const;
  const message = await sentMessage(gone);
  const envelope = `\nOriginal-Envelope-Id: ${MARKS.envelopeId(message)}`;
  sandbox.mailStore.deliver(ALICE, report(message, gone[0], 'failed', '5.1.1', '', envelope));
  const bare = { ...message, id: 'other', messageId: '<unknown@elsewhere.test>' };
  sandbox.mailStore.deliver(ALICE, report(bare, gone[1], 'failed', '5.1.1', '', envelope));
  await returns.look();
  assert.deepEqual([await isSuppressed(gone[0]), await isSuppressed(gone[1])], [true, true]);
});

test('nothing comes back of what was never handed on', async () => {
  const waiting = await queuedMessage(['waiting@fabrikam.test']);
  sandbox.mailStore.deliver(ALICE, report(waiting, 'waiting@fabrikam.test', 'failed', '5.1.1'));
  await returns.look();
  assert.equal(await isSuppressed('waiting@fabrikam.test'), false);
  assert.deepEqual(await eventsOf(waiting), ['accepted']);
});
