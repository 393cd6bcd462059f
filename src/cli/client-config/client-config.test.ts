/** Which door a program is sent to, and that whatever is in an address stays text in every program's own syntax. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../../base/error.ts';
import type { ListenerConfig } from '../../gateway/types.ts';
import { plannedListeners } from './devices.ts';
import { programs } from './programs.ts';
import { type ClientSettings, doorsOf, inUrl } from './settings.ts';

const listeners: readonly ListenerConfig[] = [
  { protocol: 'imap', tls: 'none', host: '127.0.0.1', port: 1143 },
  { protocol: 'imap', tls: 'implicit', host: '127.0.0.1', port: 1993 },
  { protocol: 'smtp', tls: 'starttls', host: '0.0.0.0', port: 587 },
];
const config = { listeners: [...listeners], hostname: 'mail.example.com' };

test('the safest door first, under a name that its certificate has', () => {
  assert.deepEqual(doorsOf(config), {
    imap: { host: 'localhost', port: 1993, security: 'tls' },
    pop3: undefined,
    smtp: { host: 'mail.example.com', port: 587, security: 'starttls' },
  });
  const imap = { listeners: listeners.slice(0, 2), hostname: undefined };
  assert.equal(doorsOf(imap, { security: 'starttls' }).imap?.port, 1143);
  assert.equal(doorsOf(imap, { security: 'plain', host: '127.0.0.1' }).imap?.host, '127.0.0.1');
});

test('P23: only 127.0.0.1 and ::1 are localhost; another address is named as it is, in brackets where it stands in a URL', () => {
  const at = (host: string, tls?: { certificate: string; key: string }) =>
    doorsOf({ listeners: [{ protocol: 'imap', tls: 'implicit', host, port: 993 }], hostname: 'mail.example.com', tls })
      .imap?.host;
  assert.deepEqual(
    ['127.0.0.1', '::1', '127.0.0.3', '192.0.2.5', '2001:db8::7', '0.0.0.0'].map((host) => at(host)),
    ['localhost', 'localhost', '127.0.0.3', '192.0.2.5', '2001:db8::7', 'mail.example.com'],
  );
  // A certificate that somebody issued is for names; ours has the addresses too.
  assert.equal(at('192.0.2.5', { certificate: 'c', key: 'k' }), 'mail.example.com');
  assert.equal(inUrl({ host: '2001:db8::7', port: 993 }), '[2001:db8::7]:993');
});

test('nothing is sent to a door that is not there', () => {
  const wrong: readonly Parameters<typeof doorsOf>[] = [
    [config, { security: 'plain' }],
    [config, { can: ['tls'] }],
    [{ listeners: [{ protocol: 'imap', tls: 'implicit', host: '127.0.0.1', port: 0 }], hostname: undefined }],
  ];
  for (const args of wrong)
    assert.throws(
      () => doorsOf(...args),
      (error) => isError(error, 'cli.usage') && error.hint !== '',
    );
});

test('quotes, spaces and signs in addresses end no string early', () => {
  const door = { host: 'localhost', port: 1, security: 'tls' } as const;
  const address = `o'neil"$(id)%\\@example.com`;
  const settings: ClientSettings = {
    address,
    password: 'p',
    imap: door,
    pop3: undefined,
    smtp: door,
    ca: '/c a.pem',
  };
  const text = (name: string): string => programs[name]!.write(settings).lines.join('\n');
  assert.ok(text('mutt').includes(String.raw`set from = "o'neil\"\$(id)%\\@example.com"`));
  assert.ok(text('msmtp').includes(String.raw`user "o'neil"$(id)%\@example.com"`));
  assert.ok(text('fetchmail').includes(String.raw`user 'o\'neil"$(id)%\\@example.com'`));
  assert.ok(text('getmail').includes(String.raw`username = o'neil"$(id)%%\@example.com`));
  assert.ok(text('python').includes(String.raw`USER = "o'neil\"$(id)%\\@example.com"`));
  assert.ok(text('curl').includes(String.raw`--user 'o'\''neil"$(id)%\@example.com':"$POSTERN_APP_PASSWORD"`));
});

test('P41: programs elsewhere reach no listener on loopback, and a name of this machine means what is reached by it', () => {
  const both = {
    listeners: [
      { protocol: 'smtp', tls: 'implicit', host: '127.0.0.1', port: 1465 },
      { protocol: 'smtp', tls: 'starttls', host: '0.0.0.0', port: 587 },
    ],
    hostname: 'mail.example.com',
  } satisfies Parameters<typeof doorsOf>[0];
  assert.deepEqual(doorsOf(both).smtp, { host: 'localhost', port: 1465, security: 'tls' });
  const beyond = { host: 'mail.example.com', port: 587, security: 'starttls' };
  assert.deepEqual(doorsOf(both, { elsewhere: true }).smtp, beyond);
  assert.deepEqual(doorsOf(both, { host: 'mail.example.com' }).smtp, beyond);
  assert.equal(doorsOf(config, { elsewhere: true }).imap, undefined);
});

test('P41: the list for other machines is made from the one that is there, and holds no port twice', () => {
  const console = { host: '127.0.0.1', port: 993 };
  const facts = (own: readonly ListenerConfig[]) =>
    ({ listeners: [...own], console, outbox: {} }) as unknown as Parameters<typeof plannedListeners>[0];
  assert.equal(plannedListeners(facts(listeners), ['smtp'], undefined), undefined, 'there is one already');
  const planned = plannedListeners(facts(listeners), ['smtp', 'imap'], undefined) ?? [];
  assert.deepEqual(
    planned.map(({ host, port }) => `${host}:${port}`),
    ['127.0.0.1:1143', '127.0.0.1:1993', '0.0.0.0:587', '0.0.0.0:10993'],
    'the console has 993',
  );
  const local: ListenerConfig = { protocol: 'smtp', tls: 'starttls', host: '127.0.0.1', port: 587 };
  assert.deepEqual(plannedListeners(facts([local]), ['smtp'], undefined), [{ ...local, host: '0.0.0.0' }]);
  const other: ListenerConfig = { protocol: 'imap', tls: 'starttls', host: '127.0.0.1', port: 587 };
  assert.deepEqual(plannedListeners(facts([other]), ['smtp'], undefined), [
    other,
    { ...local, host: '0.0.0.0', port: 10_587 },
  ]);
  assert.equal(plannedListeners(facts([]), ['smtp'], 'tls')?.[0]?.port, 465);
});
