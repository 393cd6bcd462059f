/** The POP3 server word by word: deletions and their undoing, the lock on the maildrop, what RETR and TOP give. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TenantClient } from '../../../test/bed/tenant-client.ts';
import type { Wire } from '../../../test/bed/wire.ts';
import { type Sandbox, startSandbox } from '../index.ts';

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

async function open(user = BOB): Promise<Wire> {
  const wire = await client.pop3();
  assert.match(await client.popAuth(wire, user), /^\+OK User successfully authenticated\./);
  return wire;
}

async function say(wire: Wire, command: string): Promise<string> {
  wire.send(`${command}\r\n`);
  return wire.until(/^(?:\+OK|-ERR).*\r\n/m);
}

// RFC 1939 §5, §6
test('DELE takes a message out of sight, RSET brings it back, QUIT carries it out', async () => {
  const inbox = sandbox.mailStore.find(BOB)!.inbox;
  const count = inbox.messages.length;
  const wire = await open();
  assert.match(await say(wire, 'DELE 1'), /^\+OK/);
  assert.match(await say(wire, 'DELE 1'), /^-ERR/);
  assert.match(await say(wire, 'RETR 1'), /^-ERR/);
  assert.match(await say(wire, 'LIST 1'), /^-ERR/);
  assert.match(await say(wire, 'STAT'), new RegExp(`^\\+OK ${count - 1} `));
  assert.match(await say(wire, 'RSET'), /^\+OK/);
  assert.match(await say(wire, 'STAT'), new RegExp(`^\\+OK ${count} `));
  await say(wire, 'DELE 1');
  assert.equal(inbox.messages.length, count, 'nothing is gone before QUIT');
  await say(wire, 'QUIT');
  await wire.closed();
  assert.equal(inbox.messages.length, count - 1);
});

// RFC 1939 §4, §6
test('a session that breaks deletes nothing and frees the maildrop', async () => {
  const inbox = sandbox.mailStore.find(BOB)!.inbox;
  const count = inbox.messages.length;
  const wire = await open();
  await say(wire, 'DELE 1');
  const second = await client.pop3();
  assert.match(await client.popAuth(second, BOB), /^-ERR \[IN-USE\]/);
  wire.destroy();
  for (let tries = 0; sandbox.mailStore.find(BOB)!.popLocked && tries < 200; tries++)
    await new Promise((resolve) => setImmediate(resolve));
  assert.match(await client.popAuth(second, BOB), /^\+OK/);
  assert.match(await say(second, 'STAT'), new RegExp(`^\\+OK ${count} `));
  assert.equal(inbox.messages.length, count);
  second.destroy();
});

// RFC 1939 §3, §7
test('RETR doubles leading dots, TOP ends after the lines asked for, UIDL is stable', async () => {
  sandbox.mailStore.deliver('alice@contoso.test', Buffer.from('Subject: dots\r\n\r\n.one\r\ntwo\r\n..three\r\n'));
  const wire = await open('alice@contoso.test');
  const [, number] = /^\+OK (\d+) /.exec(await say(wire, 'STAT')) ?? [];
  wire.send(`RETR ${number}\r\n`);
  assert.match(await wire.until(/\r\n\.\r\n/), /Subject: dots\r\n\r\n\.\.one\r\ntwo\r\n\.\.\.three\r\n\.\r\n$/);
  wire.send(`TOP ${number} 1\r\n`);
  assert.match(await wire.until(/\r\n\.\r\n/), /\r\n\r\n\.\.one\r\n\.\r\n$/);
  const uidl = await say(wire, `UIDL ${number}`);
  await say(wire, 'QUIT');
  await wire.closed();
  assert.equal(await say(await open('alice@contoso.test'), `UIDL ${number}`), uidl);
});

// RFC 2449 §8.1.1
test('one-line AUTH is a protocol error, passwords are refused, and a command too soon is said so', async () => {
  const wire = await client.pop3();
  assert.match(await say(wire, 'STAT'), /^-ERR Command is not valid in this state/);
  assert.match(await say(wire, `AUTH XOAUTH2 ${await client.bearer(BOB)}`), /^-ERR Protocol error/);
  await say(wire, `USER ${BOB}`);
  assert.match(await say(wire, 'PASS secret'), /^-ERR Logon failure/);
  assert.match(await say(wire, 'CAPA'), /^\+OK/);
  assert.match(await wire.until(/\.\r\n/), /SASL PLAIN XOAUTH2\r\n/);
});
