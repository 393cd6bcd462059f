/** Half an hour of silence ends a session with a word, and it is real time that counts, not the tenant's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { TenantClient } from '../../../test/bed/tenant-client.ts';
import { startSandbox } from '../index.ts';

// RFC 9051 §5.4, RFC 1939 §3, RFC 5321 §4.5.3.2.7
test('silence ends IMAP, POP3 and SMTP sessions; time that only the tenant has does not', async () => {
  const clock = new ManualClock(Date.now());
  const sandbox = await startSandbox({ clock, tokenLifetime: 86_400 });
  const client = new TenantClient(sandbox);
  try {
    const imap = await client.imap('alice@contoso.test');
    const pop3 = await client.pop3();
    const smtp = await client.smtp();
    await sandbox.clock.advance(3_600_000);
    imap.send('b NOOP\r\n');
    await imap.until(/^b OK.*\r\n/m);
    assert.equal(pop3.isClosed || smtp.isClosed, false);
    await clock.advance(31 * 60_000);
    assert.equal(await imap.closed(), '* BYE Connection is closed. 13\r\n');
    assert.equal(await pop3.closed(), '-ERR Connection is closed. 10\r\n');
    assert.match(await smtp.closed(), /^421 4\.4\.1 Connection timed out/);
  } finally {
    await client.close();
    await sandbox.close();
  }
});
