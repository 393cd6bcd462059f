/** What passes is the same however it is cut, what matters is seen whole, and the view of a mailbox is kept in numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CommandFilter } from './commands.ts';
import { ResponseFilter } from './responses.ts';
import { difference, MessageView } from './view.ts';

/** Cuts into pieces of these sizes, again and again. */
function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
const octets = fc.string({ unit: fc.constantFrom('x', '\r', '\n', '*', ' ', '}', '{', '1', 'a1 OK'), maxLength: 30 });
const literal = octets.map((text) => `{${text.length}}\r\n${text}`);

const response = fc.oneof(
  literal.map((text) => `* 12 FETCH (UID 3 BODY[] ${text} FLAGS ())\r\n`),
  fc.tuple(literal, literal).map(([a, b]) => `* LIST () "/" ${a}\r\n* 1 FETCH (BODY[1] ${b} BODY[2] ${a})\r\n`),
  fc.constantFrom(
    '* 3 EXISTS\r\n',
    '* 10000 FETCH (FLAGS (\\Seen))\r\n',
    '* OK [UIDVALIDITY 3] {5}\r\n',
    '+ go on\r\n',
    'a1 OK done {12}\r\n',
    '* STATUS x (MESSAGES 1)\r\n',
    'Server Unavailable. 15\r\n',
    '\r\n',
    '* 1 EXPUNGE\r\n',
  ),
);

// RFC 9051 §2.2, §4.3
test('responses pass unchanged, and the lines that matter are the same, however they are cut', () => {
  fc.assert(
    fc.property(fc.array(response, { maxLength: 12 }), sizes, fc.boolean(), (responses, pieces, fetches) => {
      const stream = Buffer.from(responses.join(''), 'latin1');
      const seen = (parts: Iterable<Buffer>): [string, readonly string[]] => {
        const lines: string[] = [];
        const filter = new ResponseFilter({
          fetches,
          lists: false,
          answers: () => true,
          line(text) {
            lines.push(text);
            return text;
          },
          lost: () => assert.fail('lost'),
        });
        let out = '';
        for (const part of parts) {
          out += filter.push(part).toString('latin1');
          filter.passed();
        }
        assert.ok(filter.between);
        return [out, lines];
      };
      const [whole, lines] = seen([stream]);
      assert.equal(whole, stream.toString('latin1'));
      assert.deepEqual(seen(cut(stream, pieces)), [whole, lines]);
    }),
  );
});

test('a chunk of message data is passed on as the very same buffer', () => {
  const filter = new ResponseFilter({
    fetches: false,
    lists: false,
    answers: () => true,
    line: (text) => text,
    lost: () => assert.fail('lost'),
  });
  filter.push(Buffer.from('* 1 FETCH (BODY[] {100000}\r\n'));
  const chunk = Buffer.alloc(16_384, '\n');
  assert.equal(filter.push(chunk), chunk);
  assert.equal(filter.between, false);
});

test('lines are left out, replaced and put in between responses only', () => {
  const filter = new ResponseFilter({
    fetches: false,
    lists: false,
    answers: () => true,
    line: (text) => (text.startsWith('p') ? undefined : text.replace('COMPRESS ', '')),
    lost: () => assert.fail('lost'),
  });
  let out = filter.push(Buffer.from('* 1 FETCH (BODY[] {4}\r\nab')).toString();
  assert.equal(filter.insert('* 5 EXISTS\r\n'), '');
  out += filter.push(Buffer.from('cd)\r\np1 OK\r\n* CAPABILITY COMPRESS IDLE\r\n')).toString();
  assert.equal(out, '* 1 FETCH (BODY[] {4}\r\nabcd)\r\n* 5 EXISTS\r\n* CAPABILITY IDLE\r\n');
});

test('a line that matters and does not end is given up, not kept for ever', () => {
  let lost = false;
  const filter = new ResponseFilter({
    fetches: false,
    lists: false,
    answers: () => true,
    line: (text) => text,
    lost: () => void (lost = true),
  });
  const endless = Buffer.from(`* OK ${'x'.repeat(300_000)}`);
  let out = 0;
  for (const part of cut(endless, [16_384])) out += filter.push(part).length;
  assert.ok(lost);
  assert.equal(out, endless.length);
});

const clientCommand = fc.oneof(
  fc.constantFrom('NOOP', 'UID FETCH 1:* (FLAGS)', 'SELECT "a b"', 'SEARCH SUBJECT "{5}"').map((text) => `${text}\r\n`),
  octets.map((text) => `APPEND x () {${text.length}+}\r\n${text}\r\n`),
  fc.tuple(octets, octets).map(([a, b]) => `SEARCH TEXT {${a.length}+}\r\n${a} TEXT {${b.length}+}\r\n${b}\r\n`),
);

// RFC 9051 §2.2.1, §4.3
test('commands are the same however they are cut, and holding loses nothing', () => {
  fc.assert(
    fc.property(fc.array(clientCommand, { maxLength: 10 }), sizes, fc.nat(20), (commands, pieces, stopAt) => {
      const stream = Buffer.from(commands.map((text, index) => `t${index} ${text}`).join(''), 'latin1');
      const seen = (parts: Iterable<Buffer>, stops: boolean): [string, readonly string[]] => {
        const verbs: string[] = [];
        const filter = new CommandFilter({
          passes: (verb) => verb === 'NOOP' || verb === 'UID' || verb === 'SEARCH',
          begin: () => 'forward',
          begun: ({ tag, verb, line }) => void verbs.push(`${tag} ${verb}: ${line}`),
          complete: (command) => void verbs.push(`end of ${command.tag}`),
          done: () => assert.fail('no IDLE here'),
          doubtful: () => assert.fail('doubtful'),
          judge: () => assert.fail('set apart'),
          swallowed: () => assert.fail('set apart'),
          tooLong: () => assert.fail('too long'),
        });
        let out = '';
        let count = 0;
        for (const part of parts) {
          if (stops && count++ === stopAt) filter.stop();
          out += filter.push(part).toString('latin1');
          filter.passed();
        }
        if (stops) out += filter.resume().toString('latin1');
        filter.passed();
        return [out, verbs];
      };
      const [whole, verbs] = seen([stream], false);
      assert.equal(whole, stream.toString('latin1'));
      assert.deepEqual(seen(cut(stream, pieces), false), [whole, verbs]);
      assert.deepEqual(seen(cut(stream, pieces), true), [whole, verbs]);
      assert.equal(verbs.length, commands.length * 2);
    }),
  );
});

test('only a whole command alone that needs no decision passes unasked', () => {
  const asked: string[] = [];
  const heard: string[] = [];
  const filter = new CommandFilter({
    passes: (verb) => verb === 'NOOP' || verb === 'UID' || verb === 'SEARCH',
    begin(command) {
      asked.push(command.tag);
      return 'forward';
    },
    begun: ({ tag, verb, line }) => void heard.push(`${tag} ${verb} ${line}`),
    complete: ({ tag, segments }) => void heard.push(`${tag} ${segments.length}`),
    done: () => undefined,
    judge: () => assert.fail('set apart'),
    swallowed: () => assert.fail('set apart'),
    tooLong: () => assert.fail('too long'),
    doubtful: () => void heard.push('doubtful'),
  });
  const say = (text: string): void => {
    const bytes = Buffer.from(text, 'latin1');
    assert.equal(filter.push(bytes), bytes);
    filter.passed();
  };
  say('a noop\r\n');
  say('b NOOP\r\n');
  say('c uid  fetch 1 (UID)\r\n');
  say('d XNOOP\r\n');
  say('e SEARCH TEXT {2+}\r\nxy\r\n');
  say('f NOOP\r\ng NOOP\r\n');
  say(' NOOP\r\n');
  say('NOOP\r\n');
  say(`h SEARCH TEXT ${'x'.repeat(600)}\r\n`);
  assert.deepEqual(asked, ['d', 'e', 'f', 'g', 'h']);
  assert.deepEqual(heard.slice(0, 6), [
    'a NOOP noop',
    'a 1',
    'b NOOP NOOP',
    'b 1',
    'c UID FETCH uid  fetch 1 (UID)',
    'c 1',
  ]);
  assert.deepEqual(heard.slice(14, 16), ['doubtful', 'doubtful']);
  assert.equal(heard.length, 18);
});

test('a literal that the server refuses leaves the client between commands', () => {
  const begun: string[] = [];
  const filter = new CommandFilter({
    passes: () => false,
    begin(command) {
      begun.push(command.tag);
      return 'forward';
    },
    begun: () => undefined,
    complete: () => undefined,
    done: () => undefined,
    doubtful: () => assert.fail('doubtful'),
    judge: () => assert.fail('set apart'),
    swallowed: () => assert.fail('set apart'),
    tooLong: () => assert.fail('too long'),
  });
  filter.push(Buffer.from('a APPEND x {3}\r\n'));
  assert.equal(filter.between, false);
  filter.answered('a');
  assert.equal(filter.between, true);
  filter.push(Buffer.from('b APPEND x {3}\r\n'));
  filter.continued();
  filter.push(Buffer.from('abc\r\nc NOOP\r\n'));
  assert.deepEqual(begun, ['a', 'b', 'c']);
});

test('S2: a literal that ends in CR does not make the LF behind it a line end, and a refused one with octets behind it is early', () => {
  const heard: string[] = [];
  const filter = new CommandFilter({
    passes: () => false,
    begin: () => 'forward',
    begun: () => undefined,
    complete: ({ tag }) => void heard.push(`complete ${tag}`),
    done: () => undefined,
    doubtful: () => void heard.push('doubtful'),
    judge: () => assert.fail('set apart'),
    swallowed: () => assert.fail('set apart'),
    tooLong: () => assert.fail('too long'),
  });
  filter.push(Buffer.from('a XFOO {6}\r\n'));
  assert.equal(filter.answered('a'), 'refused');
  filter.push(Buffer.from('b XFOO {6}\r\nc NOOP'));
  assert.equal(filter.answered('b'), 'early');
  filter.more();
  filter.push(Buffer.from('\r\nd APPEND x {4+}\r\nabc\r\n'));
  assert.deepEqual(heard, ['complete c', 'doubtful']);
});

/** A mailbox as a list of UIDs, and what was known of it, against plain arrays. */
// RFC 9051 §2.3.1, §7.4.1, §7.5.1
test('the view follows EXISTS and EXPUNGE, and the difference leads from one view to the other', () => {
  const change = fc.oneof(
    fc.record({ type: fc.constant('exists' as const), more: fc.integer({ min: 0, max: 100 }) }),
    fc.record({ type: fc.constant('expunge' as const), at: fc.nat(200) }),
    fc.record({ type: fc.constant('learn' as const), at: fc.nat(200) }),
  );
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 60 }),
      fc.array(fc.boolean(), { maxLength: 300 }),
      fc.nat(5),
      (changes, kept, arrived) => {
        const view = new MessageView();
        let uids: { uid: number; known: boolean }[] = [];
        let next = 1;
        for (const each of changes) {
          if (each.type === 'exists') {
            for (let n = 0; n < each.more; n++) uids.push({ uid: (next += 2), known: false });
            view.exists(uids.length);
          } else if (uids.length > 0) {
            const index = each.at % uids.length;
            if (each.type === 'expunge') {
              uids.splice(index, 1);
              view.expunge(index + 1);
            } else {
              uids[index]!.known = true;
              view.learn(index + 1, uids[index]!.uid);
            }
          }
        }
        assert.deepEqual(
          [...view.uids()],
          uids.map(({ uid, known }) => (known ? uid : 0)),
        );
        assert.equal(
          view.complete,
          uids.every(({ known }) => known),
        );
        const unknown = uids.findIndex(({ known }) => !known);
        assert.equal(view.firstUnknown, unknown === -1 ? uids.length + 1 : unknown + 1);
        uids.forEach(({ uid }, index) => view.learn(index + 1, uid));
        const after = uids.filter((_, index) => kept[index] !== false).map(({ uid }) => uid);
        for (let n = 0; n < arrived; n++) after.push((next += 1));
        const now = new MessageView(after.length);
        after.forEach((uid, index) => now.learn(index + 1, uid));
        const found = difference(view, now, false);
        assert.equal(found.type, 'known');
        if (found.type !== 'known') return;
        const told = uids.map(({ uid }) => uid);
        for (const number of found.expunged) told.splice(number - 1, 1);
        assert.deepEqual(told, after.slice(0, told.length));
        assert.equal(told.length + found.added, found.count);
        assert.equal(found.added, arrived);
      },
    ),
  );
});

test('what cannot be known is not guessed', () => {
  const told = new MessageView(3);
  told.learn(1, 10);
  const now = new MessageView(2);
  now.learn(1, 10);
  assert.deepEqual(difference(told, now, true), { type: 'unknown' });
  now.learn(2, 14);
  assert.deepEqual(difference(told, now, false), { type: 'unknown' });
  const free = difference(told, now, true);
  assert.deepEqual(free.type === 'known' && { expunged: free.expunged, added: free.added }, {
    expunged: [3],
    added: 0,
  });
  const behind = new MessageView(2);
  behind.learn(1, 9);
  behind.learn(2, 10);
  told.learn(2, 12);
  told.learn(3, 13);
  assert.deepEqual(difference(told, behind, true), { type: 'behind' });
  told.exists(2);
  assert.ok(told.broken);
  assert.deepEqual(difference(told, now, true), { type: 'unknown' });
});
