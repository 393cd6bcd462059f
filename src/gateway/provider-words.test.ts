/** What programs, log, audit and metric are told of an Exchange that lets nobody work: the sandbox tenant behind a gateway. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTenantGateway, type TenantGateway } from '../../test/bed/tenant-gateway.ts';
import { Wire } from '../../test/bed/wire.ts';

let tenant: TenantGateway;
before(async () => {
  tenant = await startTenantGateway();
});
after(() => tenant.stop());

async function signIn(): Promise<{ readonly wire: Wire; readonly answer: string }> {
  const wire = await Wire.open(tenant.imap);
  await wire.until(/^\* OK .*\r\n/);
  wire.send(`a LOGIN ${tenant.user} ${tenant.password}\r\n`);
  return { wire, answer: await wire.until(/^a .*\r\n/m) };
}

const rows = {
  'imap-throttled': 'imap.throttled',
  'imap-not-connected': 'imap.not-connected',
  'imap-server-unavailable': 'imap.unavailable',
} as const;
for (const [fault, row] of Object.entries(rows))
  test(`N5: with ${fault} the audit names ${row}`, async () => {
    tenant.sandbox.faults.set(fault);
    const { wire, answer } = await signIn();
    wire.destroy();
    tenant.sandbox.faults.clear();
    assert.match(answer, /^a NO \[UNAVAILABLE\]/m);
    assert.equal((await tenant.latest('signin.upstream')).data['code'], row);
  });

test('B13: at the limit of sessions a program gets in when another one ends, or is told how many there are and who holds them', async () => {
  const open: Wire[] = [];
  tenant.sandbox.limits.imapConnections = 6;
  for (let count = 0; count < 6; count++) {
    const { wire, answer } = await signIn();
    assert.match(answer, /^a OK/m);
    open.push(wire);
  }
  const later = signIn();
  open.shift()!.send('b LOGOUT\r\n');
  const next = await later;
  assert.match(next.answer, /^a OK/m);
  open.push(next.wire);
  const { wire, answer } = await signIn();
  assert.match(answer, /^a NO \[UNAVAILABLE\] .* as many IMAP sessions open as the provider allows/m);
  assert.match(answer, /6 are held here, by demonstration 1 \(6\)/);
  assert.doesNotMatch(answer, /Add-MailboxPermission/);
  assert.equal((await tenant.latest('signin.upstream')).data['code'], 'imap.too-many-sessions');
  for (const each of [wire, ...open]) each.destroy();
});

test('B15: an hour and a half of the tenant does not end a session that is not in IDLE', async () => {
  const { wire } = await signIn();
  await tenant.sandbox.clock.advance(90 * 60_000);
  wire.send('b NOOP\r\n');
  assert.match(await wire.until(/^b .*\r\n/m), /^b OK/m);
  wire.destroy();
});

// RFC 1939 §4, RFC 2449 §8.1.2
test('B10: a maildrop that is in use at the provider is in use here, not a wrong password', async () => {
  tenant.sandbox.faults.set('pop3-in-use');
  const wire = await Wire.open(tenant.pop3);
  await wire.until(/^\+OK .*\r\n/);
  wire.send(`USER ${tenant.user}\r\n`);
  await wire.until(/^\+OK.*\r\n/);
  wire.send(`PASS ${tenant.password}\r\n`);
  const answer = await wire.until(/^[+-].*\r\n/m);
  tenant.sandbox.faults.clear();
  assert.match(answer, /^-ERR \[IN-USE\] .* is open in another POP3 session/);
  assert.equal((await tenant.latest('signin.upstream')).data['code'], 'sasl.unavailable');
  // Nothing is left of it: the next one comes in.
  wire.send(`USER ${tenant.user}\r\n`);
  await wire.until(/^\+OK.*\r\n/);
  wire.send(`PASS ${tenant.password}\r\n`);
  assert.match(await wire.until(/^[+-].*\r\n/m), /^\+OK/);
  wire.destroy();
});
