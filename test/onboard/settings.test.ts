/** What an application may be set to. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resolveProvider } from '../../src/oauth/provider.ts';
import { createAuthority } from '../../src/protocol/tls/local-ca.ts';

describe('G8: settings of an application', async () => {
  const whole = (await createAuthority('Test authority')).certPem;
  const resolve = (settings: Record<string, unknown>) =>
    resolveProvider({ name: 'work', provider: 'microsoft', tenant: undefined, settings });
  test('a CA that was cut off is refused, alone and for a mail server', () => {
    for (const ca of [whole.slice(0, 300), 'no PEM at all', `${whole}\n${whole.slice(0, 200)}`]) {
      assert.throws(() => resolve({ ca }), /ca: .*not a PEM file of whole certificates/);
      assert.throws(() => resolve({ imap: { host: 'h.test', port: 993, tls: 'implicit', ca } }), /imap\.ca: /);
    }
    resolve({ ca: `${whole}\n${whole}` });
  });
  test('a number out of bounds is told with what would be right and the command', () => {
    assert.throws(() => resolve({ imap: { host: 'h.test', port: 99_999, tls: 'implicit' } }), {
      message: /imap\.port: 99999 is too large: at most 65535/,
      hint: /postern application set work/,
    });
  });
});
