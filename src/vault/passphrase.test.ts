import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../base/secret.ts';
import { passphraseKey } from './key-source.ts';
import { weaknessOf } from './passphrase.ts';

test('S15: what is guessed first is refused, what people can keep in mind is not', () => {
  for (const weak of [
    'a',
    '',
    'aaaaaaaaaaaaaaaaaaaaaaaa',
    'abcdefghijklmnopqrstuvwxyz',
    'qwertyuiopasdfghjklzxcvbnm',
    '1234567890123456',
    'Password123!',
    'passwordpasswordpassword',
    'Postern-2026!',
    'hunter2hunter2hunter2',
    'abababababababab',
  ])
    assert.ok(weaknessOf(weak), weak);
  for (const good of [
    'correct horse battery staple',
    'caf\u00e9 au lait, no sugar',
    'T7#qLw9vX2pR',
    'wJalrXUtnFEMI/K7MDENG',
    'the lighthouse keeps three cats',
  ])
    assert.equal(weaknessOf(good), undefined, good);
});

test('S15: a new vault does not take a weak passphrase, unless told to', () => {
  assert.throws(() => passphraseKey(new Secret('a')).newCost(), { code: 'vault.weak-passphrase' });
  assert.ok(passphraseKey(new Secret('a'), { insecureWeak: true }).newCost());
  assert.ok(passphraseKey(new Secret('correct horse battery staple')).newCost());
});
