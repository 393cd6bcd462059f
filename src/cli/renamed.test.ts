import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renamed } from './renamed.ts';

test('an old word is understood, and said once with the new one', () => {
  const { args, notes } = renamed([
    '--home',
    'provider',
    'mailbox',
    'add',
    'provider',
    '--provider=work',
    '--provider',
    'x',
  ]);
  assert.deepEqual(args, [
    '--home',
    'provider',
    'mailbox',
    'add',
    'provider',
    '--application=work',
    '--application',
    'x',
  ]);
  assert.deepEqual(notes, [
    '--provider is called --application now; the old word is understood until the next release',
  ]);
  assert.deepEqual(renamed(['-q', 'provider', 'list']).args, ['-q', 'application', 'list']);
  assert.deepEqual(renamed(['help', 'provider']).args, ['help', 'application']);
});

test('arguments that belong to others stay as they are', () => {
  for (const args of [
    ['sendmail', '-t', '--provider', 'x'],
    ['application', 'add', '--', '--provider'],
    ['constructor', 'toString'],
  ])
    assert.deepEqual(renamed(args), { args, notes: [] });
});
