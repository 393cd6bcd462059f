/** What a client knows of its mailbox, and how it gets to what another session shows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference, MessageView } from './view.ts';

function viewOf(uids: readonly number[], count = uids.length): MessageView {
  const view = new MessageView(count);
  for (const [at, uid] of uids.entries()) if (uid !== 0) view.learn(at + 1, uid);
  return view;
}

test('numbers that cannot be break a view for good; those at its ends do not', () => {
  for (const number of [0, 4, -1]) {
    const expunged = viewOf([1, 2, 3]);
    expunged.expunge(number);
    assert.deepEqual([expunged.broken, expunged.count], [true, 3], `expunge ${number}`);
    const learnt = viewOf([1, 2, 3]);
    learnt.learn(number, 9);
    assert.equal(learnt.broken, true, `learn ${number}`);
  }
  const view = viewOf([1, 2, 3]);
  view.expunge(3);
  view.expunge(1);
  assert.deepEqual([view.broken, [...view.uids()], view.complete], [false, [2], true]);
  view.exists(2);
  assert.deepEqual([view.broken, view.complete, view.firstUnknown, [...view.uids()]], [false, false, 2, [2, 0]]);
  view.exists(1);
  assert.equal(view.broken, true, 'fewer without EXPUNGE');
});

test('VANISHED takes the messages it names; where their numbers are not known only how many are left', () => {
  const known = viewOf([2, 4, 6, 8]);
  known.vanished('4:6,99');
  assert.deepEqual([[...known.uids()], known.broken], [[2, 8], false]);
  const unknown = viewOf([2, 0, 0, 8]);
  unknown.vanished('6,3:4');
  assert.deepEqual([unknown.count, unknown.broken, unknown.firstUnknown], [1, false, 1]);
  unknown.vanished('1:9');
  assert.deepEqual([unknown.count, unknown.broken], [0, true]);
});

test('what is gone is told from the end, what is new is counted', () => {
  assert.deepEqual(difference(viewOf([1, 2, 3, 4]), viewOf([1, 3, 5, 6]), false), {
    type: 'known',
    expunged: [4, 2],
    vanished: [4, 2],
    count: 4,
    added: 2,
    unsure: false,
  });
  const gone = difference(viewOf([1, 2, 9]), viewOf([1]), false);
  assert.ok(gone.type === 'known' && gone.unsure, 'the other session may not have seen it yet');
  assert.equal(difference(viewOf([2, 3]), viewOf([1, 2, 3]), false).type, 'behind');
  assert.equal(difference(viewOf([2, 3]), viewOf([2, 0]), false).type, 'unknown');
  assert.equal(difference(viewOf([2, 0]), viewOf([2, 3]), false).type, 'unknown');
  assert.equal(difference(viewOf([2, 0, 4]), viewOf([2, 3, 4]), true).type, 'unknown');
  assert.equal(difference(viewOf([3, 2]), viewOf([2, 3]), false).type, 'unknown', 'UIDs ascend');
  const free = difference(viewOf([2, 0, 0]), viewOf([2, 7]), true);
  assert.deepEqual(free.type === 'known' && [free.expunged, free.vanished, free.added], [[3], [], 0]);
});
