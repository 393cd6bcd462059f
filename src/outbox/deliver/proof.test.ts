/** What counts as "the provider took this attempt". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeliveryMarks, type Expected, judgeCopies, MARK_FIELD, MARK_OCTETS, type SentCopy } from './proof.ts';

const marks = new DeliveryMarks(Buffer.alloc(32, 1));
const message = { id: 'msg_1', bodyId: 'bod_1', messageId: '<xyz@p.test>', size: 1000 };
const bob = [{ address: 'bob@p.test' }];
const header = Buffer.from('From: a@p.test\r\nTo: Bob <bob@p.test>\r\nMessage-ID: <xyz@p.test>\r\n\r\n');
const NOW = Date.UTC(2026, 10, 30, 12);
const expected: Expected = { message, recipients: bob, header, since: NOW - 60_000, now: NOW, alone: true };

const copy = (fields: string, more: Partial<SentCopy> = {}): SentCopy => ({
  size: 1100,
  savedAt: NOW - 1000,
  header: Buffer.from(`${fields.replaceAll('\n', '\r\n')}\r\n\r\n`),
  ...more,
});
const judge = (copies: readonly SentCopy[], change: Partial<Expected> = {}, marked = true) =>
  judgeCopies(marks, { ...expected, ...change }, copies, marked);

test('a mark is one of message, octets and recipients, in any order and case, and of this installation', () => {
  const one = marks.of(message, [{ address: 'a@p.test' }, { address: 'B@p.test' }]);
  assert.equal(marks.of(message, [{ address: 'b@p.test' }, { address: 'a@p.test' }, { address: 'a@p.test' }]), one);
  const others = [
    marks.of({ ...message, id: 'msg_2' }, bob),
    marks.of({ ...message, bodyId: 'bod_2' }, bob),
    marks.of(message, [{ address: 'b' }, { address: 'ob@p.test' }]),
    new DeliveryMarks(Buffer.alloc(32, 2)).of(message, bob),
    marks.of(message, bob),
    one,
  ];
  assert.equal(new Set(others).size, others.length);
  assert.equal(marks.field(message, bob).length, MARK_OCTETS);
  assert.deepEqual(
    others.map((mark) => marks.isOurs(mark)),
    [true, true, true, false, true, true],
  );
  for (const foreign of ['', '.', 'x', 'x.', `${one}x`, one.slice(1)])
    assert.equal(marks.isOurs(foreign), false, foreign);
});

test('an envelope id is known as ours, and nothing else is', () => {
  const id = marks.envelopeId({ id: 'msg_1', dsn: {} });
  assert.equal(marks.messageOfEnvelope(id), 'msg_1');
  assert.equal(marks.envelopeId({ id: 'msg_1', dsn: { envid: 'theirs' } }), 'theirs');
  // RFC 3461 §4.4: at most 100 characters, printable.
  assert.match(id, /^[!-~]{1,100}$/);
  for (const other of ['msg_1', 'theirs', id.replace('msg_1', 'msg_2'), `${id}A`, id.slice(0, -1), '.', ''])
    assert.equal(marks.messageOfEnvelope(other), undefined, other);
});

test('our mark in the copy is proof, whatever else it says', () => {
  const mark = `${MARK_FIELD}: ${marks.of(message, bob)}`;
  assert.equal(judge([copy(`${mark}\nMessage-ID: <changed@provider.test>`)]), 'found');
  // A message that was sent before, bounced by its reader: our field is there twice.
  const old = `${MARK_FIELD}: ${marks.of({ id: 'msg_0', bodyId: 'bod_0' }, bob)}`;
  assert.equal(judge([copy(`${mark}\n${old}\nMessage-ID: <xyz@p.test>`)]), 'found');
  assert.equal(judge([copy(`${mark.toLowerCase()}\nMessage-ID: <xyz@p.test>`)]), 'uncertain', 'not in another case');
});

test('L1 L3 L5: the mark of another message or part is no proof and no doubt', () => {
  for (const other of [
    marks.of({ id: 'msg_0', bodyId: 'bod_0' }, bob),
    marks.of(message, [{ address: 'carol@p.test' }]),
    marks.of(message, [...bob, { address: 'carol@p.test' }]),
  ])
    assert.equal(judge([copy(`${MARK_FIELD}: ${other}\nMessage-ID: <xyz@p.test>`)]), 'absent');
});

test('L2: the copy of a program is a doubt, not a proof, marks kept or not', () => {
  const own = copy('To: bob@p.test\nMessage-ID: <xyz@p.test>', { size: 1000 });
  assert.deepEqual([judge([own]), judge([own], {}, false)], ['uncertain', 'uncertain']);
});

test('L4: an id that contains ours is another id', () => {
  assert.equal(judge([copy('To: bob@p.test\nReceived: x\nMessage-ID: <1xyz@p.test>')], {}, false), 'absent');
});

test('without marks: Message-ID, size, date, addressees and the trace of a server, and then only probably', () => {
  const fits = 'Received: from us by them; now\nTo: bob@p.test\nMessage-ID: <xyz@p.test>';
  assert.equal(judge([copy(fits)], {}, false), 'probably');
  const doubtful: readonly [string, SentCopy, Partial<Expected>, boolean][] = [
    ['a provider that keeps marks', copy(fits), {}, true],
    ['another message has the same id', copy(fits), { alone: false }, false],
    ['much larger', copy(fits, { size: 100_000 }), {}, false],
    ['much smaller', copy(fits, { size: 10 }), { message: { ...message, size: 50_000 } }, false],
    ['other addressees', copy(fits.replace('bob@', 'carol@')), {}, false],
    ['no trace', copy(fits.replace('Received', 'Receive')), {}, false],
  ];
  for (const [why, one, change, marked] of doubtful) assert.equal(judge([one], change, marked), 'uncertain', why);
  assert.equal(judge([copy(fits, { savedAt: NOW - 86_400_000 })], {}, false), 'absent', 'from yesterday');
  assert.equal(judge([], {}, false), 'absent');
});
