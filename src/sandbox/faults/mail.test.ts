/** Faults of IMAP, POP3, SMTP and the network, as a client meets them word by word. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { TenantClient } from '../../../test/bed/tenant-client.ts';
import { Wire } from '../../../test/bed/wire.ts';
import { faults, type Sandbox, startSandbox } from '../index.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
const HOUR = 3_600_000;
let sandbox: Sandbox;
let client: TenantClient;
before(async () => {
  sandbox = await startSandbox();
  client = new TenantClient(sandbox);
});
after(async () => {
  await client.close();
  await sandbox.close();
});
afterEach(() => void sandbox.faults.clear());

test('an hour passes and the session in IDLE is cut; between commands it is cut when the next one comes', async () => {
  const idle = await client.imap(ALICE);
  const quiet = await client.imap(ALICE);
  idle.send('b SELECT INBOX\r\nc IDLE\r\n');
  await idle.until(/^\+ /m);
  await sandbox.clock.advance(1.6 * HOUR);
  assert.match(await idle.closed(), /^\* BYE Session invalidated - AccessTokenExpired\r\n$/m);
  quiet.send('b SELECT INBOX\r\n');
  assert.equal(await quiet.closed(), '* BYE Session invalidated - AccessTokenExpired\r\n');
});

test('access-token-expired: set live it cuts a session in IDLE; by address it spares SELECT', async () => {
  const idle = await client.imap(ALICE);
  idle.send('b SELECT INBOX\r\nc IDLE\r\n');
  await idle.until(/^\+ /m);
  sandbox.faults.set('access-token-expired', { times: 1, mailbox: ALICE });
  assert.match(await idle.closed(), /AccessTokenExpired/);
  const magic = await client.imap('bob+access-token-expired@contoso.test');
  magic.send('b SELECT INBOX\r\n');
  assert.match(await magic.until(/^b .*\r\n/m), /2 EXISTS[^]*b OK/);
  magic.send('c FETCH 1 (UID)\r\n');
  assert.equal(await magic.closed(), '* BYE Session invalidated - AccessTokenExpired\r\n');
});

test('imap-connection-closed cuts a quiet session at once', async () => {
  const wire = await client.imap(ALICE);
  wire.send('b SELECT INBOX\r\n');
  await wire.until(/^b OK.*\r\n/m);
  sandbox.faults.set('imap-connection-closed', { value: 12 });
  assert.equal(await wire.closed(), '* BYE Connection is closed. 12\r\n');
});

test('IMAP commands: throttled, unavailable, an internal error', async () => {
  const wire = await client.imap(ALICE);
  sandbox.faults.set('imap-throttled', { times: 1, value: 1234 });
  wire.send('b NOOP\r\nc NOOP\r\n');
  assert.equal(
    await wire.until(/^c .*\r\n/m),
    'b BAD Request is throttled. Suggested Backoff Time: 1234 milliseconds\r\nc OK NOOP completed.\r\n',
  );
  sandbox.faults.set('imap-server-bug', { times: 1 });
  wire.send('d LIST "" "*"\r\n');
  assert.equal(await wire.until(/^d .*\r\n/m), 'd NO [SERVERBUG] Internal server error\r\n');
  sandbox.faults.set('imap-server-unavailable', { times: 1 });
  wire.send('e NOOP\r\n');
  assert.equal(await wire.closed(), 'Server Unavailable. 15\r\n');
});

test('IMAP sign-in: disabled, and not connected', async () => {
  const wire = await client.imap();
  wire.send(`a AUTHENTICATE XOAUTH2 ${await client.bearer('imap-disabled@contoso.test')}\r\n`);
  assert.equal(await wire.until(/^a .*\r\n/m), 'a NO AUTHENTICATE failed.\r\n');
  const other = await client.imap('imap-not-connected@contoso.test');
  other.send('b NAMESPACE\r\n');
  assert.match(
    await other.closed(),
    /^b BAD User is authenticated but not connected\.\r\n\* BYE Connection closed\. 14/,
  );
});

test('POP3 sign-in and session', async () => {
  const wire = await client.pop3();
  for (const [fault, said] of [
    ['pop3-disabled', /^-ERR Authentication failure: unknown user name or bad password\.\r\n/],
    ['pop3-temporary', /^-ERR \[SYS\/TEMP\] /],
    ['pop3-in-use', /^-ERR \[IN-USE\] /],
  ] as const)
    assert.match(await client.popAuth(wire, `${fault}@contoso.test`), said);
  assert.match(await client.popAuth(wire, 'pop3-connection-closed@contoso.test'), /^\+OK/);
  wire.send('STAT\r\n');
  assert.equal(await wire.closed(), '-ERR Connection is closed. 10\r\n');
});

const replies = faults.flatMap((fault) => (fault.effect.type === 'reply' ? [{ ...fault, effect: fault.effect }] : []));
for (const { id, effect } of replies) {
  test(`SMTP: ${id}`, async () => {
    const expected = new RegExp(
      `^${effect.text.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '.+')}\r\n`,
      'm',
    );
    if (effect.at === 'connect') {
      sandbox.faults.set(id, { times: 1 });
      const wire = await Wire.open(sandbox.mail.smtp);
      assert.match(await wire.closed(), expected);
      return;
    }
    const wire = await client.smtp();
    if (effect.at === 'auth') {
      assert.match(await client.smtpAuth(wire, `${id}@contoso.test`), expected);
      return;
    }
    assert.match(await client.smtpAuth(wire, ALICE), /^235/);
    sandbox.faults.set(id, { times: 1, mailbox: ALICE });
    assert.match(await client.submit(wire, ALICE, [BOB]), expected);
    if (effect.close === true) await wire.closed();
    else {
      wire.send('RSET\r\n');
      await wire.until(/^250.*\r\n/m);
      assert.match(await client.submit(wire, ALICE, [BOB]), /^250 2\.0\.0/, 'it was set for one time');
    }
  });
}

test('a magic recipient meets the fault of the end of the message', async () => {
  const wire = await client.smtp();
  await client.smtpAuth(wire, ALICE);
  assert.match(await client.submit(wire, ALICE, ['smtp-mailbox-full@contoso.test']), /^554 5\.2\.2 mailbox full/);
});

test('a message and a reply that are lost differ in what was accepted', async () => {
  for (const [fault, arrives] of [
    ['smtp-message-lost', 0],
    ['smtp-reply-lost', 1],
  ] as const) {
    const inbox = sandbox.mailStore.find(BOB)!.inbox;
    const before = inbox.messages.length;
    const wire = await client.smtp();
    await client.smtpAuth(wire, ALICE);
    sandbox.faults.set(fault, { times: 1 });
    await assert.rejects(client.submit(wire, ALICE, [BOB]), /closed before/);
    assert.equal(inbox.messages.length - before, arrives, fault);
  }
});

test('connection-reset cuts a literal in the middle', async () => {
  sandbox.mailStore.deliver(ALICE, Buffer.from(`Subject: long\r\n\r\n${'0123456789\r\n'.repeat(500)}`));
  const wire = await client.imap(ALICE);
  wire.send('b SELECT INBOX\r\n');
  await wire.until(/^b OK.*\r\n/m);
  sandbox.faults.set('connection-reset', { value: 1000, times: 1 });
  wire.send('c FETCH * (BODY.PEEK[])\r\n');
  const said = await wire.closed();
  assert.equal(said.length, 1000);
  assert.match(said, /^\* \d+ FETCH \(BODY\[\] \{60\d\d\}\r\nSubject: long/);
});

test('connection-half-open answers nothing, connection-cut ends what is open, connection-slow is slow but right', async () => {
  const [silent, slow] = [await client.imap(ALICE), await client.imap(BOB)];
  sandbox.faults.set('connection-half-open', { mailbox: ALICE, times: 1 });
  silent.send('b NOOP\r\n');
  await assert.rejects(silent.until(/./, 200), /no .* in 200 ms/);
  sandbox.faults.set('connection-slow', { mailbox: BOB, value: 1 });
  slow.send('b CAPABILITY\r\n');
  assert.match(await slow.until(/^b OK.*\r\n/m), /LITERAL\+\r\nb OK CAPABILITY completed\.\r\n$/);
  sandbox.faults.set('connection-cut', { mailbox: BOB });
  await slow.closed();
  assert.equal(silent.isClosed, false);
  sandbox.faults.set('connection-cut');
  await silent.closed();
  assert.deepEqual(
    sandbox.faults.active.map(({ fault }) => fault),
    ['connection-slow'],
  );
});

test('a port can be closed and opened again, dropped, silent', async () => {
  const { imap } = sandbox.mail;
  sandbox.faults.set('connection-refused', { protocol: 'imap' });
  await assert.rejects(Wire.open(imap, sandbox.caPem), { code: 'ECONNREFUSED' });
  (await client.pop3()).destroy();
  sandbox.faults.clear('connection-refused');
  await client.imap();
  sandbox.faults.set('connection-refused', { protocol: 'authority' });
  await assert.rejects(client.appOnly());
  sandbox.faults.clear();
  assert.equal((await client.appOnly()).status, 200);
  sandbox.faults.set('connection-dropped', { protocol: 'smtp', times: 1 });
  assert.equal(await (await Wire.open(sandbox.mail.smtp)).closed(), '');
  sandbox.faults.set('connection-silent', { protocol: 'smtp', times: 1 });
  const silent = await Wire.open(sandbox.mail.smtp);
  await assert.rejects(silent.until(/./, 100), /no .* in 100 ms/);
  silent.destroy();
});

// RFC 9051 §6.3.1, §6.4.4
test('IMAP4rev2: greeting, capabilities, ENABLE, ESEARCH, no RECENT, LSUB refused; by address only after sign-in', async () => {
  sandbox.faults.set('imap4rev2', { times: 1 });
  const wire = await Wire.open(sandbox.mail.imap, sandbox.caPem);
  assert.match(await wire.until(/\r\n/), /^\* OK Microsoft Exchange IMAP4 service ready\. [\da-f-]{36} \(tcpproxy/);
  wire.send('a CAPABILITY\r\n');
  const before = await wire.until(/^a .*\r\n/m);
  assert.match(before, /LOGINDISABLED/);
  assert.doesNotMatch(before, /IMAP4rev2|AUTH=PLAIN/);
  wire.send(`b AUTHENTICATE XOAUTH2 ${await client.bearer(ALICE)}\r\nc CAPABILITY\r\n`);
  assert.match(await wire.until(/^c .*\r\n/m), /IMAP4rev2 ENABLE .*BACKENDAUTHENTICATE-IR/);
  wire.send(
    'd ENABLE IMAP4REV2\r\ne LSUB "" "*"\r\nf SELECT INBOX\r\ng UID SEARCH ALL\r\nh SEARCH SUBJECT nothing-like\r\n',
  );
  const said = await wire.until(/^h .*\r\n/m);
  assert.match(said, /^\* ENABLED IMAP4rev2\r\nd OK/);
  assert.match(said, /^e BAD/m);
  assert.doesNotMatch(said, /RECENT|UNSEEN/);
  assert.match(said, /^\* ESEARCH \(TAG "g"\) UID ALL [\d:,]+\r\n/m);
  assert.match(said, /^\* ESEARCH \(TAG "h"\)\r\nh OK/m);
  const magic = await client.imap('imap4rev2@contoso.test');
  magic.send('b CAPABILITY\r\n');
  assert.match(await magic.until(/^b .*\r\n/m), /IMAP4rev2/);
  const classic = await client.imap(ALICE);
  classic.send('b ENABLE IMAP4rev2\r\n');
  assert.match(await classic.until(/^b .*\r\n/m), /^b BAD/);
});

test('FETCH bent: structure, size, a message that cannot be converted', async () => {
  const wire = await client.imap(BOB);
  wire.send('b SELECT INBOX\r\nc FETCH * RFC822.SIZE\r\n');
  const [, size] = /RFC822\.SIZE (\d+)/.exec(await wire.until(/^c .*\r\n/m)) ?? [];
  const once = async (fault: string, command: string): Promise<string> => {
    sandbox.faults.set(fault, { times: 1, mailbox: BOB });
    wire.send(`d ${command}\r\n`);
    return wire.until(/^d .*\r\n/m);
  };
  assert.match(await once('imap-malformed-bodystructure', 'FETCH 1 BODYSTRUCTURE'), / NIL "inline" NIL NIL\)/);
  const [, other] = /RFC822\.SIZE (\d+)/.exec(await once('imap-size-estimated', 'FETCH * RFC822.SIZE')) ?? [];
  assert.notEqual(other, size);
  assert.match(
    await once('imap-message-unretrievable', 'FETCH * BODY.PEEK[]'),
    /Retrieval using the IMAP4 protocol failed/,
  );
  wire.send('e FETCH * (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n');
  const right = await wire.until(/^e .*\r\n/m);
  assert.match(right, new RegExp(`RFC822\\.SIZE ${size} `));
  assert.doesNotMatch(right, /Retrieval/);
});

test('a rebuilt folder has another UIDVALIDITY and other UIDs; who was in it is ended', async () => {
  const inside = await client.imap(BOB);
  inside.send('b SELECT Archive\r\nc IDLE\r\n');
  const before = /UIDVALIDITY (\d+)/.exec(await inside.until(/^\+ /m))?.[1];
  const wire = await client.imap(BOB);
  sandbox.faults.set('imap-uidvalidity-changed', { times: 1 });
  wire.send('b SELECT Archive\r\n');
  const after = /UIDVALIDITY (\d+)/.exec(await wire.until(/^b OK.*\r\n/m))?.[1];
  assert.notEqual(after, before);
  await inside.closed();
});

test('a name that does not resolve', async () => {
  sandbox.faults.set('dns-failure', { times: 1 });
  const url = `${sandbox.authority}/v2.0/.well-known/openid-configuration`;
  const [lost, right] = [await (await client.request(url)).text(), await (await client.request(url)).text()];
  assert.match(lost, /"token_endpoint":"https:\/\/login\.unresolvable\.invalid\//);
  assert.doesNotMatch(right, /unresolvable/);
});

test('TLS: no handshake, and certificates that are wrong each in its way', async () => {
  for (const [fault, code] of [
    ['tls-failure', /HANDSHAKE_FAILURE|handshake failure/],
    ['certificate-expired', /CERT_HAS_EXPIRED/],
    ['certificate-wrong-name', /ERR_TLS_CERT_ALTNAME_INVALID/],
    ['certificate-untrusted', /SELF_SIGNED|UNABLE_TO/],
  ] as const) {
    sandbox.faults.set(fault, { times: 1 });
    await assert.rejects(Wire.open(sandbox.mail.imap, sandbox.caPem), (error: NodeJS.ErrnoException) => {
      assert.match(`${error.code} ${error.message}`, code, fault);
      return true;
    });
    sandbox.faults.set(fault, { times: 1, protocol: 'authority' });
    // Also for a client whose connection was kept alive.
    const url = `${sandbox.authority}/v2.0/.well-known/openid-configuration`;
    await assert.rejects(client.request(url), fault);
    assert.equal((await (await client.request(url)).text()).length > 100, true);
  }
  await client.imap();
});
