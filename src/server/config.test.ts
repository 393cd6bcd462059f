/** postern.yaml: what is read, and how a mistake is told. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { parseConfig, readConfig } from './config.ts';
import { homeOf } from './home.ts';

const message = (text: string): string => {
  try {
    parseConfig(text, 'postern.yaml');
  } catch (error) {
    assert.ok(isError(error, 'server.config'));
    return error.message;
  }
  return '';
};

test('nothing at all is a complete configuration on loopback', () => {
  const config = parseConfig('', 'postern.yaml');
  assert.deepEqual([...new Set(config.listeners.map(({ host }) => host))], ['127.0.0.1']);
  assert.deepEqual(
    config.listeners.map(({ port }) => port),
    [1143, 1993, 1110, 1995, 1587, 1465],
  );
  assert.equal(config.console.port, 7993);
});

test('a mistake is told with its line', () => {
  assert.match(message('log:\n  level: loud\n'), /^postern\.yaml line 2: log\.level/);
  assert.match(message('workers: 2\nlisten: []\n'), /line 2: there is no key called listen/);
  assert.match(message('listeners:\n  - { protocol: imap, tls: none, port: 70000 }\n'), /line 2: listeners\.0\.port/);
  assert.match(message('a: [1\n'), /line \d/);
});

test('P41: two ports of ours that cannot both be opened are told where they are read, with both lines', () => {
  const listeners = (...hosts: readonly string[]): string =>
    `listeners:\n${hosts.map((host) => `  - { protocol: smtp, tls: starttls, host: '${host}', port: 587 }\n`).join('')}`;
  assert.match(
    message(listeners('0.0.0.0', '0.0.0.0')),
    /^postern\.yaml line 3: listeners\.1: the listener for smtp on 0\.0\.0\.0 port 587 is in the list twice; remove one \(the other one is in line 2\)$/,
  );
  for (const pair of [
    ['127.0.0.1', '0.0.0.0'],
    ['::', '192.0.2.1'],
    ['2001:db8::1', '::'],
  ])
    assert.match(
      message(listeners(...pair)),
      /line 3: listeners\.1: smtp on \S+ port 587 cannot be opened beside smtp on \S+ port 587; /,
    );
  for (const pair of [
    ['127.0.0.1', '127.0.0.2'],
    ['::1', '127.0.0.1'],
    ['2001:db8::1', '0.0.0.0'],
    // What localhost is here is only known when it is opened.
    ['localhost', '127.0.0.1'],
  ])
    assert.equal(message(listeners(...pair)), '');
  assert.match(
    message('console: { port: 1143 }'),
    /line 1: console\.port: 1143: the console on 127\.0\.0\.1 port 1143 cannot be opened beside imap /,
  );
  const devices =
    'outbox: { devices: { host: 0.0.0.0, port: 1587, rules: [{ name: a, networks: [10.0.0.1], mailbox: a@b.test }] } }';
  assert.match(
    message(devices),
    /outbox\.devices\.port: 1587: devices on 0\.0\.0\.0 port 1587 cannot be opened beside smtp /,
  );
});

test('the environment overrides the file, and secrets may come from files', () => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-config-'));
  try {
    writeFileSync(join(dir, 'postern.yaml'), 'workers: 3\nlog: { level: warn }\n');
    writeFileSync(join(dir, 'url'), 'postgres://postern:s3cret-word@db/postern\n');
    const config = readConfig(homeOf({}, dir), { POSTERN_WORKERS: '2', POSTERN_DATABASE_URL_FILE: join(dir, 'url') });
    assert.equal(config.workers, 2);
    assert.equal(config.log.level, 'warn');
    assert.equal(config.database.reveal(), 'postgres://postern:s3cret-word@db/postern');
    assert.ok(!JSON.stringify(config).includes('s3cret-word'));
    assert.throws(() => readConfig(homeOf({}, dir), { POSTERN_WORKERS: 'many' }), /POSTERN_WORKERS is not a number/);
    assert.throws(() => readConfig(homeOf({}, dir), { POSTERN_MASTER_KEY_FILE: join(dir, 'none') }), /cannot be read/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('D4: every variable may come from a file, a misspelt one and a missing file are told', () => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-config-'));
  try {
    const home = homeOf({}, dir);
    const file = (text: string): string => {
      const path = join(dir, `value-${Math.random()}`);
      writeFileSync(path, `${text}\n`);
      return path;
    };
    const config = readConfig(home, {
      POSTERN_HOSTNAME_FILE: file('mail.example.com'),
      POSTERN_WORKERS_FILE: file('2'),
      POSTERN_LOG_LEVEL_FILE: file('warn'),
      POSTERN_LOG_FORMAT_FILE: file('json'),
    });
    assert.deepEqual(
      [config.hostname, config.workers, config.log.level, config.log.format],
      ['mail.example.com', 2, 'warn', 'json'],
    );
    const hintOf = (env: Record<string, string>): string => {
      try {
        readConfig(homeOf(env, dir), env);
      } catch (error) {
        assert.ok(isError(error, 'server.config'));
        return `${error.message} | ${error.hint}`;
      }
      return '';
    };
    assert.match(hintOf({ POSTERN_HOSTNAM: 'x' }), /no variable POSTERN_HOSTNAM \| did you mean POSTERN_HOSTNAME\?/);
    assert.match(
      hintOf({ POSTERN_CONFIG: '/no/such.yaml' }),
      /POSTERN_CONFIG names \/no\/such\.yaml, and there is no such/,
    );
    assert.match(
      hintOf({ POSTERN_LOG_LEVEL: 'loud' }),
      /log\.level wrongly: "loud" is not one of .*\| .*POSTERN_LOG_LEVEL/,
    );
    assert.equal(hintOf({ POSTERN_PORT: 'tcp://10.0.0.1:143', POSTERN_SERVICE_HOST: '10.0.0.1' }), '');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('F61: a network with bits behind its length is refused with the one that was probably meant', () => {
  for (const [networks, words] of [
    ['10.0.0.5/8', /for all of it write 10\.0\.0\.0\/8/],
    ['10.1/16', /write it as address\/length/],
    ['010.0.0.1', /write it as address\/length/],
  ] as const)
    assert.match(message(`console: { trustedProxies: ["${networks}"] }`), words);
});
