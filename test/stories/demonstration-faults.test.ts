/** The demonstration of `postern sandbox --gateway`: what it prints to make it fail makes it fail, every time. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { startSandboxGateway } from '../bed/sandbox-gateway.ts';

test('N4: a fault that is set is met by the very next sign-in, six times of six', async () => {
  const demonstration = await startSandboxGateway();
  try {
    const { control, gateway, mailboxes } = demonstration.facts;
    const [{ address, password }] = mailboxes as readonly [{ address: string; password: string }];
    const url = `imap://${address.replace('@', '%40')}:${password}@127.0.0.1:${gateway.imap.port}/INBOX;MAILINDEX=1`;
    const curl = async (): Promise<unknown> =>
      (await once(spawn('curl', ['-sS', '--max-time', '20', url], { stdio: 'ignore' }), 'exit'))[0];
    for (let time = 0; time < 6; time++) {
      assert.equal(await curl(), 0, `reading, time ${time}`);
      const response = await fetch(`${control}/faults`, {
        method: 'POST',
        body: JSON.stringify({ fault: 'imap-throttled', times: 1 }),
      });
      assert.equal(response.status < 300, true);
      assert.notEqual(await curl(), 0, `failing, time ${time}`);
    }
    await fetch(`${control}/faults`, { method: 'POST', body: JSON.stringify({ fault: 'imap-not-connected' }) });
    assert.notEqual(await curl(), 0, 'the job of docs/sandbox.md');
  } finally {
    await demonstration.stop();
  }
});
