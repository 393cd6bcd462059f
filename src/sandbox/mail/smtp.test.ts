/** SMTP submission word by word: chunks, STARTTLS injection, sizes, SendAs, and the limits of Exchange Online. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TenantClient, xoauth2 } from '../../../test/bed/tenant-client.ts';
import { Wire } from '../../../test/bed/wire.ts';
import { exchangeLimits, type Sandbox, startSandbox } from '../index.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
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

async function open(user = ALICE): Promise<Wire> {
  const wire = await client.smtp();
  assert.match(await client.smtpAuth(wire, user), /^235/);
  return wire;
}

async function say(wire: Wire, text: string): Promise<string> {
  wire.send(`${text}\r\n`);
  return wire.until(/^\d{3} .*\r\n/m);
}

const last = (address: string): string => sandbox.mailStore.find(address)!.inbox.messages.at(-1)!.raw.toString();

// RFC 3030 §2
test('BDAT: chunks of any octets make one message, and DATA is no longer allowed', async () => {
  const wire = await open();
  await say(wire, `MAIL FROM:<${ALICE}> BODY=BINARYMIME`);
  assert.match(await say(wire, 'BDAT 0'), /^503/, 'nobody to send it to');
  await say(wire, `RCPT TO:<${BOB}>`);
  assert.match(await say(wire, 'DATA'), /^503/, 'BINARYMIME cannot come by DATA (RFC 3030 §3)');
  wire.send('BDAT 20\r\nSubject: chunk\r\n\r\n.\rBDAT 3 LAST\r\n\n.\r');
  assert.match(await wire.until(/^250 2\.0\.0.*\r\n/m), /250 2\.6\.0 20 octets received/);
  assert.match(last(BOB), /Subject: chunk\r\n\r\n\.\r\n\.\r$/);
  await say(wire, `MAIL FROM:<${ALICE}>`);
  await say(wire, `RCPT TO:<${BOB}>`);
  wire.send('BDAT 4\r\nabcd');
  await wire.until(/^250.*\r\n/m);
  assert.match(await say(wire, 'DATA'), /^503/);
  assert.match(await say(wire, 'RSET'), /^250/);
  wire.send('BDAT 5 LAST\r\nQUIT\n');
  assert.match(await wire.until(/^\d{3} .*\r\n/m), /^503/, 'the chunk is not read as commands');
  wire.send('BDAT x\r\n');
  assert.match(await wire.closed(), /^501/m, 'without a length the rest cannot be told from commands');
});

// RFC 3207 §4.2
test('plain text that comes with STARTTLS is not taken for encrypted text', async () => {
  const wire = await Wire.open(sandbox.mail.smtp);
  await wire.until(/^220.*\r\n/);
  await say(wire, 'EHLO x');
  wire.send('STARTTLS\r\nNOOP\r\n');
  assert.match(await wire.closed(), /^554 5\.5\.1 Plain text after STARTTLS\r\n$/m);
});

// RFC 3207 §4.2
test('nothing is told to a plain connection; EHLO counts again after STARTTLS', async () => {
  const wire = await Wire.open(sandbox.mail.smtp);
  await wire.until(/^220.*\r\n/);
  assert.doesNotMatch(await say(wire, 'EHLO x'), /AUTH/);
  assert.match(await say(wire, `AUTH XOAUTH2 ${xoauth2(ALICE, 't')}`), /^530 5\.7\.0/);
  assert.match(await say(wire, `MAIL FROM:<${ALICE}>`), /^530 5\.7\.57/);
  await say(wire, 'STARTTLS');
  await wire.secure(sandbox.caPem);
  assert.match(await say(wire, `AUTH XOAUTH2 ${xoauth2(ALICE, 't')}`), /^503/);
  assert.match(await say(wire, 'EHLO x'), /AUTH LOGIN XOAUTH2/);
  wire.send('AUTH XOAUTH2\r\n');
  await wire.until(/^334 \r\n/m);
  assert.match(await say(wire, '*'), /^535/, 'Exchange says 535 where RFC 4954 wants 501');
  assert.match(await say(wire, 'AUTH LOGIN'), /^334 VXNlcm5hbWU6/);
  await say(wire, 'YWxpY2U=');
  assert.match(await say(wire, 'c2VjcmV0'), /^535 5\.7\.139 .*basic authentication is disabled/);
});

test('SIZE is refused at MAIL, and an unannounced size at the end, also in chunks', async () => {
  const wire = await open();
  assert.match(await say(wire, `MAIL FROM:<${ALICE}> SIZE=999999999`), /^552 5\.3\.4/);
  sandbox.limits.messageOctets = 100;
  try {
    assert.match(await client.submit(wire, ALICE, [BOB], `\r\n${'x'.repeat(200)}\r\n`), /^552 5\.3\.4/);
    await say(wire, `MAIL FROM:<${ALICE}>`);
    await say(wire, `RCPT TO:<${BOB}>`);
    wire.send(`BDAT 150\r\n${'x'.repeat(150)}BDAT 0 LAST\r\n`);
    assert.match(await wire.until(/^552.*\r\n/m), /^250 [^]*552/m);
  } finally {
    sandbox.limits.messageOctets = exchangeLimits.messageOctets;
  }
  assert.match(await client.submit(wire, ALICE, [BOB]), /^250/);
});

test('uploads of all connections together are bounded, and what was held is given back', async () => {
  sandbox.limits.uploadOctets = 1000;
  try {
    const [one, two] = [await open(), await open(BOB)];
    await say(one, `MAIL FROM:<${ALICE}>`);
    await say(one, `RCPT TO:<${BOB}>`);
    one.send(`BDAT 900\r\n${'x'.repeat(900)}`);
    await one.until(/^250.*\r\n/m);
    assert.match(await client.submit(two, BOB, [ALICE], `\r\n${'y'.repeat(300)}\r\n`), /^452 4\.3\.1/);
    await say(one, 'RSET');
    assert.match(await client.submit(two, BOB, [ALICE], `\r\n${'y'.repeat(300)}\r\n`), /^250/);
  } finally {
    sandbox.limits.uploadOctets = exchangeLimits.uploadOctets;
  }
});

test('SendAs: at MAIL and in From, by delegation only, whoever signed in', async () => {
  const wire = await open();
  assert.match(await say(wire, `MAIL FROM:<${BOB}>`), /^550 5\.7\.60/);
  assert.match(
    await client.submit(wire, ALICE, [BOB], `From: ${BOB}\r\n\r\nx\r\n`),
    /^554 5\.2\.252 SendAsDenied; alice/,
  );
  assert.match(await client.submit(wire, sandbox.shared, [BOB]), /^250/);
  // An application opens every mailbox, but sends as the one it opened (Notifuse issue 250).
  const token = String((await client.appOnly()).body['access_token']);
  const app = await client.smtp();
  assert.match(await say(app, `AUTH XOAUTH2 ${xoauth2(ALICE, token)}`), /^235/);
  assert.match(await say(app, `MAIL FROM:<${BOB}>`), /^550 5\.7\.60/);
  assert.match(await client.submit(app, ALICE, [BOB]), /^250/);
});

test('parameters that were not offered are refused', async () => {
  const wire = await open();
  assert.match(await say(wire, `MAIL FROM:<${ALICE}> XTRA=1`), /^501 5\.5\.4/);
  assert.match(await say(wire, `MAIL FROM:<${ALICE}> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x`), /^250/);
  assert.match(await say(wire, `RCPT TO:<${BOB}> NOTIFY=NEVER ORCPT=rfc822;x@y`), /^250/);
  assert.match(await say(wire, `RCPT TO:<${BOB}> XTRA`), /^501/);
  assert.match(await say(wire, 'RCPT TO:<nobody@contoso.test>'), /^550 5\.1\.10/);
  await say(wire, 'RSET');
});

test('more than three that send at once are refused, idle ones do not count', async () => {
  const wires = await Promise.all(Array.from({ length: 4 }, () => open()));
  for (const wire of wires) await say(wire, `MAIL FROM:<${ALICE}>`);
  const [first, ...others] = wires as [Wire, Wire, Wire, Wire];
  await say(first, `RCPT TO:<${BOB}>`);
  await say(first, 'DATA');
  assert.match(await say(first, 'Subject: x\r\n\r\n.'), /^432 4\.3\.2 Concurrent connections limit exceeded\./);
  await say(others[0], 'RSET');
  assert.match(await client.submit(first, ALICE, [BOB]), /^250/);
});

test('thirty messages a minute: the rest is taken and delivered in the minutes after', async () => {
  const inbox = sandbox.mailStore.find(ALICE)!.inbox;
  await sandbox.clock.advance(60_000);
  const before = inbox.messages.length;
  const wire = await open(BOB);
  for (let sent = 0; sent < 65; sent++) assert.match(await client.submit(wire, BOB, [ALICE]), /^250/);
  const arrived = (): number => inbox.messages.length - before;
  assert.equal(arrived(), 30);
  assert.equal(sandbox.mailStore.find(BOB)!.sent.messages.length >= 65, true, 'they are in Sent Items at once');
  await sandbox.clock.advance(59_000);
  assert.equal(arrived(), 30);
  await sandbox.clock.advance(10_000);
  assert.equal(arrived(), 60);
  await sandbox.clock.advance(60_000);
  assert.equal(arrived(), 65);
});

test('recipients of a day: refused when used up, until the day is over', async () => {
  sandbox.limits.recipientsPerDay = 3;
  try {
    const user = 'day+imap-size-estimated@contoso.test';
    const wire = await open(user);
    assert.match(await client.submit(wire, user, [ALICE, BOB]), /^250/);
    assert.match(await client.submit(wire, user, [ALICE, BOB]), /^554 5\.2\.0 .*submission quota was exceeded/);
    assert.match(await client.submit(wire, user, [ALICE]), /^250/);
    await sandbox.clock.advance(24 * 3_600_000);
    assert.match(await client.submit(wire, user, [ALICE, BOB]), /^250/);
  } finally {
    sandbox.limits.recipientsPerDay = exchangeLimits.recipientsPerDay;
  }
});

test('recipients of one message', async () => {
  sandbox.limits.recipientsPerMessage = 2;
  try {
    const wire = await open();
    assert.match(await client.submit(wire, ALICE, [BOB, ALICE, sandbox.shared]), /^452 4\.5\.3 Too many recipients/);
  } finally {
    sandbox.limits.recipientsPerMessage = exchangeLimits.recipientsPerMessage;
  }
});

// RFC 5321 §4.1.2
test('B14: a quoted local part is an address, spaces and all', async () => {
  const wire = await open();
  await say(wire, `MAIL FROM:<${ALICE}>`);
  assert.match(await say(wire, 'RCPT TO:<"q q"@elsewhere.test>'), /^250/m);
  assert.match(await say(wire, 'RCPT TO:<q q@elsewhere.test>'), /^501/m);
  wire.destroy();
});
