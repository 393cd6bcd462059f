/** POP3 and SMTP: what is kept when the server goes away, and what is said when nothing can be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Scene, scene } from '../../../test/bed/kept-dialogue.ts';
import { upstreamError } from '../../upstream/errors.ts';
import { mailRules } from '../mail-rules.ts';

// RFC 5321 §3.8
test('SMTP: between two messages the next command goes to a new server', async (t) => {
  const smtp = scene(t, 'smtp');
  await smtp.say('MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n');
  await smtp.reply('250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n');
  await smtp.say('QUIT\r\nMAIL FROM:<is text>\r\n.\r\n');
  await smtp.reply('250 2.0.0 taken\r\n');
  await smtp.reply('421 4.4.2 idle for too long\r\n');
  await smtp.cut();
  assert.equal(smtp.heard(), '250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n250 2.0.0 taken\r\n');
  await smtp.say('MAIL FROM:<e@f>\r\n');
  assert.equal(smtp.servers.length, 2);
  assert.equal(smtp.servers[1]!.heard, 'MAIL FROM:<e@f>\r\n');
  await smtp.reply('250 2.1.0 ok\r\n');
  assert.equal(smtp.heard(), '250 2.1.0 ok\r\n');
  assert.equal(smtp.over(), false);
});

test('SMTP: what is lost within a transaction is said, and whether the message may have been taken', async (t) => {
  for (const [said, replied, fate] of [
    ['MAIL FROM:<a@b>\r\n', '250 ok\r\n', 'this message was not taken'],
    ['MAIL FROM:<a@b>\r\n', '', 'this message was not taken'],
    ['MAIL FROM:<a@b>\r\nDATA\r\n', '250 ok\r\n354 go\r\n', 'this message was not taken'],
    ['MAIL FROM:<a@b>\r\nDATA\r\nhello\r\n.\r\n', '250 ok\r\n354 go\r\n', 'the message may have been taken or not'],
    ['MAIL FROM:<a@b>\r\nBDAT 5 LAST\r\nhello', '250 ok\r\n', 'the message may have been taken or not'],
  ] as const) {
    const smtp = scene(t, 'smtp');
    await smtp.say(said);
    await smtp.reply(replied);
    smtp.heard();
    await smtp.cut();
    assert.equal(smtp.heard(), `421 4.4.2 gate.example the connection to the provider was lost; ${fate}\r\n`);
    assert.ok(smtp.over());
  }
});

test('SMTP: a transaction that was reset or refused is over', async (t) => {
  for (const [said, ...replied] of [
    ['MAIL FROM:<a@b>\r\n', '550 5.7.60 no\r\n'],
    ['MAIL FROM:<a@b>\r\nRSET\r\n', '250 ok\r\n250-still\r\n250 ok\r\n'],
    ['MAIL FROM:<a@b>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\nde', '250 ok\r\n', '250 taken\r\n'],
  ] as const) {
    const smtp = scene(t, 'smtp');
    await smtp.say(said);
    for (const each of replied) await smtp.reply(each);
    await smtp.cut();
    await smtp.say('NOOP\r\n');
    assert.equal(smtp.servers.length, 2);
    assert.equal(smtp.servers[1]!.heard, 'NOOP\r\n');
  }
});

test('SMTP: QUIT is the end, a refused sign-in is said, a half reply is not completed', async (t) => {
  const quitting = scene(t, 'smtp');
  await quitting.say('QUIT\r\n');
  await quitting.reply('221 bye\r\n');
  await quitting.cut();
  assert.equal(quitting.heard(), '221 bye\r\n');
  assert.ok(quitting.over());

  const refused = scene(t, 'smtp');
  refused.refusal = upstreamError('gateway.consent-needed', 'the consent for a@b has ended');
  await refused.cut();
  await refused.say('NOOP\r\n');
  assert.equal(refused.heard(), '421 4.4.2 gate.example the consent for a@b has ended\r\n');
  assert.ok(refused.over());

  const half = scene(t, 'smtp');
  await half.say('EHLO x\r\n');
  await half.reply('250-one\r\n250 tw');
  await half.cut();
  assert.equal(half.heard(), '250-one\r\n');
  assert.ok(half.over());
});

const ALICE = 'alice@x.test';
const rules = mailRules(() => ({
  address: ALICE,
  settings: { sendAs: ['info@x.test'] },
  grantId: 'g',
  access: 'own',
  protocols: ['smtp'],
  createdAt: 0,
}));

test('N12: a relayed message leaves a record with sender, recipients and size, however it is cut', async (t) => {
  const said = `MAIL FROM:<${ALICE}>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<gone@y.test>\r\nRCPT TO:<c@y.test>\r\nDATA\r\n`;
  const text = `From: ${ALICE}\r\nMessage-ID: <1@x.test>\r\n\r\n..dot\r\n.not the end\r\n.\r\n`;
  for (const size of [1, 2, 3, 1000]) {
    const smtp = scene(t, 'smtp', rules);
    for (let at = 0; at < said.length; at += size) await smtp.say(said.slice(at, at + size));
    await smtp.reply('250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n');
    const all = `${text}RSET\r\n`;
    for (let at = 0; at < all.length; at += size) await smtp.say(all.slice(at, at + size));
    await smtp.reply('250 2.0.0 taken\r\n250 reset\r\n');
    assert.equal(smtp.servers[0]!.heard, said + all);
    assert.equal(smtp.heard(), '250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n250 2.0.0 taken\r\n250 reset\r\n');
    const facts = {
      from: ALICE,
      to: ['b@y.test', 'c@y.test'],
      recipients: 2,
      octets: text.length,
      messageId: '<1@x.test>',
    };
    assert.deepEqual(smtp.relayed, [{ ...facts, reply: '250 2.0.0 taken', taken: true }]);
  }
  const chunked = scene(t, 'smtp', rules);
  await chunked.say(
    'MAIL FROM:<info@x.test>\r\nRCPT TO:<b@y.test>\r\nBDAT 8\r\nFrom: alBDAT 18 LAST\r\nice@x.test\r\n\r\ntext',
  );
  for (const each of ['250 ok\r\n250 ok\r\n', '552 full\r\n']) await chunked.reply(each);
  assert.deepEqual(
    chunked.relayed.map(({ from, octets, taken }) => [from, octets, taken]),
    [['info@x.test', 26, false]],
  );
});

test('S5: relayed mail is from the mailbox, in the envelope: another sender never reaches the provider', async (t) => {
  const smtp = scene(t, 'smtp', rules);
  await smtp.say('EHLO x\r\nMAIL FROM:<ceo@x.test>\r\nRCPT TO:<b@y.test>\r\nNOOP\r\n');
  assert.equal(smtp.servers[0]!.heard, 'EHLO x\r\nRCPT TO:<b@y.test>\r\nNOOP\r\n');
  await smtp.reply('250-one\r\n250 two\r\n503 MAIL first\r\n250 ok\r\n');
  assert.match(
    smtp.heard(),
    /^250-one\r\n250 two\r\n550 5\.7\.60 alice@x\.test may not send as ceo@x\.test[^\r]*\r\n503 MAIL first\r\n250 ok\r\n$/,
  );
  for (const way of [
    'mail from: <ceo@x.test>',
    ' MAIL FROM:<ceo@x.test>',
    'MAIL\tFROM:ceo@x.test SIZE=1',
    'MAIL FROM:<@a:ceo@x.test>',
    'NOOP\rMAIL FROM:<ceo@x.test>',
    'MAIL FROM:<alice@x.test> <ceo@x.test> x<',
  ]) {
    await smtp.say(`${way}\r\n`);
    assert.match(smtp.heard(), /^5\d\d /, way);
  }
  assert.doesNotMatch(smtp.servers[0]!.heard, /ceo/);
  await smtp.say('MAIL FROM:<INFO@x.test>\r\n');
  assert.match(smtp.servers[0]!.heard, /INFO@x\.test/);
});

// RFC 5321 §4.1.1.4
test('S5: relayed mail is from the mailbox, in its header: the provider never sees the end of another', async (t) => {
  const begin = async (smtp: Scene, from = ALICE): Promise<void> => {
    await smtp.say(`MAIL FROM:<${from}>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n`);
    await smtp.reply('250 ok\r\n250 ok\r\n354 go\r\n');
    smtp.heard();
  };
  for (const [header, said] of [
    ['From: ceo@x.test', /^550 5\.7\.60 From names ceo@x\.test/],
    [`From: ceo@x.test <${ALICE}>`, /^550 5\.6\.0 /],
    [`From: ${ALICE}\r\nSender: ceo@x.test`, /^550 5\.7\.60 Sender names/],
    [`From: ${ALICE}\r\nfrom : ceo@x.test`, /^550 5\.6\.0 .* more than one From/],
    [`no field\r\nFrom:\r\n ceo@x.test`, /^550 5\.6\.0 /],
    [`X: a\rFrom: ceo@x.test`, /^550 5\.6\.0 /],
  ] as const)
    for (const size of [7, 10_000]) {
      const smtp = scene(t, 'smtp', rules);
      await begin(smtp);
      const text = `${header}\r\n\r\nhello\r\n.\r\n`;
      for (let at = 0; at < text.length; at += size) await smtp.say(text.slice(at, at + size));
      assert.match(smtp.heard(), said, header);
      assert.doesNotMatch(smtp.servers[0]!.heard, /hello|\r\n\.\r\n/);
      assert.deepEqual(
        smtp.relayed.map(({ taken }) => taken),
        [false],
      );
      // The session goes on, with another server.
      await smtp.say(`MAIL FROM:<${ALICE}>\r\n`);
      assert.equal(smtp.servers[1]?.heard, `MAIL FROM:<${ALICE}>\r\n`);
      await smtp.reply('250 again\r\n');
      assert.equal(smtp.heard(), '250 again\r\n');
    }
  const empty = scene(t, 'smtp', rules);
  await begin(empty, '');
  await empty.say(`From: ${ALICE}\r\n\r\n.\r\n`);
  assert.match(empty.heard(), /^550 5\.7\.60 the message has no envelope sender/);
  const bounce = scene(t, 'smtp', rules);
  await begin(bounce, '');
  await bounce.say('From: MAILER-DAEMON@host (Mail Delivery System)\r\nContent-Type: multipart/report\r\n\r\n.\r\n');
  await bounce.reply('250 taken\r\n');
  assert.equal(bounce.heard(), '250 taken\r\n');
  const chunks = scene(t, 'smtp', rules);
  await chunks.say(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<b@y.test>\r\nBDAT 10\r\nFrom: ceo@`);
  await chunks.reply('250 ok\r\n250 ok\r\n');
  chunks.heard();
  await chunks.say('BDAT 10 LAST\r\nx.test\r\n\r\n');
  assert.match(chunks.heard(), /^550 5\.7\.60 From names ceo@x\.test/);
  assert.doesNotMatch(chunks.servers[0]!.heard, /BDAT/);
});

test('F45: after a chunk or text that was refused the session goes on, with another server, however it came', async (t) => {
  const envelope = `MAIL FROM:<${ALICE}>\r\nRCPT TO:<b@y.test>\r\n`;
  const forged = 'From: ceo@x.test\r\n\r\nhello\r\n';
  const good = `From: ${ALICE}\r\n\r\nhello\r\n`;
  for (const refused of [
    `BDAT ${forged.length} LAST\r\n${forged}`,
    `BDAT ${forged.length}\r\n${forged}`,
    `BDAT 6\r\n${forged.slice(0, 6)}BDAT ${forged.length - 6} LAST\r\n${forged.slice(6)}`,
    `BDAT 16\r\n${forged.slice(0, 16)}BDAT 0 LAST\r\n`,
    `DATA\r\n${forged}.\r\n`,
  ])
    for (const size of [5, 10_000]) {
      const smtp = scene(t, 'smtp', rules);
      const begins = async (server: number): Promise<void> => {
        assert.match(smtp.servers[server]?.heard ?? '', /^MAIL FROM/, refused);
        await smtp.reply('250 ok\r\n250 ok\r\n');
        if (refused.startsWith('DATA') && server === 0) await smtp.reply('354 go\r\n');
      };
      const first = envelope + refused;
      // All of it without waiting for answers, or in pieces after those to the envelope.
      if (size > first.length) {
        await smtp.say(first);
        await begins(0);
      } else {
        const opening = refused.startsWith('DATA') ? `${envelope}DATA\r\n` : envelope;
        await smtp.say(opening);
        await begins(0);
        for (let at = opening.length; at < first.length; at += size) await smtp.say(first.slice(at, at + size));
      }
      assert.match(
        smtp.heard(),
        /^(?:250 ok\r\n){2}(?:354 go\r\n)?(?:250 2\.0\.0 \d+ octets received\r\n)*550 5\.7\.60 [^\n]+\n$/,
      );
      assert.doesNotMatch(smtp.servers[0]!.heard, /hello|BDAT/);
      await smtp.say(`${envelope}BDAT ${good.length} LAST\r\n${good}`);
      await begins(1);
      assert.equal(smtp.servers[1]!.heard, `${envelope}BDAT ${good.length} LAST\r\n${good}`);
      await smtp.reply('250 taken\r\n');
      assert.equal(smtp.heard(), '250 ok\r\n250 ok\r\n250 taken\r\n');
      assert.deepEqual(
        smtp.relayed.map(({ taken }) => taken),
        [false, true],
      );
    }
});

test('S5: text that servers end at different places passes to nobody; text before the answer to DATA waits for it', async (t) => {
  for (const text of ['a\n.\r\nMAIL FROM:<ceo@x.test>\r\n', 'a\r\n.\nMAIL', 'a\r.\r\nMAIL', 'a\r\n.\rMAIL'])
    for (const size of [1, 10_000]) {
      const smtp = scene(t, 'smtp', rules);
      await smtp.say(`MAIL FROM:<${ALICE}>\r\nDATA\r\n`);
      await smtp.reply('250 ok\r\n354 go\r\n');
      smtp.heard();
      const all = `From: ${ALICE}\r\n\r\n${text}`;
      for (let at = 0; at < all.length && !smtp.over(); at += size) await smtp.say(all.slice(at, at + size));
      assert.match(smtp.heard(), /^554 5\.6\.11 /, JSON.stringify(text));
      assert.ok(smtp.over());
    }
  const early = scene(t, 'smtp', rules);
  await early.say(`MAIL FROM:<${ALICE}>\r\nDATA\r\nFrom: ${ALICE}\r\n\r\nMAIL FROM:<ceo@x.test>\r\n.\r\n`);
  assert.equal(early.servers[0]!.heard, `MAIL FROM:<${ALICE}>\r\nDATA\r\n`);
  await early.reply('250 ok\r\n354 go\r\n');
  assert.match(early.servers[0]!.heard, /MAIL FROM:<ceo@x\.test>\r\n\.\r\n$/);
  await early.reply('250 taken\r\n');
  assert.equal(early.heard(), '250 ok\r\n354 go\r\n250 taken\r\n');
});

test('POP3: a command without an answer gets one, an answer cut in two is left alone', async (t) => {
  const waiting = scene(t, 'pop3');
  await waiting.say('STAT\r\n');
  await waiting.cut();
  assert.match(waiting.heard(), /^-ERR \[SYS\/TEMP\] the connection to the provider was lost/);
  assert.ok(waiting.over());
  for (const [said, replied] of [
    ['RETR 1\r\n', '+OK\r\nhalf a mess'],
    ['QUIT\r\n', ''],
    ['STAT\r\n', '+OK 1 2\r\n'],
  ] as const) {
    const pop3 = scene(t, 'pop3');
    await pop3.say(said);
    await pop3.reply(replied);
    await pop3.cut();
    assert.equal(pop3.heard(), replied);
    assert.ok(pop3.over());
  }
});

// RFC 2449 §6.6
test('POP3 PIPELINING: a server that does not announce it gets one command at a time, in order', async (t) => {
  const { say, reply, heard, servers } = scene(t, 'pop3');
  await say('STAT\r\nLIST\r\nRETR 1\r\nDE');
  assert.equal(servers[0]!.heard, 'STAT\r\n');
  await reply('+OK 2 300\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\n');
  await reply('+OK\r\n1 100\r\n');
  await reply('2 200\r\n.');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\n');
  await reply('\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\nRETR 1\r\n');
  await say('LE 1\r\nQUIT\r\n');
  await reply('-ERR no such message\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\n');
  await reply('+OK\r\n');
  assert.equal(servers[0]!.heard, 'STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n');
  assert.equal(heard(), '+OK 2 300\r\n+OK\r\n1 100\r\n2 200\r\n.\r\n-ERR no such message\r\n+OK\r\n');
});

// RFC 2449 §4
test('POP3 PIPELINING: what is no line at all is not held for ever', async (t) => {
  const { say, servers } = scene(t, 'pop3');
  await say('x'.repeat(100_000));
  assert.equal(servers[0]!.heard.length, 100_000);
});
