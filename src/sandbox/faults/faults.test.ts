/** The list of faults and the board they are set on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../../base/error.ts';
import { faultOfAddress } from './address.ts';
import { FaultBoard } from './board.ts';
import { faults } from './catalogue.ts';

const imap = { place: 'imap', addresses: ['alice@contoso.test'] } as const;

test('every fault says what it is, where it bites, what it does and where that is known from', () => {
  assert.ok(faults.length > 80);
  assert.equal(new Set(faults.map(({ id }) => id)).size, faults.length);
  for (const fault of faults) {
    assert.match(
      fault.id,
      /^[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*$/,
      'a number at the end would be read as a value',
    );
    for (const text of [fault.title, fault.bites, fault.does, fault.source]) assert.ok(text.length > 3, fault.id);
    assert.doesNotMatch(fault.title, /[.]$/, fault.id);
  }
});

test('a fault bites where it was set, as often as it was set', () => {
  const board = new FaultBoard();
  board.set('imap-throttled', { times: 2, mailbox: 'Alice@contoso.test', value: 7 });
  assert.equal(board.bite('imap-throttled', { place: 'imap', addresses: ['bob@contoso.test'] }), undefined);
  assert.equal(board.bite('imap-disabled', imap), undefined);
  assert.equal(board.bite('imap-throttled', imap)?.value, 7);
  assert.equal(board.active[0]?.hits, 1);
  assert.equal(board.has('imap-throttled', imap), true);
  assert.ok(board.bite('imap-throttled', imap));
  assert.equal(board.bite('imap-throttled', imap), undefined);
  assert.deepEqual(board.active, []);
});

test('protocol, probability and clearing', () => {
  let chance = 0.4;
  const board = new FaultBoard(() => chance);
  let changes = 0;
  const stop = board.observe(() => (changes += 1));
  board.set('connection-reset', { protocol: 'pop3', probability: 0.5 });
  assert.equal(board.bite('connection-reset', imap), undefined);
  assert.ok(board.bite('connection-reset', { place: 'pop3' }));
  chance = 0.6;
  assert.equal(board.bite('connection-reset', { place: 'pop3' }), undefined);
  const { key } = board.set('connection-reset');
  assert.equal(board.clear(key), 1);
  assert.equal(board.clear('connection-reset'), 1);
  assert.equal(board.clear(), 0);
  assert.equal(changes, 4);
  stop();
});

test('an order that makes no sense is refused', () => {
  const board = new FaultBoard();
  const code = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      if (isError(error)) return error.code;
      throw error;
    }
    return 'none';
  };
  assert.equal(
    code(() => board.set('no-such')),
    'sandbox.no-such-fault',
  );
  assert.equal(
    code(() => board.set('imap-disabled', { value: 3 })),
    'sandbox.fault-limits',
  );
  assert.equal(
    code(() => board.set('imap-disabled', { times: 0 })),
    'sandbox.fault-limits',
  );
  assert.equal(
    code(() => board.set('imap-disabled', { probability: 2 })),
    'sandbox.fault-limits',
  );
  assert.equal(
    code(() => board.set('imap-disabled', { mailbox: 'alice' })),
    'sandbox.fault-limits',
  );
  const unfit = [
    ['imap-disabled', 'smtp'],
    ['connection-reset', 'authority'],
  ] as const;
  for (const [fault, protocol] of unfit)
    assert.equal(
      code(() => board.set(fault, { protocol })),
      'sandbox.fault-limits',
    );
  assert.equal(
    code(() => board.set('tls-failure', { protocol: 'authority' })),
    'none',
  );
  assert.equal(
    code(() => board.set('tls-failure', { mailbox: 'alice@contoso.test' })),
    'sandbox.fault-limits',
  );
});

test('an address names a fault, alone or after a plus, with a value or without', () => {
  const board = new FaultBoard();
  assert.deepEqual(faultOfAddress('IMAP-throttled@contoso.test'), { fault: 'imap-throttled', value: undefined });
  assert.deepEqual(faultOfAddress('alice+imap-throttled-500@contoso.test'), { fault: 'imap-throttled', value: 500 });
  for (const ordinary of ['alice@contoso.test', 'a@b', '@', 'tls-failure@contoso.test', 'imap-throttled'])
    assert.equal(faultOfAddress(ordinary), undefined);
  const spot = { place: 'imap', addresses: ['imap-throttled-500@contoso.test'] } as const;
  assert.equal(board.bite('imap-throttled', spot)?.value, 500);
  assert.equal(board.bite('imap-throttled', spot)?.value, 500);
});
