/** Our IMAP client and the tenant's server test each other: what is stored by one verb is what another gives back, however it is cut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openImapPair } from '../../../test/bed/imap-pair.ts';
import { decodeMailboxName, encodeMailboxName } from '../../protocol/imap/mailbox-name.ts';
import { CommandReader } from '../../protocol/imap/token.ts';
import { append } from '../../protocol/imap/verb/append.ts';
import { enable } from '../../protocol/imap/verb/enable.ts';
import {
  fetch,
  type FetchItem,
  formatFetchItems,
  headerFields,
  parseFetchItems,
  wholeMessage,
} from '../../protocol/imap/verb/fetch.ts';
import { list, sentMailbox } from '../../protocol/imap/verb/list.ts';
import { formatSearch, parseSearch, type SearchKey, uidSearch } from '../../protocol/imap/verb/search.ts';
import { select } from '../../protocol/imap/verb/select.ts';
import { status } from '../../protocol/imap/verb/status.ts';

const DAY = 86_400_000;
const NOVEMBER = Date.UTC(2026, 10, 1);

const message = fc.record({
  subject: fc.stringMatching(/^[ -~]{1,30}$/),
  body: fc.string({ unit: fc.constantFrom('a', ' ', '\r\n', '{3}', ')', '"', '\xe4', '.'), maxLength: 60 }),
  flags: fc.subarray(['\\Seen', '\\Answered', '\\Flagged', '\\Draft']),
  day: fc.nat(29),
});
type Stored = typeof message extends fc.Arbitrary<infer T> ? T : never;

const octetsOf = ({ subject, body }: Stored, at: number): Buffer =>
  Buffer.from(`Subject: ${subject}\r\nMessage-ID: <${at}@x.test>\r\n\r\n${body}\r\n`, 'latin1');

/** A folder of one level, with what has to be quoted, sent as a literal or encoded in names. */
const folder = fc.string({ unit: fc.constantFrom(...'ab &"\\(]*%ä漢'.split('')), minLength: 1, maxLength: 8 });

// RFC 9051 §6.3.3, §6.3.11, §6.3.12, §6.4.4, §6.4.5, §7.3.3
test('property: messages stored by APPEND are what STATUS counts, SELECT shows, SEARCH finds and FETCH gives', async () => {
  await fc.assert(
    fc.asyncProperty(
      folder,
      fc.array(message, { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 }),
      async (name, messages, cuts) => {
        using pair = await openImapPair(() => cuts);
        const { mailbox, session } = pair;
        mailbox.create(name);
        const wire = encodeMailboxName(name);
        for (const [at, one] of messages.entries()) {
          const data = octetsOf(one, at);
          const date = NOVEMBER + one.day * DAY + 3_600_000;
          const literal = { octets: data.length, data: [data.subarray(0, 5), data.subarray(5)] };
          const stored = await append(session, { mailbox: wire, flags: one.flags, date }, literal);
          assert.match(stored.text, new RegExp(`^\\[APPENDUID \\d+ ${at + 1}\\]`));
        }
        const { values } = await status(session, wire, ['MESSAGES', 'UNSEEN', 'UIDNEXT']);
        const unseen = messages.filter(({ flags }) => !flags.includes('\\Seen')).length;
        assert.deepEqual(Object.fromEntries(values), {
          MESSAGES: messages.length,
          UNSEEN: unseen,
          UIDNEXT: messages.length + 1,
        });
        const opened = await select(session, { verb: 'EXAMINE', mailbox: wire });
        assert.equal(opened.readOnly, true);
        assert.equal(opened.mailbox.exists, messages.length);
        assert.equal(opened.mailbox.uidNext, messages.length + 1);
        assert.equal(opened.mailbox.uidValidity, mailbox.find(name)!.uidValidity);
        const late: SearchKey = { type: 'internal', relation: 'since', day: NOVEMBER + 15 * DAY };
        const key: SearchKey = { type: 'and', keys: [late, { type: 'flag', flag: '\\Seen', present: false }] };
        const wanted = messages.flatMap(({ day, flags }, at) =>
          day >= 15 && !flags.includes('\\Seen') ? [at + 1] : [],
        );
        assert.deepEqual(await uidSearch(session, key), wanted);
        if (messages.length === 0) return;
        const [subject, whole] = [headerFields('Subject'), wholeMessage()];
        const items: FetchItem[] = [{ type: 'UID' }, { type: 'RFC822.SIZE' }, { type: 'INTERNALDATE' }, subject, whole];
        const fetched = await fetch(session, '1:*', items, { uid: true });
        for (const [at, one] of messages.entries()) {
          const got = fetched.messages[at]!;
          const octets = octetsOf(one, at);
          assert.deepEqual([got.number, got.uid, got.size], [at + 1, at + 1, octets.length]);
          assert.equal(got.internalDate, NOVEMBER + one.day * DAY + 3_600_000);
          assert.equal(got.section(whole)?.toString('latin1'), octets.toString('latin1'));
          assert.equal(got.section(subject)?.toString('latin1'), `Subject: ${one.subject}\r\n\r\n`);
        }
        const beginning = wholeMessage(7);
        const [first] = (await fetch(session, '1', [beginning])).messages;
        assert.equal(first!.section(beginning)?.toString('latin1'), 'Subject');
      },
    ),
    { numRuns: 40 },
  );
});

// RFC 9051 §6.3.9, §7.3.1
test('property: folders are listed under the names they were made with', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(folder, { maxLength: 4 }), async (names) => {
      using pair = await openImapPair((octets) => [1, octets >> 1]);
      for (const name of names) pair.mailbox.create(name);
      const listed = await list(pair.session, '', '*');
      const found = listed.map(({ name }) => decodeMailboxName(name));
      for (const name of names) assert.ok(found.includes(name), `${name} among ${found.join('|')}`);
      assert.ok(listed.every(({ delimiter }) => delimiter === '/'));
      assert.equal(sentMailbox(listed), 'Sent Items');
    }),
    { numRuns: 40 },
  );
});

test('literals are taken as they come, or not to their end, and the session goes on', async () => {
  using pair = await openImapPair(() => [100, 1000]);
  const data = Buffer.alloc(200_000, 'x');
  pair.mailbox.inbox.add(data, 0);
  await select(pair.session, { verb: 'SELECT', mailbox: 'INBOX' });
  for (const most of [Number.POSITIVE_INFINITY, 1]) {
    let octets = 0;
    const { messages, status: ended } = await fetch(pair.session, '1', [{ type: 'UID' }, wholeMessage()], {
      literal: (announced) => async (stream) => {
        assert.equal(announced.octets, data.length);
        assert.deepEqual(announced.head, ['* 1 FETCH (UID 1 BODY[] ']);
        for await (const piece of stream) {
          octets += piece.length;
          if (octets >= most) break;
        }
      },
    });
    assert.deepEqual([ended, messages[0]?.uid, messages[0]?.section(wholeMessage())], ['OK', 1, undefined]);
    assert.ok(most === 1 ? octets < data.length : octets === data.length);
  }
});

test('a literal that is larger than what is kept ends the command, not the process', async () => {
  using pair = await openImapPair();
  pair.mailbox.inbox.add(Buffer.alloc(5 * 1024 * 1024, 'x'), 0);
  await select(pair.session, { verb: 'SELECT', mailbox: 'INBOX' });
  await assert.rejects(fetch(pair.session, '1', [wholeMessage()]), { code: 'wire.syntax' });
});

// RFC 9051 §6.3.1
test('what is refused is said: no such folder, no literal asked for, nothing enabled', async () => {
  using pair = await openImapPair();
  const { session } = pair;
  assert.equal((await select(session, { verb: 'SELECT', mailbox: 'none' })).status, 'NO');
  assert.equal((await status(session, 'none', ['MESSAGES'])).values.size, 0);
  const huge = { octets: 1e9, data: [Buffer.from('never sent')] };
  assert.equal((await append(session, { mailbox: 'INBOX' }, huge)).status, 'NO');
  assert.deepEqual((await enable(session, ['IMAP4rev2'])).enabled, [], 'Exchange knows no ENABLE');
  assert.deepEqual(await uidSearch(session, { type: 'all' }), undefined, 'nothing is selected');
  assert.equal((await session.run('NOOP')).status, 'OK');
});

const key = fc.letrec<{ key: SearchKey }>((tie) => ({
  key: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<SearchKey>({ type: 'all' }, { type: 'new' }, { type: 'old' }, { type: 'recent' }),
    fc.record({ type: fc.constant('set' as const), uid: fc.boolean(), set: fc.constant([[1, '*']] as const) }),
    fc.record({
      type: fc.constant('flag' as const),
      flag: fc.constantFrom('\\Seen', '\\Deleted', '$Junk'),
      present: fc.boolean(),
    }),
    fc.record({
      type: fc.constant('header' as const),
      field: fc.constantFrom('subject', 'x-a'),
      text: fc.stringMatching(/^[ -@[-~]{0,12}$/),
    }),
    fc.record({ type: fc.constantFrom('body' as const, 'text' as const), text: fc.stringMatching(/^[ -@[-~]{0,12}$/) }),
    fc.record({
      type: fc.constantFrom('internal' as const, 'sent' as const),
      relation: fc.constantFrom('before' as const, 'on' as const, 'since' as const),
      day: fc.nat(20_000).map((days) => days * DAY),
    }),
    fc.record({ type: fc.constantFrom('larger' as const, 'smaller' as const), octets: fc.nat() }),
    fc.record({ type: fc.constant('not' as const), key: tie('key') }),
    fc.record({ type: fc.constant('or' as const), keys: fc.array(tie('key'), { minLength: 2, maxLength: 2 }) }),
    fc.record({ type: fc.constant('and' as const), keys: fc.array(tie('key'), { minLength: 1, maxLength: 3 }) }),
  ),
})).key;

test('property: a search key that is written is read as the same', () => {
  fc.assert(
    fc.property(key, (one) =>
      assert.deepEqual(
        parseSearch(new CommandReader([formatSearch(one)])),
        structuredClone({ type: 'and', keys: [one] }),
      ),
    ),
  );
});

test('FETCH items that are written are read as the same', () => {
  for (const text of [
    '(FLAGS UID ENVELOPE BODYSTRUCTURE)',
    '(BODY.PEEK[1.2.HEADER.FIELDS (From To)]<5.10> BODY[TEXT] BODY[2.MIME] BODY[])',
    '(BODY RFC822.SIZE INTERNALDATE RFC822 RFC822.HEADER RFC822.TEXT)',
  ])
    assert.equal(formatFetchItems(parseFetchItems(new CommandReader([text]))), text);
});
