/** The outbox sends by Microsoft Graph, as the sandbox's tenant speaks it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { GraphAccesses } from '../../src/oauth/graph-access.ts';
import { GraphRoute } from '../../src/outbox/deliver/graph-route.ts';
import type { Outcome } from '../../src/outbox/deliver/types.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { Mailbox } from '../../src/store/types.ts';
import type { OutboxMessage } from '../../src/store/types-outbox.ts';
import { TenantClient } from '../bed/tenant-client.ts';
import { jobOf } from '../bed/outbox.ts';
import { openTenantHome, type TenantHome } from '../bed/tenant-home.ts';
import { editApplication } from '../../src/store/edit.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';

let sandbox: Sandbox;
let client: TenantClient;
let home: TenantHome;
let route: GraphRoute;
let alice: Mailbox;
before(async () => {
  sandbox = await startSandbox();
  client = new TenantClient(sandbox);
  home = await openTenantHome(sandbox);
  const { instance } = home;
  const application = await home.application();
  await editApplication(instance.store, application.id, ({ settings }) => ({
    settings: { ...settings, graph: sandbox.graph },
  }));
  alice = await home.connect(application, { address: ALICE });
  route = new GraphRoute(new GraphAccesses(instance.renewal), systemClock);
});
after(async () => {
  await route.close();
  await home.close();
  await client.close();
  await sandbox.close();
});
afterEach(() => void sandbox.faults.clear());

async function send(text: string, to: readonly string[] = [BOB], more: Partial<OutboxMessage> = {}): Promise<Outcome> {
  const raw = Buffer.from(text);
  const { message } = await home.instance.outbox.accept(
    {
      mailbox: alice,
      envelope: { from: ALICE, recipients: to.map((address) => ({ address })) },
      source: 'smtp',
      principal: 'apw_1',
    },
    [raw],
  );
  const job = jobOf({ outbox: home.instance.outbox }, { ...message, ...more }, alice);
  return route.send(job, new AbortController().signal);
}

const letter = (id: string, to = BOB): string =>
  `From: ${ALICE}\r\nTo: ${to}\r\nMessage-ID: <${id}@contoso.test>\r\nSubject: hello\r\n\r\nIt works.\r\n`;
const newest = (address: string): string => sandbox.mailStore.find(address)!.inbox.messages.at(-1)!.raw.toString();
const words = (outcome: Outcome): string => `${outcome.type}: ${outcome.reply.text}`;

test('without consent to Graph the way is shut, in words that say why', async () => {
  const outcome = await send(letter('no'));
  assert.equal(outcome.type, 'closed', words(outcome));
  assert.match(outcome.reply.text, /ErrorAccessDenied/);
});

test('with consent the message goes out as it is, hidden recipients too', async () => {
  await client.tokens(ALICE, 'https://graph.microsoft.com/Mail.Send https://graph.microsoft.com/Mail.ReadWrite');
  const outcome = await send(letter('yes'), [BOB, 'carol@fabrikam.test']);
  assert.equal(outcome.type, 'sent', words(outcome));
  assert.match(outcome.reply.text, /^202 Accepted/);
  assert.match(newest(BOB), /Message-ID: <yes@contoso\.test>\r\nSubject: hello/);
  assert.doesNotMatch(newest(BOB), /carol/);
  assert.deepEqual(sandbox.mailStore.outside.at(-1)?.to, ['carol@fabrikam.test']);
});

test('what Graph would send to others than the envelope names does not go this way', async () => {
  const outcome = await send(letter('stranger', `${BOB}, dave@fabrikam.test`));
  assert.equal(outcome.type, 'unfit');
  assert.match(outcome.reply.text, /dave@fabrikam\.test is not to get this message/);
});

test('A21: what is sent again to one is not sent to its first addressees again', async () => {
  const before = sandbox.mailStore.outside.length;
  const resent = `From: ${ALICE}\r\nResent-From: ${ALICE}\r\nResent-To: ${BOB}\r\nTo: victim@fabrikam.test\r\n\r\nhi\r\n`;
  const outcome = await send(resent);
  assert.equal(outcome.type, 'unfit', words(outcome));
  assert.match(outcome.reply.text, /victim@fabrikam\.test is not to get this message/);
  assert.equal(sandbox.mailStore.outside.length, before);
  const own = await send(resent.replace('victim@fabrikam.test', BOB).replace('Resent-To', 'Resent-Bcc'));
  assert.equal(own.type, 'sent', words(own));
  assert.doesNotMatch(newest(BOB), /Resent-Bcc/);
});

test('A22: a large message is from whom its header was judged to be from, and goes to nobody else', async () => {
  const text = 'y'.repeat(70).concat('\r\n').repeat(50_000);
  const before = sandbox.mailStore.outside.length;
  await assert.rejects(send(`From: (\\) <${BOB}>,) ${ALICE}\r\nTo: ${BOB}\r\n\r\n${text}`), { code: 'outbox.header' });
  const stranger = await send(`From: ${ALICE}\r\nTo: (\\) <victim@fabrikam.test>,) ${BOB}\r\n\r\n${text}`);
  assert.equal(stranger.type, 'unfit', words(stranger));
  assert.match(stranger.reply.text, /To has a \\ in a comment/);
  const good = await send(
    `From: =?utf-8?q?=22B=22=3C${BOB.replace('@', '=40')}=3E?= <${ALICE}>\r\nTo: "eve@fabrikam.test, " <${BOB}>\r\nMessage-ID: <judged@contoso.test>\r\n\r\n${text}`,
  );
  assert.equal(good.type, 'sent', words(good));
  const { default: PostalMime } = await import('postal-mime');
  const got = await PostalMime.parse(newest(BOB).slice(0, 4000));
  assert.deepEqual([got.from?.address, got.to?.map(({ address }) => address)], [ALICE, [BOB]]);
  assert.equal(sandbox.mailStore.outside.length, before);
});

test('a large message goes in parts, its attachments octet for octet', async () => {
  const content = randomBytes(5_000_000);
  const small = Buffer.from('small, but not forgotten');
  const part = (name: string, octets: Buffer): string =>
    `--x\r\nContent-Type: application/octet-stream; name=${name}\r\nContent-Disposition: attachment; filename=${name}\r\n` +
    `Content-Transfer-Encoding: base64\r\n\r\n${octets.toString('base64').replace(/(.{76})/g, '$1\r\n')}\r\n`;
  const outcome = await send(
    `From: Alice <${ALICE}>\r\nTo: Bob <${BOB}>\r\nMessage-ID: <big@contoso.test>\r\nSubject: =?utf-8?q?gr=C3=B6=C3=9Fer?=\r\n` +
      'X-Job: 7\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n' +
      `--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee the attachment.\r\n${part('a.bin', content)}${part('b.txt', small)}--x--\r\n`,
  );
  assert.equal(outcome.type, 'sent', words(outcome));
  const { default: PostalMime } = await import('postal-mime');
  const got = await PostalMime.parse(newest(BOB));
  assert.equal(got.messageId, '<big@contoso.test>');
  assert.equal(got.subject, 'größer');
  assert.equal(got.text?.trim(), 'See the attachment.');
  assert.equal(got.headers.find(({ key }) => key === 'x-job')?.value, '7');
  assert.deepEqual(
    got.attachments.map(({ filename }) => filename),
    ['a.bin', 'b.txt'],
  );
  const bytes = got.attachments.find(({ filename }) => filename === 'a.bin')!.content as ArrayBuffer;
  assert.ok(Buffer.from(bytes).equals(content));
});

test('a large signed message is left whole: it does not go this way', async () => {
  const outcome = await send(
    `From: ${ALICE}\r\nTo: ${BOB}\r\nContent-Type: multipart/signed; protocol="application/pgp-signature"; boundary=x\r\n\r\n` +
      `--x\r\n\r\n${'y'.repeat(70).concat('\r\n').repeat(50_000)}--x--\r\n`,
  );
  assert.equal(outcome.type, 'unfit', words(outcome));
});

test('throttled, busy, not allowed, over quota: each is what it is', async () => {
  const outcomes: Record<string, string> = {};
  for (const id of [
    'graph-throttled',
    'graph-send-as-denied',
    'graph-access-denied',
    'graph-quota-exceeded',
  ] as const) {
    sandbox.faults.set(id, { times: 1 });
    const outcome = await send(letter(id));
    outcomes[id] = outcome.type;
    if (id === 'graph-throttled') assert.ok('retryAfterMs' in outcome && outcome.retryAfterMs >= 1000);
  }
  assert.deepEqual(outcomes, {
    'graph-throttled': 'later',
    'graph-send-as-denied': 'refused',
    'graph-access-denied': 'closed',
    'graph-quota-exceeded': 'later',
  });
});

test('the answer is lost: nobody knows, and that is said', async () => {
  sandbox.faults.set('graph-reply-lost', { times: 1 });
  const outcome = await send(letter('lost'));
  assert.equal(outcome.type, 'unknown', words(outcome));
  assert.match(newest(BOB), /lost@contoso\.test/, 'it had gone out');
});

test('a token that is refused is replaced once', async () => {
  const access = new GraphAccesses(home.instance.renewal);
  let asked = 0;
  const first = await access.of(alice);
  const bad = {
    ...first,
    token: { ...first.token, value: (await home.instance.tokens.accessToken(alice, 'smtp')).value },
  };
  const other = new GraphRoute(
    { of: (mailbox) => (asked++ === 0 ? Promise.resolve(bad) : access.of(mailbox)), reject: () => undefined },
    systemClock,
  );
  const { message } = await home.instance.outbox.accept(
    {
      mailbox: alice,
      envelope: { from: ALICE, recipients: [{ address: BOB }] },
      source: 'smtp',
      principal: 'apw_1',
    },
    [Buffer.from(letter('again'))],
  );
  const job = jobOf({ outbox: home.instance.outbox }, message, alice);
  const outcome = await other.send(job, new AbortController().signal);
  await other.close();
  assert.equal(outcome.type, 'sent', words(outcome));
  assert.equal(asked, 2);
});
