/** What is composed is read by Python's and by PostalMime's parser of mail as it was given. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import PostalMime, { type Address, decodeWords } from 'postal-mime';
import { compose, type Composition } from '../../src/outbox/compose.ts';
import { compositions, endless, expected, type Reading } from '../bed/compositions.ts';

const SEED = 10;
const MESSAGES = 400;

const READER = `
import base64, email, email.policy, json, sys
def people(message, field):
    found = message[field]
    # It has spaces between encoded words of a name, which RFC 2047 section 6.2 says are none, and makes one of several.
    return [[''.join(one.display_name.split()), one.addr_spec] for one in found.addresses] if found else []
for line in sys.stdin:
    message = email.message_from_bytes(base64.b64decode(line), policy=email.policy.default)
    text = html = ''
    attachments = []
    for part in message.walk():
        assert not part.defects, part.defects
        if part.is_multipart(): continue
        kind = part.get_content_type()
        if part.get_filename() is not None:
            attachments.append([part.get_filename(), kind, (part['Content-ID'] or '').strip('<>'), part.get_content_disposition(), base64.b64encode(part.get_payload(decode=True)).decode()])
        elif kind == 'text/html': html = part.get_content()
        else: text = part.get_content()
    print(json.dumps({'from': people(message, 'From'), 'to': people(message, 'To'), 'cc': people(message, 'Cc'), 'replyTo': people(message, 'Reply-To'),
        'subject': message['Subject'] or '', 'inReplyTo': message['In-Reply-To'] or '', 'references': (message['References'] or '').split(),
        'note': message['X-Note'] or '', 'text': text, 'html': html, 'attachments': attachments}))
`;

async function written(message: Composition): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of compose(message)) pieces.push(piece);
  return Buffer.concat(pieces);
}

const messages = fc.sample(compositions, { numRuns: MESSAGES, seed: SEED });

test('lines end in CRLF and are as short as the standard asks, those with encoded words 76 characters', async () => {
  for (const message of messages) {
    const octets = await written(message);
    const lines = octets.toString('latin1').split('\r\n');
    assert.ok(lines.every((line) => line.length <= 998 && !/[\r\n]/.test(line)));
    for (const line of lines.slice(0, lines.indexOf('')))
      assert.ok(/^[!-~ \t]*[!-~]$/.test(line) && (line.length <= 76 || !line.includes('=?UTF-8')), line);
  }
});

test('Python reads what was put in', async () => {
  const octets = await Promise.all(messages.map((message) => written(message)));
  const { status, stdout, stderr } = spawnSync('python3', ['-c', READER], {
    input: octets.map((one) => `${one.toString('base64')}\n`).join(''),
    maxBuffer: 1 << 28,
  });
  assert.equal(status, 0, stderr.toString());
  const read = stdout.toString().trim().split('\n');
  assert.equal(read.length, messages.length);
  for (const [at, message] of messages.entries()) {
    const reading = JSON.parse(read[at]!) as Reading;
    assert.deepEqual(
      {
        ...reading,
        text: endless(reading.text),
        html: endless(reading.html),
        attachments: reading.attachments.toSorted(),
      },
      expected(message, (name) => name.replaceAll(' ', '')),
      octets[at]!.toString(),
    );
  }
});

test('PostalMime reads what was put in', async () => {
  const people = (list: readonly Address[] = []): Reading['to'] =>
    list.map(({ name, address }) => [name, address ?? '']);
  for (const message of messages) {
    const octets = await written(message);
    const mail = await PostalMime.parse(octets, { attachmentEncoding: 'arraybuffer' });
    assert.deepEqual(
      {
        from: people(mail.from && [mail.from]),
        to: people(mail.to),
        cc: people(mail.cc),
        replyTo: people(mail.replyTo),
        subject: mail.subject ?? '',
        inReplyTo: mail.inReplyTo ?? '',
        references: (mail.references ?? '').split(/\s+/).filter((id) => id !== ''),
        text: endless(mail.text ?? ''),
        html: endless(mail.html ?? ''),
        note: decodeWords(mail.headers.find(({ key }) => key === 'x-note')?.value ?? ''),
        attachments: mail.attachments
          .map(({ filename, mimeType, contentId = '', disposition, content }) => [
            filename ?? '',
            mimeType,
            contentId.replaceAll(/[<>]/g, ''),
            disposition ?? '',
            Buffer.from(content as ArrayBuffer).toString('base64'),
          ])
          .toSorted(),
      },
      expected(message),
      octets.toString(),
    );
  }
});
