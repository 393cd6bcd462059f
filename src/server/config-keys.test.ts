/** Every key of postern.yaml, from the published schema: a legal value is taken, an illegal one is told with line, value and what would be right. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { z } from 'zod';
import { isError } from '../base/error.ts';
import { configSchema, parseConfig } from './config.ts';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly required?: readonly string[];
}

/** `listeners[].port`, `key.path` … */
function leavesOf(schema: Schema, path = ''): readonly string[] {
  const kinds = schema.anyOf ?? schema.oneOf;
  if (kinds) return [...new Set(kinds.flatMap((kind) => leavesOf(kind, path)))];
  if (schema.properties)
    return Object.entries(schema.properties).flatMap(([key, one]) =>
      leavesOf(one, path === '' ? key : `${path}.${key}`),
    );
  if (schema.items?.properties) return leavesOf(schema.items, `${path}[]`);
  return [path];
}

const KEY = 'MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=';
const listener = { protocol: 'imap', tls: 'none', host: '127.0.0.1', port: 1143 };
const rule = { name: 'scanner', networks: ['10.0.0.0/24'], mailbox: 'scan@example.com' };
const devices = { host: '10.0.0.1', rules: [rule] };
const relay = { host: 'relay.example.com' };
const mail = { to: ['admin@example.com'] };
const webhook = { url: 'https://hooks.example.com/', secretFile: '/etc/postern/hook' };

/** What must stand around a key for it to be allowed at all. */
const AROUND: Readonly<Record<string, object>> = {
  'listeners[]': listener,
  'outbox.devices': devices,
  'outbox.devices.rules[]': rule,
  'outbox.relay': relay,
  'notices.mail': mail,
  'notices.webhook': webhook,
  'notices.command': { run: ['true'] },
  'limits.idleMs': { imap: 1000, pop3: 1000, smtp: 1000 },
  tls: { certificate: '/a', key: '/b' },
};

/** Key → a legal and an illegal value. A new key of the schema without an entry fails. */
const VALUES: Readonly<Record<string, readonly [legal: unknown, illegal: unknown]>> = {
  hostname: ['mail.example.com', 'a b/c'],
  'listeners[].protocol': ['pop3', 'imaps'],
  'listeners[].tls': ['implicit', 'ssl'],
  'listeners[].host': ['::1', 'localhost.example'],
  'listeners[].port': [0, 70_000],
  'listeners[].oauth': [true, 'yes please'],
  'console.host': ['::1', 'console.example.com'],
  'console.port': [0, 'http'],
  'console.publicUrl': ['https://mail.example.com/', 'http://mail.example.com/'],
  'console.tls': [true, 1],
  'console.trustedProxies': [['10.0.0.1', '10.1.0.0/16'], ['proxy.example.com']],
  'console.insecurePublic': [true, 'no'],
  'webhooks.allow': [['10.0.0.0/8'], ['0.0.0.0/0']],
  database: ['postgres://postern@db/postern', 'mysql://db/postern'],
  'key.source': ['environment', 'keychain'],
  'key.path': ['/etc/postern/key', 7],
  'key.file': ['/etc/postern/passphrase', 7],
  'key.name': ['postern-key', 7],
  'tls.certificate': ['/etc/tls/chain.pem', ''],
  'tls.key': ['/etc/tls/key.pem', 3],
  'tls.ca': ['/etc/tls/ca.pem', 5],
  'audit.keepDays': [400, 0],
  'key.insecureWeakPassphrase': [true, 'yes'],
  'limits.maxConnections': [1, 0],
  'limits.maxConnectionsPerAddress': [1, 1.5],
  'limits.maxWaitingPerAddress': [1, -1],
  'limits.heldOctets': [67_108_864, 1000],
  'limits.signInMs': [60_000, 60],
  'limits.upstreamMs': [45_000, '45s'],
  'limits.idleMs.imap': [1_800_000, 1],
  'limits.idleMs.pop3': [600_000, null],
  'limits.idleMs.smtp': [600_000, '10m'],
  'limits.lineOctets': [16_384, 100],
  'limits.literalOctets': [16_384, 1],
  'limits.maxFailures': [5, 0],
  'limits.reuseMs': [0, -1],
  'limits.drainMs': [0, -5],
  'outbox.maxOctets': [35_000_000, 10],
  'outbox.keepDays': [7, 0],
  'outbox.localDomain': ['example.com', 'local host'],
  'outbox.localMailbox': ['alerts@example.com', 'root'],
  'outbox.relay.host': ['relay.example.com', 'relay example'],
  'outbox.relay.port': [25, 0],
  'outbox.relay.tls': ['implicit', 'ssl'],
  'outbox.relay.ca': ['/etc/ca.pem', ''],
  'outbox.relay.user': ['postern', ''],
  'outbox.relay.passwordFile': ['/etc/relay', ''],
  'outbox.devices.host': ['10.0.0.1', 'lan'],
  'outbox.devices.port': [2525, 65_536],
  'outbox.devices.tls': ['starttls', true],
  'outbox.devices.rules[].name': ['hall-scanner', 'the scanner'],
  'outbox.devices.rules[].networks': [['10.0.0.5'], ['0.0.0.0/0']],
  'outbox.devices.rules[].mailbox': ['scan@example.com', 'x'],
  'outbox.devices.rules[].sender': ['hall@example.com', 'x'],
  'outbox.devices.rules[].perHour': [10, 0],
  'log.level': ['debug', 'loud'],
  'log.format': ['json', 'xml'],
  'data.url': ['https://example.com/data.json', 'ftp://example.com/data.json'],
  'data.publishers': [[KEY], ['not-a-key']],
  'renewal.concurrency': [4, 0],
  'renewal.rate': [0.5, 0],
  'notices.mail.to': [['admin@example.com'], ['admin']],
  'notices.mail.from': ['alerts@example.com', 'alerts'],
  'notices.mail.owners': [true, 'all'],
  'notices.webhook.url': ['https://hooks.example.com/', 'hooks.example.com'],
  'notices.webhook.secretFile': ['/etc/postern/hook', ''],
  'notices.command.run': [['/usr/bin/logger', 'x'], 'logger x'],
  'notices.command.timeoutMs': [5000, 1],
  workers: [2, 65],
};

const SOURCES: Readonly<Record<string, object>> = {
  'key.path': { source: 'file' },
  'key.file': { source: 'passphrase' },
  'key.insecureWeakPassphrase': { source: 'passphrase', file: '/etc/postern/passphrase' },
  'key.name': { source: 'credential' },
};
const PAIRS: Readonly<Record<string, object>> = {
  'outbox.relay.user': { passwordFile: '/etc/relay' },
  'outbox.relay.passwordFile': { user: 'postern' },
};

function around(key: string): object {
  const parent = key.slice(0, Math.max(0, key.lastIndexOf('.')));
  return { ...AROUND[parent], ...SOURCES[key], ...PAIRS[key] };
}

/** A whole file in which one key has this value; a comment in front, so that line 1 is never right by chance. */
function fileWith(key: string, value: unknown): string {
  const names = key.split('.');
  let made: unknown = value;
  for (let depth = names.length; depth > 0; depth -= 1) {
    const name = names[depth - 1]!;
    const outer = names.slice(0, depth - 1).join('.');
    const list = name.endsWith('[]');
    const own = list ? [made] : made;
    const rest = depth === names.length ? around(key) : (AROUND[outer] ?? {});
    made = { ...rest, [name.replace('[]', '')]: own };
  }
  return `# a comment\n${stringify(made)}`;
}

function lineOf(text: string, key: string): number {
  const name = key.slice(key.lastIndexOf('.') + 1);
  return text.split('\n').findIndex((line) => new RegExp(`^[\\s-]*${name}:`).test(line)) + 1;
}

const keys = leavesOf(z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as Schema);

test('D5: every key of the schema has a legal and an illegal value here', () => {
  assert.deepEqual(
    keys.filter((key) => !(key in VALUES)),
    [],
  );
  assert.deepEqual(
    Object.keys(VALUES).filter((key) => !keys.includes(key)),
    [],
  );
});

for (const [key, [legal, illegal]] of Object.entries(VALUES)) {
  test(`D5: ${key}: ${JSON.stringify(legal)} is taken, ${JSON.stringify(illegal)} is told`, () => {
    assert.doesNotThrow(() => parseConfig(fileWith(key, legal), 'postern.yaml'), fileWith(key, legal));
    const text = fileWith(key, illegal);
    assert.throws(
      () => parseConfig(text, 'postern.yaml'),
      (error) => {
        assert.ok(isError(error, 'server.config'));
        const { message } = error;
        const line = Number(/^postern\.yaml line (\d+): /.exec(message)?.[1]);
        // Inside a list the entry has a line of its own.
        assert.ok(line >= lineOf(text, key) && line <= lineOf(text, key) + 1, `${message}\n${text}`);
        assert.doesNotMatch(message, /expected|received|Invalid|undefined|regex|pattern/, message);
        assert.match(message, new RegExp(key.replace('[]', '(?:\\.0)?').split('.').at(-1)!.replace('[]', '')));
        assert.ok(error.hint !== '');
        return true;
      },
      text,
    );
  });
}

test('F66: a form that does not exist is told with those that do; an empty group is no group', () => {
  for (const [text, said] of [
    [
      'key:\n  source: nothing\n',
      /line 2: key\.source: "nothing" is not one of file, passphrase, environment, credential$/,
    ],
    ['key:\n  path: x\n', /key\.source: it is missing; one of file, passphrase, environment, credential$/],
    ['console:\n  publicUrl: https://x.test/a?b#c\n', /line 2: console\.publicUrl: "https:.*": leave out/],
  ] as const)
    assert.throws(
      () => parseConfig(text, 'p.yaml'),
      (error) => isError(error, 'server.config') && said.test(error.message),
      text,
    );
  assert.deepEqual(
    parseConfig('limits:\n  # lineOctets: 1\nkey:\nnotices:\n  mail:\n', 'p.yaml'),
    parseConfig('', 'p.yaml'),
  );
});

test('N15: a misspelt key is told with the line it stands in, and what was meant', () => {
  const said = (text: string): string => {
    try {
      parseConfig(text, 'postern.yaml');
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  assert.equal(
    said('# c\nlistners:\n  - { protocol: imap, tls: none, port: 1 }\n'),
    'postern.yaml line 2: there is no key called listners; did you mean listeners?',
  );
  assert.match(said('console:\n  hots: x\n'), /line 2: there is no key called console\.hots; did you mean host\?/);
  assert.match(said('outbox:\n  relay:\n    hozt: x\n'), /line (?:2|3): /);
});
