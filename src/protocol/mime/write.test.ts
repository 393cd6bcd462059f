/** What is written, by the letter of the standards; that others read it as it was given is seen in `test/interop/composed.test.ts`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressField, textField } from './field.ts';
import { type Content, contentPart, textPart, writeMessage } from './write.ts';

async function written(content: Partial<Content>, ...fields: readonly string[]): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeMessage(fields, contentPart({ attachments: [], ...content }, 'm'))) pieces.push(piece);
  return Buffer.concat(pieces).toString('latin1');
}

const EVIL = 'x\r\nBcc: eve@x.test\0\r\n\r\nx';

test('nothing that is given begins a line, here or where it is decoded', async () => {
  const raw = await written(
    {
      text: 'x',
      html: 'x',
      attachments: [
        { filename: EVIL, contentType: `text/plain; x="${EVIL}"`, content: Buffer.from('x'), cid: EVIL },
        { filename: `ü${EVIL}`, contentType: EVIL, content: Buffer.from('x') },
      ],
    },
    textField('Subject', EVIL),
    addressField('To', [{ name: EVIL, address: `a${EVIL}@x.test` }]),
  );
  assert.doesNotMatch(raw, /^bcc:|\0|=0[AD]|%0[AD]|(?<!\r)\n/im);
  const encoded = raw.match(/(?<==\?UTF-8\?B\?)[\w+/=]+/g) ?? [];
  for (const word of encoded) assert.doesNotMatch(Buffer.from(word, 'base64').toString(), /[\r\n\0]/);
  assert.equal(raw.match(/^Content-ID: .*$/m)?.[0], 'Content-ID: <xBcc:eve@x.testx>');
});

test('quoted-printable has lines of 76 characters, none of which ends in a space (RFC 2045 §6.7)', async () => {
  const text = [
    'ü \t',
    ' ',
    'x'.repeat(75),
    'x'.repeat(76),
    `${'x'.repeat(74)}=`,
    'ü'.repeat(12),
    `ü${' x'.repeat(90)}`,
  ].join('\n');
  const lines = (await written({ text: `${'long '.repeat(40)}\n${text}` })).split('\r\n');
  assert.ok(lines.includes('Content-Transfer-Encoding: quoted-printable'));
  assert.ok(
    lines.every((line) => line.length <= 76 && !/[ \t]$/.test(line)),
    lines.join('\n'),
  );
  assert.ok(lines.some((line) => line.length === 76 && line.endsWith('=')));
});

test('what a person could read stays readable, what is foreign for the most part is base64', async () => {
  for (const [text, encoding] of [
    ['plain, with a line of\n'.padEnd(900, 'x'), '7bit'],
    ['Viele Grüße aus Köln\nZoë', 'quoted-printable'],
    ['x'.repeat(999), 'quoted-printable'],
    ['С уважением', 'base64'],
  ] as const)
    assert.match(textPart('plain', text).fields, new RegExp(`Encoding: ${encoding}\r\n`), text);
  assert.equal(textField('Subject', 'Viele Grüße'), 'Subject: =?UTF-8?Q?Viele_Gr=C3=BC=C3=9Fe?=\r\n');
  assert.match(textField('Subject', 'С уважением'), /^Subject: =\?UTF-8\?B\?/);
});

test('F49: a message that others made is no message of ours to encode (RFC 2046 §5.2.1)', async () => {
  for (const contentType of ['message/rfc822', 'Multipart/Mixed; boundary=x']) {
    const raw = await written({ attachments: [{ filename: 'a.eml', contentType, content: Buffer.from('x') }] });
    assert.match(raw, /^Content-Type: application\/octet-stream; name=a\.eml\r\n/m);
  }
});

test('A90: a media type brings no second name, and no parameter twice or open (RFC 2045 §5.1)', async () => {
  const typeOf = async (contentType: string): Promise<string> => {
    const raw = await written({ attachments: [{ filename: 'report.pdf', contentType, content: Buffer.from('x') }] });
    return /^Content-Type: (.*(?:\r\n .*)*)/m.exec(raw)![1]!.replaceAll('\r\n ', ' ');
  };
  for (const [given, is] of [
    ['application/pdf; name="zz"', 'application/pdf; name=report.pdf'],
    ['application/pdf;NAME=zz;Name="y"', 'application/pdf; name=report.pdf'],
    ['text/csv; charset=utf-8; charset=latin1', 'text/csv; charset=utf-8; name=report.pdf'],
    ['text/csv; header="present, all"; x=1', 'text/csv; header="present, all"; x=1; name=report.pdf'],
    ['text/csv; x="; name=zz"', 'text/csv; x="; name=zz"; name=report.pdf'],
    ['text/csv; x="a\\"; name="zz"', "text/csv; x*=utf-8''a%5C; name=report.pdf"],
    ['text/csv; x="\u202e"', "text/csv; x*=utf-8''%E2%80%AE; name=report.pdf"],
    ['message/rfc822; name=zz', 'application/octet-stream; name=report.pdf'],
    ['no type', 'application/octet-stream; name=report.pdf'],
  ] as const)
    assert.equal(await typeOf(given), is, given);
});

test('one part alone is the message, several have boundaries of their own', async () => {
  const attachments = [{ filename: 'a.csv', contentType: 'text/csv', content: Buffer.from('x') }];
  assert.doesNotMatch(await written({ attachments }), /multipart|text\/plain/);
  assert.match(await written({}), /^MIME-Version: 1\.0\r\nContent-Type: text\/plain; charset=utf-8\r\n.*\r\n\r\n$/);
  const logo = { filename: 'a.png', contentType: 'image/png', content: Buffer.from('x'), cid: 'a' };
  const raw = await written({ text: 'x', html: '<img src="cid:a">', attachments: [...attachments, logo] });
  assert.deepEqual(raw.match(/(?<=multipart\/)\w+/g), ['mixed', 'alternative', 'related']);
  const boundaries = raw.match(/(?<=boundary=")[^"]+/g) ?? [];
  assert.equal(new Set(boundaries).size, 3);
  for (const boundary of boundaries) assert.equal(raw.split(`--${boundary}--\r\n`).length, 2);
});
