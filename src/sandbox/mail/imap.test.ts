/** The IMAP server word by word: folders, subscriptions, what is not offered, searches in what people read, limits. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TenantClient } from '../../../test/bed/tenant-client.ts';
import type { Wire } from '../../../test/bed/wire.ts';
import { type Sandbox, startSandbox } from '../index.ts';

const ALICE = 'alice@contoso.test';
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

async function say(wire: Wire, command: string): Promise<string> {
  wire.send(`x ${command}\r\n`);
  return wire.until(/^x .*\r\n/m);
}

test('folders are made, listed, renamed and deleted', async () => {
  const wire = await client.imap(ALICE);
  assert.match(await say(wire, 'CREATE Work/2026/June/'), /^x OK/);
  assert.match(await say(wire, 'CREATE work/../x//y'), /^x NO/);
  assert.match(await say(wire, 'CREATE Work'), /^x NO .*already exists/);
  const listed = await say(wire, 'LIST "" Work*');
  assert.match(listed, /\* LIST \(\\HasChildren\) "\/" Work\r\n/);
  assert.match(listed, /\* LIST \(\\HasNoChildren\) "\/" Work\/2026\/June\r\n/);
  assert.doesNotMatch(await say(wire, 'LIST Work/ %'), /June/);
  assert.match(await say(wire, 'RENAME Work/2026 Old/Years/2026'), /^x OK/);
  assert.match(await say(wire, 'LIST "" Old*'), /Old\r\n[^]*Old\/Years\r\n[^]*Old\/Years\/2026\r\n[^]*June/);
  assert.match(await say(wire, 'RENAME Old Old/Deeper'), /^x NO/);
  assert.match(await say(wire, 'RENAME "Sent Items" Gone'), /^x NO/);
  assert.match(await say(wire, 'DELETE Old'), /^x NO .*subfolders/);
  assert.match(await say(wire, 'DELETE Old/Years/2026/June'), /^x OK/);
  assert.match(await say(wire, 'DELETE INBOX'), /^x NO/);
  assert.match(await say(wire, 'DELETE nothing'), /^x NO/);
  assert.match(await say(wire, 'CREATE Entw&APw-rfe'), /^x OK/);
  assert.match(await say(wire, 'STATUS "Entw&APw-rfe" (MESSAGES UIDNEXT UNSEEN)'), /MESSAGES 0 UIDNEXT 1 UNSEEN 0/);
  assert.match(await say(wire, 'STATUS INBOX ()'), /^x BAD/);
});

test('INBOX in any case is one name, and a message is recent to one session alone (RFC 3501 §5.1, §2.3.2)', async () => {
  const [first, second] = [await client.imap(ALICE), await client.imap(ALICE)];
  await say(first, 'SELECT INBOX');
  await say(first, 'NOOP');
  assert.match(await say(first, 'APPEND inbox {1+}\r\nx'), /^\* [1-9]\d* RECENT\r\nx OK/m);
  assert.match(await say(second, 'SELECT iNbOx'), /\* 0 RECENT\r\n/);
});

test('a UID that names no message is no error, a number is (RFC 3501 §6.4.8)', async () => {
  const wire = await client.imap(ALICE);
  await say(wire, 'SELECT INBOX');
  assert.equal(await say(wire, 'UID FETCH 99999 FLAGS'), 'x OK FETCH completed.\r\n');
  assert.match(await say(wire, 'FETCH 99999 FLAGS'), /^x BAD/);
});

// RFC 3501 §6.3.9
test('subscriptions have a life of their own; % shows what lies above', async () => {
  const wire = await client.imap(ALICE);
  await say(wire, 'CREATE A/B/C');
  assert.match(await say(wire, 'SUBSCRIBE A/B/C'), /^x OK/);
  assert.match(await say(wire, 'SUBSCRIBE no-such'), /^x NO/);
  assert.match(await say(wire, 'LSUB "" "A/*"'), /^\* LSUB \(\\HasNoChildren\) "\/" A\/B\/C\r\nx OK/);
  assert.match(await say(wire, 'LSUB "" "%"'), /\* LSUB \(\\Noselect \\HasChildren\) "\/" A\r\n/);
  await say(wire, 'DELETE A/B/C');
  assert.match(await say(wire, 'LSUB "" "A/*"'), /A\/B\/C/, 'a deleted folder stays subscribed (RFC 3501 §6.3.6)');
  assert.match(await say(wire, 'UNSUBSCRIBE A/B/C'), /^x OK/);
  assert.equal(await say(wire, 'LSUB "" "A/*"'), 'x OK LSUB completed.\r\n');
});

// RFC 3501 §6.3.5
test('renaming INBOX moves its messages and leaves it empty', async () => {
  const wire = await client.imap('bob@contoso.test');
  const [, count] = /MESSAGES (\d+)/.exec(await say(wire, 'STATUS INBOX (MESSAGES)')) ?? [];
  assert.match(await say(wire, 'RENAME INBOX Before'), /^x OK/);
  assert.match(await say(wire, 'STATUS Before (MESSAGES)'), new RegExp(`MESSAGES ${count}\\)`));
  assert.match(await say(wire, 'STATUS INBOX (MESSAGES)'), /MESSAGES 0\)/);
});

test('what Exchange does not have is not offered and not understood', async () => {
  const wire = await client.imap(ALICE);
  const offered = await say(wire, 'CAPABILITY');
  assert.doesNotMatch(offered, /CONDSTORE|QRESYNC|COMPRESS|ESEARCH|SORT|THREAD|LIST-|SPECIAL-USE|QUOTA|ENABLE/);
  for (const command of [
    'SELECT INBOX (CONDSTORE)',
    'STATUS INBOX (HIGHESTMODSEQ)',
    'LIST "" "*" RETURN (SPECIAL-USE)',
    'ENABLE CONDSTORE',
    'COMPRESS DEFLATE',
    'GETQUOTAROOT INBOX',
  ])
    assert.match(await say(wire, command), /^x BAD/, command);
});

// RFC 3501 §6.4.4
test('SEARCH finds what people read: encoded words, base64, quoted-printable, forwarded messages', async () => {
  const put = (text: string): number =>
    sandbox.mailStore.deliver(ALICE, Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1'))!.uid;
  const base64 = Buffer.from('a needle in the hay, Grüße').toString('base64');
  const encoded = put(
    `Subject: =?utf-8?B?${Buffer.from('An urgent').toString('base64')}?= =?iso-8859-1?Q?_gr=FC=DFe_matter?=\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n${base64}\n`,
  );
  const quoted = put('Content-Transfer-Encoding: quoted-printable\n\nsoft li=\nne needle=3F\n');
  const forwarded = put('Content-Type: message/rfc822\n\nSubject: inner needle\n\nx\n');
  const attached = put('Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nbmVlZGxl needle\n');
  const wire = await client.imap(ALICE);
  await say(wire, 'SELECT INBOX');
  const found = async (query: string): Promise<number[]> =>
    (/\* SEARCH([ \d]*)\r\n/.exec(await say(wire, `UID SEARCH ${query}`))?.[1] ?? '')
      .trim()
      .split(' ')
      .filter((word) => word !== '')
      .map(Number);
  assert.deepEqual(await found('SUBJECT "urgent gr"'), [encoded]);
  assert.deepEqual(await found('SUBJECT MATTER'), [encoded]);
  assert.deepEqual(await found('BODY "needle in the hay"'), [encoded]);
  assert.deepEqual(await found('BODY "soft line needle?"'), [quoted]);
  assert.deepEqual(await found('TEXT "inner needle"'), [forwarded]);
  assert.deepEqual(await found('BODY NEEDLE'), [encoded, quoted, forwarded]);
  assert.equal((await found(`NOT BODY needle UID ${attached}`)).length, 1);
  assert.match(await say(wire, 'SEARCH CHARSET UTF-8 ALL'), /^x NO \[BADCHARSET/);
});

test('a folder that is deleted under a session ends it', async () => {
  const [one, two] = [await client.imap(ALICE), await client.imap(ALICE)];
  await say(one, 'CREATE Doomed');
  await say(two, 'SELECT Doomed');
  await say(one, 'DELETE Doomed');
  two.send('x NOOP\r\n');
  assert.match(await two.closed(), /\* BYE Connection is closed\. 13\r\n$/);
});

test('more sessions than the limit are authenticated but not connected; closing one makes room', async () => {
  sandbox.limits.imapConnections = 2;
  try {
    const magic = 'many+imap-size-estimated@contoso.test';
    const first = await client.imap(magic);
    await client.imap(magic);
    const third = await client.imap(magic);
    third.send('x NOOP\r\n');
    assert.match(await third.closed(), /not connected/);
    await say(first, 'LOGOUT');
    await first.closed();
    assert.match(await say(await client.imap(magic), 'NOOP'), /^x OK/);
  } finally {
    sandbox.limits.imapConnections = 20;
  }
});

test('literals are bounded: before sign-in, of a command, of all uploads together', async () => {
  const wire = await client.imap();
  wire.send('x LOGIN {9000}\r\n');
  assert.match(await wire.until(/^x .*\r\n/m), /^x NO/);
  const open = await client.imap(ALICE);
  open.send('y SEARCH SUBJECT {65537}\r\n');
  assert.match(await open.until(/^y .*\r\n/m), /^y NO/);
  sandbox.limits.uploadOctets = 1000;
  try {
    open.send('z APPEND Drafts {1001}\r\n');
    assert.match(await open.until(/^z .*\r\n/m), /^z NO \[UNAVAILABLE\]/);
    open.send('z APPEND Drafts {900}\r\n');
    await open.until(/^\+ .*\r\n/m);
    const other = await client.imap(ALICE);
    other.send('z APPEND Drafts {200}\r\n');
    assert.match(await other.until(/^z .*\r\n/m), /^z NO \[UNAVAILABLE\]/);
    open.send(`${'x'.repeat(900)}\r\n`);
    assert.match(await open.until(/^z .*\r\n/m), /^z OK/);
    other.send('z APPEND Drafts {200}\r\n');
    await other.until(/^\+ /m);
  } finally {
    sandbox.limits.uploadOctets = 512 * 1024 * 1024;
  }
});

test('B14: SENTON and its like go by the day as it is written; comments in addresses do not hide them; routes are shown', async () => {
  const wire = await client.imap(ALICE);
  await say(wire, 'CREATE Dated');
  const letter =
    'Date: Mon, 30 Nov 2026 23:30:00 -0800\r\nFrom: Al <@one.test,@two.test:alice(at home)@contoso.test>\r\nSubject: x\r\n\r\n\r\n';
  wire.send(`x APPEND Dated {${letter.length}+}\r\n${letter}\r\n`);
  await wire.until(/^x OK.*\r\n/m);
  await say(wire, 'SELECT Dated');
  assert.match(await say(wire, 'SEARCH SENTON 30-Nov-2026'), /^\* SEARCH 1\r\n/m);
  assert.match(await say(wire, 'SEARCH SENTSINCE 1-Dec-2026'), /^\* SEARCH\r\n/m);
  assert.match(await say(wire, 'SEARCH SENTBEFORE 1-Dec-2026'), /^\* SEARCH 1\r\n/m);
  assert.match(await say(wire, 'FETCH 1 ENVELOPE'), /\("Al" "@one\.test,@two\.test" /);
  assert.match(await say(wire, 'MOVE 1 INBOX'), /^\* OK \[COPYUID \d+ \d+ \d+\] \S+/m);
});

// RFC 5322 §3.2.2
test('B14: SEARCH FROM finds an address with a comment in it', async () => {
  const wire = await client.imap(ALICE);
  await say(wire, 'CREATE Commented');
  const letter = 'From: carol(at home)@contoso.test\r\nSubject: x\r\n\r\n\r\n';
  wire.send(`x APPEND Commented {${letter.length}+}\r\n${letter}\r\n`);
  await wire.until(/^x OK.*\r\n/m);
  await say(wire, 'SELECT Commented');
  assert.match(await say(wire, 'SEARCH FROM carol@contoso.test'), /^\* SEARCH 1\r\n/m);
});

test('N4: a fault of sign-in that is set ends a session in which nothing is selected, and no other', async () => {
  const resting = await client.imap(ALICE);
  const working = await client.imap(ALICE);
  assert.match(await say(working, 'SELECT INBOX'), /^x OK/m);
  sandbox.faults.set('imap-not-connected', { mailbox: ALICE });
  assert.match(await resting.closed(), /^\* BYE Connection is closed\. 13\r\n$/m);
  assert.match(await say(working, 'NOOP'), /^x OK/m);
  sandbox.faults.clear();
});
