import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { Secret } from '../base/secret.ts';
import { changedSettings } from './config-difference.ts';
import { type Config, parseConfig, readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { received, sendable } from './worker-messages.ts';

const base = readConfig(homeOf({ HOME: '/nowhere' }, '/nowhere'), {});
const file = (text: string): Config => ({
  ...base,
  ...(parseConfig(text, 'postern.yaml') as object),
  database: base.database,
  key: base.key,
});

test('W5: what has changed is named, two levels deep, without values', () => {
  assert.deepEqual(changedSettings(base, base), []);
  assert.deepEqual(
    changedSettings(base, file('console: { port: 7994 }\nhostname: mail.example.com\n')),
    ['console.port', 'hostname'].sort(),
  );
  const other = { ...base, database: new Secret('postgres://postern:hunter22@db/postern') };
  assert.deepEqual(changedSettings(base, other), ['database']);
});

test('W5: a worker gets the primary’s settings whole, its secrets included, which print nowhere', () => {
  for (const key of [
    base.key,
    { source: 'passphrase', passphrase: new Secret('correct horse battery') },
    { source: 'environment', value: new Secret('bWFzdGVya2V5bWFzdGVya2V5bWFzdGVya2V5bWFzdGU=') },
    { source: 'credential', name: 'key' },
  ] as const) {
    const config: Config = { ...base, key, database: new Secret('postgres://postern:hunter22@db/postern') };
    const there = received(structuredClone(sendable(config)));
    assert.deepEqual(changedSettings(config, there), []);
    assert.equal(there.database.reveal(), config.database.reveal());
    assert.doesNotMatch(inspect(there, { depth: 9 }), /hunter22|battery|bWFzdGVy/);
  }
});
