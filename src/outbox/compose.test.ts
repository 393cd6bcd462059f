/** What is composed here is read back by a parser that is not ours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import PostalMime from 'postal-mime';
import { isError } from '../base/error.ts';
import { compose, type Composition } from './compose.ts';
import { headerAddresses, readAddresses } from './header-addresses.ts';

const plain: Composition = {
  from: { name: 'Zoë', address: 'zoe@x.test' },
  to: [{ name: '', address: 'bob@x.test' }],
  cc: [],
  replyTo: [],
  subject: 'Grüße',
  text: 'Hello\nWörld',
  attachments: [],
  headers: [],
};
async function octetsOf(message: Partial<Composition>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of compose({ ...plain, ...message })) pieces.push(piece);
  return Buffer.concat(pieces);
}
const parse = async (message: Partial<Composition>) => PostalMime.parse(await octetsOf(message));
async function* inPieces(octets: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < octets.length; at += size) yield octets.subarray(at, at + size);
}

// RFC 5322 §2.2.3, §3.6.4, §3.6.5, RFC 2047, RFC 2183, RFC 2387
test('every part comes back as it went in', async () => {
  const big = Buffer.from(Array.from({ length: 10_000 }, (_, n) => n % 256));
  const mail = await parse({
    cc: [{ name: 'Müller, "M"', address: 'm@x.test' }],
    replyTo: [{ name: '', address: 'r@x.test' }],
    html: '<p>Hello <img src="cid:logo"> Wörld</p>',
    inReplyTo: '<1@x.test>',
    references: ['<0@x.test>', '<1@x.test>'],
    headers: [{ name: 'X-Order', value: 'Nummer 7 – schön' }],
    attachments: [
      { filename: 'ü.bin', contentType: 'application/octet-stream', content: inPieces(big, 1000) },
      { filename: 'logo.png', contentType: 'image/png', content: Buffer.from('png'), cid: 'logo' },
      { filename: 'old.eml', contentType: 'message/rfc822', content: Buffer.from('From: a\n\nb') },
    ],
  });
  assert.deepEqual([mail.from, mail.subject], [{ name: 'Zoë', address: 'zoe@x.test' }, 'Grüße']);
  assert.deepEqual(mail.cc, [{ name: 'Müller, "M"', address: 'm@x.test' }]);
  assert.equal(mail.text?.trimEnd(), 'Hello\nWörld');
  assert.match(mail.html ?? '', /Hello <img src="cid:logo"> Wörld/);
  assert.deepEqual([mail.inReplyTo, mail.references], ['<1@x.test>', '<0@x.test> <1@x.test>']);
  assert.equal(mail.headers.find(({ key }) => key === 'x-order')?.value, '=?UTF-8?Q?Nummer_7_=E2=80=93_sch=C3=B6n?=');
  const found = Object.fromEntries(
    mail.attachments.map(({ filename, content }) => [filename, Buffer.from(content as ArrayBuffer)]),
  );
  assert.ok(found['ü.bin']?.equals(big));
  assert.equal(found['logo.png']?.toString(), 'png');
  assert.equal(found['old.eml']?.toString(), 'From: a\n\nb');
});

// RFC 5322 §2.1, §2.1.1
test('any text and any octets survive, with CRLF and lines of a bounded length', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 1, max: 100 }),
      async (text, octets, size) => {
        const content = inPieces(Buffer.from(octets), size);
        const attachments = [{ filename: 'a', contentType: 'application/x-a', content }];
        const raw = await octetsOf({ text, attachments });
        assert.doesNotMatch(raw.toString('latin1'), /\r(?!\n)|(?<!\r)\n/);
        assert.ok(
          raw
            .toString('latin1')
            .split('\r\n')
            .every((line) => line.length <= 998),
        );
        const mail = await PostalMime.parse(raw);
        assert.ok(Buffer.from(mail.attachments[0]?.content as ArrayBuffer).equals(Buffer.from(octets)));
        assert.equal((mail.text ?? '').replaceAll('\r\n', '\n').trimEnd(), text.replace(/\r\n?/g, '\n').trimEnd());
      },
    ),
    { numRuns: 60, verbose: 1 },
  );
});

test('a text of ten megabytes is composed, of short lines or of one', async () => {
  for (const text of ['\n'.repeat(5_000_000), `${'x'.repeat(70)}\n`.repeat(140_000), 'x'.repeat(10_000_000)])
    assert.ok(
      (await octetsOf({ subject: 'plain', from: { name: '', address: 'z@x.test' }, text })).length > text.length,
    );
});

test('nothing of the request becomes a header field of its own, or reads a file', async () => {
  const refused = (error: unknown): boolean => isError(error, 'outbox.header');
  for (const [name, value] of [
    ['X-A', 'a\r\nBcc: eve@x.test'],
    ['X A', 'a'],
    ['Bcc', 'eve@x.test'],
    ['Content-Type', 'text/html'],
    ['X-A:', 'a'],
  ] as const)
    await assert.rejects(octetsOf({ headers: [{ name, value }] }), refused, name);
  const raw = await octetsOf({
    subject: 'a\r\nBcc: eve@x.test',
    from: { name: 'x\r\nBcc: eve@x.test', address: 'zoe@x.test' },
    attachments: [{ filename: 'x\r\nBcc: eve@x.test', contentType: 'text/plain', content: Buffer.from('x') }],
  });
  assert.doesNotMatch(raw.toString(), /^bcc:/im);
});

test('ids have their brackets, and one that fits on no line is refused', async () => {
  const header = async (message: Partial<Composition>): Promise<string> => (await octetsOf(message)).toString();
  const raw = await header({
    inReplyTo: '1@x.test',
    references: ['0@x.test <1@x.test>', ' '],
    messageId: 'own@x.test',
  });
  assert.match(raw, /^In-Reply-To: <1@x\.test>\r\nReferences: <0@x\.test> <1@x\.test>\r$/m);
  assert.match(raw, /^Message-ID: <own@x\.test>\r$/m);
  for (const [address, right] of [
    ['zoe@bücher.example', 'xn--bcher-kva.example'],
    ['zoe@[127.0.0.1]', '[127.0.0.1]'],
  ] as const)
    assert.ok(
      (await header({ from: { name: '', address } })).match(/^Message-ID: <m_\w+@(.*)>\r$/m)?.[1] === right,
      address,
    );
  await assert.rejects(
    async () => header({ references: [`<${'x'.repeat(1000)}@x.test>`] }),
    (error) => isError(error, 'outbox.header'),
  );
});

test('A89: what is no message id is not written as one, with marks of direction or line ends of other alphabets', async () => {
  const ids = [
    '<1\u0085Bcc:x@x.test>',
    '<\u202e1@x.test>',
    '<1@x.test>\u2028<2@x.test>',
    '\u00a0',
    '<é@x.test>',
    '\ud800',
  ];
  for (const id of ids)
    for (const message of [{ inReplyTo: id }, { references: ['<0@x.test>', id] }])
      await assert.rejects(
        async () => octetsOf(message),
        (error) => isError(error, 'outbox.header') && /not ASCII/.test(error.message),
      );
  const raw = (
    await octetsOf({ references: ['<0@x.test>\t<1@x.test>\r\nBcc:\u0000<2@x.test>'], messageId: 'a\u202eb@x' })
  ).toString('latin1');
  assert.match(raw, /^References: <0@x\.test> <1@x\.test> <Bcc:> <2@x\.test>\r$/m);
  assert.doesNotMatch(raw, /[^\r\n -~]|^bcc/im);
});

test('A65: no header line is longer than 998 octets, whatever is in it', async () => {
  const texts = {
    word: 'a'.repeat(1200),
    spaces: `a${' '.repeat(1500)}b`,
    tabs: `a${'\t'.repeat(1500)}b`,
    quotes: '"'.repeat(600),
    backslashes: '\\'.repeat(500),
    words: `${'a'.repeat(900)} ${'b'.repeat(900)}`,
    octets: 'é'.repeat(899),
  };
  for (const [what, text] of Object.entries(texts))
    for (const message of [
      { subject: text },
      { to: [{ name: text, address: 'bob@x.test' }] },
      { headers: [{ name: `X-${'a'.repeat(70)}`, value: text }] },
      { attachments: [{ filename: text, contentType: 'text/plain', content: Buffer.from('x') }] },
    ]) {
      const longest = Math.max(
        ...(await octetsOf(message))
          .toString('latin1')
          .split('\r\n')
          .map(({ length }) => length),
      );
      assert.ok(longest <= 998, `${what} in ${Object.keys(message).join('')}: ${longest}`);
    }
  for (const message of [
    { replyTo: [{ name: '', address: `${'a'.repeat(1200)}@x.test` }] },
    { inReplyTo: texts.octets },
    { references: [texts.octets] },
  ])
    await assert.rejects(
      async () => octetsOf(message),
      (error) => isError(error, 'outbox.header'),
    );
});

test('addresses are read from the header of a finished message', () => {
  const header =
    'From: "A, B" <a@x.test>\r\nTo: Zoë\r\n <zoe@x.test>, friends: c@x.test, d@x.test;\r\nBCC: c@x.test\r\nX-To: e@x.test\r\n\r\n';
  assert.deepEqual(headerAddresses(Buffer.from(header)), {
    from: 'a@x.test',
    recipients: ['zoe@x.test', 'c@x.test', 'd@x.test'],
  });
  assert.deepEqual(headerAddresses(Buffer.from('\r\n')), { from: undefined, recipients: [] });
  assert.throws(
    () => readAddresses('nobody'),
    (error) => isError(error, 'outbox.address'),
  );
});

test('Q4: ids with stray angle brackets, beyond ASCII or too long for a line are refused; several in one text are told apart', async () => {
  for (const id of ['<a@x', 'a@x>', '<<a@x>>', 'a<b@x', '<a>b@x>', '<>', '<ä@x.test>', `<${'x'.repeat(1000)}@x.test>`])
    for (const field of [{ inReplyTo: id }, { references: ['<0@x.test>', id] }])
      await assert.rejects(octetsOf(field), (error) => isError(error, 'outbox.header'), id);
  for (const text of [
    '<a@x.test><b@x.test>',
    '<a@x.test>\r\n <b@x.test>',
    '<a@x.test>\0<b@x.test>',
    'a@x.test b@x.test',
  ]) {
    const { references } = await parse({ references: [text] });
    assert.equal(references, '<a@x.test> <b@x.test>', JSON.stringify(text));
  }
  // What follows a line break never begins a field.
  const raw = (await octetsOf({ references: ['<a@x.test>\r\nBcc: <b@x.test>'] }).catch(
    (error: Error) => error,
  )) as Buffer;
  assert.doesNotMatch(raw.toString(), /^Bcc:/m);
});

test('addresses of a header that is none are refused with its line', () => {
  assert.throws(
    () => headerAddresses(Buffer.from('From: a@x.test\r\nno field\r\n\r\n')),
    (error) => isError(error, 'outbox.header') && error.message.startsWith('line 2 of the message'),
  );
});
