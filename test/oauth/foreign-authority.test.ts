/** An application at another authority than its preset's: nothing of its mail goes to the preset's servers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { nullLog } from '../../src/base/log.ts';
import { resolveProvider } from '../../src/oauth/provider.ts';
import { openRoutes } from '../../src/server/routes.ts';
import type { Application, Grant, Mailbox } from '../../src/store/types.ts';

const imap = { host: 'localhost', port: 2993, tls: 'implicit' } as const;

function profileOf(provider: string, settings: Application['settings']) {
  return resolveProvider({ name: 'work', provider, tenant: undefined, settings });
}

test('P25: with another authority or issuer no server of the preset stands in for one that is not named', () => {
  const foreign: readonly (readonly [string, Application['settings']])[] = [
    ['microsoft', { authority: 'https://localhost:2443/contoso.test', imap }],
    ['microsoft', { issuer: 'https://localhost:2443/contoso.test/v2.0', imap }],
    ['google', { issuer: 'https://login.example.com', imap }],
    ['fastmail', { authority: 'https://login.example.com', imap }],
  ];
  for (const [provider, settings] of foreign) {
    const { foreign: is, mail } = profileOf(provider, settings);
    assert.deepEqual([is, Object.keys(mail), mail.imap?.host], [true, ['imap'], 'localhost'], JSON.stringify(settings));
  }
  const same: readonly (readonly [string, Application['settings']])[] = [
    ['microsoft', {}],
    ['microsoft', { authority: 'https://login.microsoftonline.com/contoso.com' }],
    ['microsoft', { authority: 'https://login.windows.net/contoso.com', imap }],
    ['google', { issuer: 'https://accounts.google.com' }],
  ];
  for (const [provider, settings] of same) {
    const { foreign: is, mail } = profileOf(provider, settings);
    assert.deepEqual([is, mail.pop3 !== undefined && mail.smtp !== undefined], [false, true], JSON.stringify(settings));
  }
});

test('P25: Microsoft Graph is a way out only for Microsoft’s own authority, or where it is named', async () => {
  const names = async (settings: Application['settings']): Promise<readonly string[]> => {
    const application = { id: 'a', name: 'work', provider: 'microsoft', tenant: undefined, settings } as Application;
    const grant = { id: 'g', applicationId: 'a' } as Grant;
    const instance = {
      clock: systemClock,
      log: nullLog,
      config: { outbox: {}, home: { state: '/' } },
      renewal: {},
      tokens: {},
      store: {
        grants: { find: () => Promise.resolve(grant) },
        applications: { find: () => Promise.resolve(application) },
      },
    } as unknown as Parameters<typeof openRoutes>[0];
    const routes = openRoutes(instance, () => Promise.reject(new Error('nothing is sent')));
    const found = await routes.of({ address: 'a@contoso.test', grantId: 'g', settings: {} } as unknown as Mailbox);
    await routes.close();
    return found.map(({ name }) => name);
  };
  assert.deepEqual(await names({}), ['smtp', 'graph']);
  const authority = 'https://localhost:2443/contoso.test';
  assert.deepEqual(await names({ authority }), ['smtp']);
  assert.deepEqual(await names({ authority, graph: 'https://localhost:2444' }), ['smtp', 'graph']);
});
