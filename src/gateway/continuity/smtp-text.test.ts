/** The end of a message's text is found at the same octet however the text is cut, and however many dots are in it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { type Scene, scene } from '../../../test/bed/kept-dialogue.ts';
import { mailRules } from '../mail-rules.ts';
import { SmtpText } from './smtp-text.ts';

/** Where it ends, and whether servers would disagree about that. */
function ending(octets: Buffer, size: number): string {
  const text = new SmtpText(() => undefined);
  for (let at = 0; at < octets.length; at += size) {
    const { end, ambiguous } = text.dotted(octets.subarray(at, at + size));
    if (ambiguous) return 'ambiguous';
    if (end !== undefined) return String(at + end);
  }
  return 'open';
}

// RFC 5321 §4.5.2
test('the end of a text is found however it is cut', () => {
  const part = fc.constantFrom('\r\n', '.', 'a', '.a', '\r\n..', '.'.repeat(40), 'a.'.repeat(20));
  const last = fc.constantFrom('', '\r\n.\r\n', '\n.\r\n', '\r.\r\n', '\r\n.\n');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), last, fc.integer({ min: 1, max: 90 }), (parts, end, size) => {
      const octets = Buffer.from(`a${parts.join('')}${end}`);
      assert.equal(ending(octets, octets.length), ending(octets, 1));
      assert.equal(ending(octets, size), ending(octets, 1));
    }),
  );
});

const rules = mailRules(() => ({
  address: 'alice@x.test',
  settings: {},
  grantId: 'g',
  access: 'own',
  protocols: ['smtp'],
  createdAt: 0,
}));
const OWN = 'From: alice@x.test\r\nSubject: x\r\n\r\n';
const FORGED = 'MAIL FROM:<ceo@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nFrom: ceo@x.test\r\n\r\nbody\r\n.\r\n';

async function begun(t: TestContext, data = true): Promise<Scene> {
  const smtp = scene(t, 'smtp', rules);
  await smtp.say('MAIL FROM:<alice@x.test>\r\nRCPT TO:<b@y.test>\r\n');
  await smtp.reply('250 ok\r\n250 ok\r\n');
  if (data) await smtp.say('DATA\r\n');
  if (data) await smtp.reply('354 go\r\n');
  smtp.heard();
  return smtp;
}

// RFC 5322 §4, RFC 6152 §3
test('A100: a text with an octet 0 is refused at its end; a server that leaves it out gets no end of it', async (t) => {
  for (const end of ['\r\n\0.\r\n', '\r\n.\0\r\n', '\n\0.\r\n', '\r\0.\r\n', '\r\0\n.\r\n', '\0\r\n.\r\n', '\0'])
    for (const size of [1, 2, 3, 1000]) {
      const smtp = await begun(t);
      const text = `${OWN}body${end}${FORGED}`;
      for (let at = 0; at < text.length; at += size) await smtp.say(text.slice(at, at + size));
      assert.match(
        smtp.heard(),
        /^554 5\.6\.11 (?:the message has an octet 0|a line with a dot follows)/,
        JSON.stringify(end),
      );
      for (const { heard } of smtp.servers)
        assert.doesNotMatch(heard.replaceAll('\0', ''), /ceo|[\r\n]\.[\r\n]/, JSON.stringify(end));
    }
  const header = await begun(t);
  await header.say('From\0: ceo@x.test\r\n\r\nbody\r\n.\r\n');
  assert.match(header.heard(), /^554 5\.6\.11 /);
});

// RFC 3030 §2, §3
test('A100: the length of a chunk says where it ends, so that an octet 0 passes in its text, and not in its header', async (t) => {
  const smtp = await begun(t, false);
  const chunk = `BDAT ${OWN.length + 7 + FORGED.length} LAST\r\n${OWN}a\r\n\0.\r\n${FORGED}`;
  await smtp.say(chunk);
  assert.ok(smtp.servers[0]!.heard.endsWith(chunk));
  const header = await begun(t, false);
  await header.say('BDAT 24 LAST\r\nFrom\0: ceo@x.test\r\n\r\nx');
  assert.match(header.heard(), /^550 5\.6\.0 line 1 .*NUL/);
  assert.doesNotMatch(header.servers[0]!.heard, /ceo/);
});
