/** Messages to compose, of everything that has to be encoded, folded or nested, and how a reader that is not ours is to read them. */
import fc from 'fast-check';
import type { Composition } from '../../src/outbox/compose.ts';

const character = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...'abcXYZ019 -_.'.split('')) },
  { weight: 2, arbitrary: fc.constantFrom(...'"\\,;:<>()[]@=?!#$%&\'*+/^`{|}~'.split('')) },
  { weight: 1, arbitrary: fc.constantFrom('ä', 'ß', 'é', 'ж', '漢', '字', '🦆', 'e\u0301', '…', '=?', '?=', '  ') },
);
const words = (maxLength: number): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: character, maxLength }) },
    { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom('ж', '漢', ' ', 'ä'), maxLength }) },
    { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom('x', 'y'), maxLength }) },
    { weight: 1, arbitrary: fc.constantFrom('', '=?UTF-8?Q?no?=', 'Doe, J. "Q"', 'a@b.test', '.'.repeat(1200)) },
  );

const line = fc.oneof(
  { weight: 3, arbitrary: words(200) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('.', '..', 'From me', '-- ', ' \t', '--', '=20', 'x'.repeat(76), 'ü'.repeat(400)),
  },
);
const text = fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n'));

const address = fc.constantFrom('a@x.test', 'bob.b+1@example.com', "o'hara@x-y.test", '"a b"@x.test');
const named = fc.record({ name: words(120).map((name) => name.trim()), address });
const id = fc
  .string({ unit: fc.constantFrom(...'abc09$._-'.split('')), minLength: 1, maxLength: 90 })
  .map((left) => `<${left}@x.test>`);

const attachment = fc.record(
  {
    filename: words(140).filter(
      (name) => name.trim() === name && name !== '' && !/[/\\]|=\?/.test(name) && name.length < 256,
    ),
    contentType: fc.constantFrom('application/pdf', 'image/png', 'text/csv', 'application/octet-stream'),
    content: fc.uint8Array({ maxLength: 200 }),
    cid: fc.uuid(),
  },
  { requiredKeys: ['filename', 'contentType', 'content'] },
);

/** Of a subject and names without spaces at their ends, which readers leave out. */
export const compositions: fc.Arbitrary<Composition> = fc.record(
  {
    from: named,
    to: fc.array(named, { maxLength: 12 }),
    cc: fc.array(named, { maxLength: 2 }),
    replyTo: fc.array(named, { maxLength: 1 }),
    subject: words(300).map((subject) => subject.trim()),
    text,
    html: text,
    attachments: fc.array(attachment, { maxLength: 4 }),
    headers: fc.array(fc.record({ name: fc.constant('X-Note'), value: words(300) }), { maxLength: 1 }),
    inReplyTo: id,
    references: fc.array(id, { maxLength: 20 }),
  },
  { requiredKeys: ['from', 'to', 'cc', 'replyTo', 'subject', 'attachments', 'headers'] },
);

type Named = readonly [name: string, address: string];

/** What was read, or is to be. */
export interface Reading {
  readonly from: readonly Named[];
  readonly to: readonly Named[];
  readonly cc: readonly Named[];
  readonly replyTo: readonly Named[];
  readonly subject: string;
  readonly inReplyTo: string;
  readonly references: readonly string[];
  readonly text: string;
  readonly html: string;
  /** Of the field X-Note. */
  readonly note: string;
  readonly attachments: readonly (readonly [name: string, type: string, cid: string, where: string, base64: string])[];
}

/** @param called what the reader makes of names */
export function expected(message: Composition, called = (name: string): string => name): Reading {
  const list = (all: Composition['to']): readonly Named[] => all.map(({ name, address: one }) => [called(name), one]);
  return {
    from: list([message.from]),
    to: list(message.to),
    cc: list(message.cc),
    replyTo: list(message.replyTo),
    subject: message.subject,
    inReplyTo: message.inReplyTo ?? '',
    references: message.references ?? [],
    text: endless(message.text ?? ''),
    html: endless(message.html ?? ''),
    note: message.headers[0]?.value.trim() ?? '',
    attachments: message.attachments
      .map(({ filename, contentType, content, cid = '' }): Reading['attachments'][number] => [
        filename,
        contentType,
        cid,
        cid !== '' && message.html !== undefined ? 'inline' : 'attachment',
        Buffer.from(content as Uint8Array).toString('base64'),
      ])
      .toSorted(),
  };
}

/** Readers differ in whether the line break before a boundary belongs to the text. */
export const endless = (read: string): string => read.replaceAll('\r\n', '\n').replace(/\n+$/, '');
