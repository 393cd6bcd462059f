/** What is composed here is read back by a parser that is not ours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import PostalMime from 'postal-mime';
import { isError } from '../base/error.ts';
import { composePlain } from './compose-plain.ts';
import { compose, composeMime } from './compose.ts';
import { type Composition } from './composition.ts';
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

test('what is written down here is what the library writes, octet for octet', async () => {
  const of = (common: string, rare: string, maxLength: number): fc.Arbitrary<string> =>
    fc.oneof(
      { weight: 3, arbitrary: fc.string({ unit: fc.constantFrom(...common.split('')), maxLength }) },
      { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...(common + rare).split('')), maxLength }) },
    );
  const words = of("abcB9_-.,:;<>@()!'", ' "=?\\é\t', 70).map((text) => text.replaceAll('c', ' '));
  const name = fc.oneof(fc.constant(''), of('aB9_', ' .,"é', 20));
  const address = fc.constantFrom('a@x.test', 'bob.b+1@Example.com', 'a_very.long-local.part@mail.example.com');
  const named = fc.record({ name, address });
  const line = of('ab .=-F', '\té', 80);
  let plainly = 0;
  await fc.assert(
    fc.asyncProperty(
      named,
      fc.array(named, { maxLength: 3 }),
      fc.array(named, { maxLength: 2 }),
      words,
      fc.array(line, { maxLength: 4 }),
      fc.boolean(),
      async (from, to, cc, subject, lines, ended) => {
        const message = { ...plain, from, to, cc, subject, text: lines.join('\r\n') + (ended ? '\r\n' : '') };
        const now = Date.now();
        const ours = composePlain(message, message.text, '<1@x.test>', now);
        if (!ours) return;
        plainly += 1;
        const pieces: Uint8Array[] = [];
        for await (const piece of composeMime(message, 'm_1', '<1@x.test>')) pieces.push(piece);
        const dateless = (octets: Buffer): string => octets.toString('latin1').replace(/^Date: .*$/m, 'Date:');
        assert.equal(dateless(ours), dateless(Buffer.concat(pieces)));
        assert.match(ours.toString('latin1'), /^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r$/m);
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(plainly > 100, `${plainly} of 3000 were plain`);
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
