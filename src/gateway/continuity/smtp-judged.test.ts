/** What is judged of relayed mail is what the server reads, and what it may read in another way does not pass. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type Scene, scene } from '../../../test/bed/kept-dialogue.ts';
import { mailRules } from '../mail-rules.ts';
import { SmtpDialogue } from './smtp-dialogue.ts';

const ALICE = 'alice@x.test';
const settings = { sendAs: ['info@x.test'] };
const rules = mailRules(() => ({
  address: ALICE,
  settings,
  grantId: 'g',
  access: 'own',
  protocols: ['smtp'],
  createdAt: 0,
}));
const OWN = `From: ${ALICE}\r\nSubject: x\r\n\r\n`;
const FOREIGN = 'From: ceo@x.test\r\nSubject: smuggled\r\n\r\nbody\r\n';

async function begun(t: TestContext, announced?: string[]): Promise<Scene> {
  const smtp = scene(t, 'smtp', rules, announced);
  await smtp.say(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<b@y.test>\r\n`);
  await smtp.reply('250 ok\r\n250 ok\r\n');
  smtp.heard();
  return smtp;
}

/** Sends a text after DATA, in pieces. @returns what the program is told */
async function told(
  t: TestContext,
  text: string,
  size = 10_000,
): Promise<{ readonly smtp: Scene; readonly heard: string }> {
  const smtp = await begun(t);
  await smtp.say('DATA\r\n');
  await smtp.reply('354 go\r\n');
  smtp.heard();
  for (let at = 0; at < text.length; at += size) await smtp.say(text.slice(at, at + size));
  return { smtp, heard: smtp.heard() };
}

const BODY = '\r\n\r\nbody\r\n.\r\n';

// RFC 5321 §4.5.2
test('A1a: a field that dot-stuffing hides is judged as the server reads it', async (t) => {
  for (const [header, said] of [
    ['Subject: stuffed\r\n.From: ceo@x.test', /^550 5\.7\.60 From names ceo@x\.test/],
    ['.From: ceo@x.test', /^550 5\.7\.60 From names ceo@x\.test/],
    [`From: ${ALICE}\r\n.Sender: ceo@x.test`, /^550 5\.7\.60 Sender names ceo@x\.test/],
    [`From: ${ALICE}\r\n.From: ceo@x.test`, /^550 5\.6\.0 .*more than one From/],
    ['From:\r\n. ceo@x.test', /^550 5\.7\.60 From names ceo@x\.test/],
    [`From: ${ALICE}\r\nX: y\r\n..Sender: ceo@x.test`, /^$/],
    ['.From: info@x.test', /^$/],
  ] as const)
    for (const size of [1, 2, 3, 10_000]) {
      const { smtp, heard } = await told(t, header + BODY, size);
      assert.match(heard, said, header);
      assert.equal(smtp.servers[0]!.heard.endsWith(header + BODY), said.source === '^$');
    }
});

// RFC 5322 §4.5, §4.5.2
test('A1b: space before a colon is part of a field, and a line of an mbox file is refused', async (t) => {
  for (const [header, said] of [
    ['From : ceo@x.test\r\nSubject: x', /^550 5\.7\.60 From names ceo@x\.test/],
    ['From \t: ceo@x.test\r\nSubject: x', /^550 5\.7\.60 From names ceo@x\.test/],
    ['FROM\t: ceo@x.test', /^550 5\.7\.60 From names ceo@x\.test/],
    ['From ceo@x.test Mon Nov 30 12:00:00 2026\r\nSubject: x', /^550 5\.6\.0 line 1 /],
    [`>From ceo@x.test\r\nFrom: ${ALICE}`, /^550 5\.6\.0 line 1 /],
    [`From : ${ALICE}`, /^$/],
  ] as const) {
    const { smtp, heard } = await told(t, header + BODY);
    assert.match(heard, said, header);
    assert.equal(smtp.servers[0]!.heard.includes('body'), said.source === '^$');
  }
});

test('A1c: nothing of a transaction that is over is left for the next one', async (t) => {
  const headers = [OWN, 'Auto-Submitted: auto-replied\r\n\r\n'];
  for (const header of headers)
    for (const between of [[], ['RSET'], ['EHLO x'], ['HELO x']]) {
      const smtp = await begun(t);
      await smtp.say(`BDAT ${header.length}\r\n${header}`);
      await smtp.reply('250 ok\r\n');
      for (const command of between) await smtp.say(`${command}\r\n`);
      if (between.length > 0) await smtp.reply('250-x\r\n250 CHUNKING\r\n');
      await smtp.say(`MAIL FROM:<${ALICE}>\r\n`);
      await smtp.reply('250 ok\r\n');
      smtp.heard();
      await smtp.say(`BDAT ${FOREIGN.length} LAST\r\n${FOREIGN}`);
      assert.match(smtp.heard(), /^(?:550 5\.7\.60|502) /);
      assert.doesNotMatch(smtp.servers[0]!.heard, /smuggled/);
    }
  const refused = await begun(t);
  await refused.say(`BDAT ${OWN.length}\r\n${OWN}`);
  await refused.reply('503 no transaction\r\n');
  refused.heard();
  await refused.say(`BDAT ${FOREIGN.length} LAST\r\n${FOREIGN}NOOP\r\n`);
  assert.match(refused.heard(), /^503 5\.5\.1 /);
  assert.match(refused.servers[0]!.heard, /NOOP\r\n$/);
  assert.doesNotMatch(refused.servers[0]!.heard, /smuggled/);
  const without = scene(t, 'smtp', rules);
  await without.say(`BDAT ${OWN.length}\r\n${OWN}`);
  assert.match(without.heard(), /^503 5\.5\.1 /);
  assert.equal(without.servers[0]!.heard, '');
});

// RFC 3030 §2
test('A1d: chunks pass only to a server that has announced them, with a size that all read alike', async (t) => {
  const commands = 'MAIL FROM:<ceo@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n';
  const plain = await begun(t, []);
  await plain.say(`BDAT ${commands.length}\r\n${commands}NOOP\r\n`);
  assert.match(plain.heard(), /^502 5\.5\.1 [^\r]*\r\n$/);
  assert.doesNotMatch(plain.servers[0]!.heard, /ceo|BDAT/);
  assert.match(plain.servers[0]!.heard, /NOOP\r\n$/);
  await plain.reply('250 ok\r\n');
  await plain.say('EHLO x\r\n');
  await plain.reply('250-x\r\n250-CHUNKING\r\n250 SIZE\r\n');
  await plain.say(`MAIL FROM:<${ALICE}>\r\n`);
  await plain.reply('250 ok\r\n');
  await plain.say(`BDAT ${OWN.length} LAST\r\n${OWN}`);
  assert.ok(plain.servers[0]!.heard.endsWith(`BDAT ${OWN.length} LAST\r\n${OWN}`));
  for (const size of ['0000000000000047', '9'.repeat(16), '-1', '+5', '', '5 FIRST', '0x5']) {
    const smtp = await begun(t);
    await smtp.say(`BDAT ${size} LAST\r\n${FOREIGN}`);
    assert.match(smtp.heard(), /^501 5\.5\.4 /, size);
    assert.doesNotMatch(smtp.servers[0]!.heard, /BDAT|smuggled/);
  }
  const empty = await begun(t);
  await empty.say(`BDAT 16\r\nFrom: ceo@x.test`);
  empty.heard();
  await empty.say('BDAT 0 LAST\r\nBDAT 1 LAST\r\nx');
  assert.match(empty.heard(), /^550 5\.7\.60 /);
  assert.doesNotMatch(empty.servers[0]!.heard, /LAST/);
});

// RFC 5321 §4.1.1, RFC 4954 §5
test('A50: a separator that only this side would read is none, and what passes is written in one form', async (t) => {
  const inner =
    'RSET\r\nMAIL FROM:<ceo@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nFrom: ceo@x.test\r\n\r\nsmuggled\r\n.\r\n';
  for (const octet of ['\xa0', '\x0b', '\x0c', '\x1c', '\x85', '\0', '\x7f']) {
    const smtp = await begun(t);
    await smtp.say(`BDAT${octet}${inner.length}\r\n${inner}`);
    assert.match(smtp.heard(), /^50[02] 5\.5\./, JSON.stringify(octet));
    // The lines are commands to both sides, and each is judged: the sender is another's.
    assert.doesNotMatch(smtp.servers[0]!.heard, /BDAT|ceo/);
    const mail = scene(t, 'smtp', rules);
    await mail.say(`MAIL${octet}FROM:<${ALICE}>\r\nRCPT TO:<b@y.test${octet}> NOTIFY${octet}=NEVER\r\nNOOP\r\n`);
    assert.equal(mail.servers[0]!.heard, 'NOOP\r\n', JSON.stringify(octet));
  }
  for (const [said, passed] of [
    [` mail\tFrom: ${ALICE}  size=5 \r\n`, `MAIL FROM:<${ALICE}> SIZE=5\r\n`],
    [`MAIL FROM:<@a,@b:${ALICE}>\n`, `MAIL FROM:<${ALICE}>\r\n`],
    ['rcpt TO:<"a b"@y.test>\tNOTIFY=NEVER\r\n', 'RCPT TO:<"a b"@y.test> NOTIFY=NEVER\r\n'],
    ['RCPT TO:<b\xc3\xbc@y.test>\r\n', 'RCPT TO:<b\xc3\xbc@y.test>\r\n'],
    ['noop whatever\r\n', 'NOOP\r\n'],
    ['EHLO b\xfcro\r\n', 'EHLO localhost\r\n'],
    ['EHLO  [127.0.0.1]\r\n', 'EHLO [127.0.0.1]\r\n'],
    ['vrfy b@y.test\r\n', 'VRFY b@y.test\r\n'],
    ['data \r\n', 'DATA\r\n'],
    ['DATA x\r\n', ''],
    ['RSET \xa0\r\n', ''],
    ['RCPT TO:<b\xfc@y.test>\r\n', ''],
    ['RCPT TO:<b\xe2\x80\xa8@y.test>\r\n', ''],
    [`MAIL FROM:<${ALICE}> SUBMITTER=ceo@x.test\r\n`, ''],
    [`MAIL FROM:<${ALICE}> XVERP\r\n`, ''],
  ] as const) {
    const smtp = scene(t, 'smtp', rules);
    await smtp.say(said);
    assert.equal(smtp.servers[0]!.heard, passed, said);
  }
  const chunk = await begun(t);
  await chunk.say(`bdat \t${OWN.length}  last\r\n${OWN}`);
  assert.ok(chunk.servers[0]!.heard.endsWith(`BDAT ${OWN.length} LAST\r\n${OWN}`));
});

// RFC 3030 §2
test('A50: a chunk passes when its header was judged, with what was kept of those before it', async (t) => {
  const smtp = await begun(t);
  await smtp.say(`BDAT 5\r\nFrom:BDAT 0\r\n`);
  assert.equal(smtp.heard(), '250 2.0.0 5 octets received\r\n250 2.0.0 0 octets received\r\n');
  await smtp.say('DATA\r\n');
  assert.match(smtp.heard(), /^503 5\.5\.1 BDAT was begun/);
  await smtp.say(`BDAT 30\r\n ${ALICE}\r\n`);
  assert.doesNotMatch(smtp.servers[0]!.heard, /BDAT|DATA/);
  await smtp.say('\r\nbody');
  assert.ok(smtp.servers[0]!.heard.endsWith(`RCPT TO:<b@y.test>\r\nBDAT 35\r\nFrom: ${ALICE}\r\n\r\nbody`));
  await smtp.say('123456789BDAT 2 LAST\r\nxy');
  await smtp.reply('250 taken\r\n');
  assert.ok(smtp.servers[0]!.heard.endsWith('123456789BDAT 2 LAST\r\nxy'));
  await smtp.reply('250 all of it\r\n');
  assert.equal(smtp.heard(), '250 taken\r\n250 all of it\r\n');
  assert.deepEqual(
    smtp.relayed.map(({ octets, taken }) => [octets, taken]),
    [[37, true]],
  );
  // RSET ends it for the program and for us, and the next message begins again.
  const again = await begun(t);
  await again.say(`BDAT 5\r\nFrom:RSET\r\nMAIL FROM:<${ALICE}>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n`);
  assert.match(again.servers[0]!.heard, /RSET\r\nMAIL FROM:<[^>]*>\r\nRCPT TO:<[^>]*>\r\n$/);
  await again.reply('250 reset\r\n250 ok\r\n250 ok\r\n');
  assert.match(again.servers[0]!.heard, /DATA\r\n$/);
});

// RFC 5321 §3.8
test('A51: a server that answers in the middle of a message ends that message, not the session', async (t) => {
  for (const way of ['BDAT 100 LAST', 'BDAT 100', 'DATA'])
    for (const reply of ['421 4.3.2 shutting down', '552 5.3.4 too much']) {
      const smtp = await begun(t);
      await smtp.say(`${way}\r\n`);
      if (way === 'DATA') await smtp.reply('354 go\r\n');
      smtp.heard();
      const text = `${OWN}RSET\r\n`.padEnd(100, 'x');
      await smtp.say(text.slice(0, 60));
      await smtp.reply(`${reply}\r\n`);
      assert.equal(smtp.heard(), `${reply}\r\n`);
      const before = smtp.servers[0]!.heard;
      await smtp.say(`${text.slice(60)}${way === 'DATA' ? '\r\n.\r\n' : ''}`);
      assert.equal(smtp.servers[0]!.heard, before, 'the rest goes nowhere');
      assert.equal(smtp.heard(), '', 'it has its answer');
      assert.deepEqual(
        smtp.relayed.map(({ reply: told, taken }) => [told, taken]),
        [[reply, false]],
      );
      await smtp.say('NOOP\r\n');
      assert.equal(smtp.servers[1]?.heard, 'NOOP\r\n');
      await smtp.reply('250 ok\r\n');
      assert.equal(smtp.heard(), '250 ok\r\n');
      assert.ok(!smtp.over());
    }
  // A yes before the end, or to DATA: nobody knows what such a server takes the rest for.
  for (const [way, replies] of [
    ['DATA\r\n', ['250 ok\r\n']],
    [`BDAT 100 LAST\r\n${OWN}`, ['250 ok\r\n']],
    ['DATA\r\n', ['354 go\r\n', '250 ok\r\n']],
  ] as const) {
    const smtp = await begun(t);
    await smtp.say(way);
    for (const each of replies) await smtp.reply(each);
    const before = smtp.servers[0]!.heard;
    await smtp.say('MAIL FROM:<ceo@x.test>\r\n');
    assert.equal(smtp.servers[0]!.heard, before);
    assert.ok(smtp.over());
  }
});

// RFC 5321 §3.3
test('A1e: the sender of a message is that of the MAIL which the server accepted', async (t) => {
  const hidden = scene(t, 'smtp', rules);
  await hidden.say(`MAIL FROM:<>\r\nMAIL FROM:<${ALICE}>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n`);
  await hidden.reply('250 ok\r\n503 nested\r\n250 ok\r\n354 go\r\n');
  hidden.heard();
  await hidden.say(`${OWN}body\r\n.\r\n`);
  assert.match(hidden.heard(), /^550 5\.7\.60 the message has no envelope sender/);
  const daemon = await begun(t);
  await daemon.say('MAIL FROM:<>\r\nDATA\r\n');
  await daemon.reply('503 nested\r\n354 go\r\n');
  daemon.heard();
  await daemon.say('From: MAILER-DAEMON@x.test\r\nContent-Type: multipart/report\r\n\r\nbody\r\n.\r\n');
  assert.match(daemon.heard(), /^550 5\.7\.60 From names MAILER-DAEMON/);
  // A chunk waits for the answer to the MAIL before it.
  const chunk = scene(t, 'smtp', rules);
  await chunk.say(`MAIL FROM:<>\r\nMAIL FROM:<${ALICE}>\r\nBDAT ${OWN.length} LAST\r\n${OWN}`);
  assert.doesNotMatch(chunk.servers[0]!.heard, /BDAT/);
  await chunk.reply('250 ok\r\n503 nested\r\n');
  assert.match(chunk.heard(), /550 5\.7\.60 the message has no envelope sender/);
  assert.doesNotMatch(chunk.servers[0]!.heard, /Subject/);
});

test('A57: who is vouched for in relayed mail is the mailbox: no report of a foreign domain, no foreign submitter', async (t) => {
  const report = 'Auto-Submitted: auto-generated';
  for (const [from, passes] of [
    ['"Your Bank" <mailer-daemon@bank.example>', false],
    ['Mailer-Daemon@bank.example', false],
    ['MAILER-DAEMON@notx.test', false],
    ['MAILER-DAEMON@x.test.bank.example', false],
    ['MAILER-DAEMON@x.test', true],
    ['Mail System <mailer-daemon@vm.X.test>', true],
    ['MAILER-DAEMON@scanner', true],
    ['MAILER-DAEMON@nas.local', true],
    ['MAILER-DAEMON', true],
    ['MAILER-DAEMON <>', true],
  ] as const) {
    const smtp = scene(t, 'smtp', rules);
    await smtp.say('MAIL FROM:<>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n');
    await smtp.reply('250 ok\r\n250 ok\r\n354 go\r\n');
    smtp.heard();
    await smtp.say(`From: ${from}\r\n${report}${BODY}`);
    assert.equal(smtp.servers[0]!.heard.endsWith(BODY), passes, from);
    assert.match(smtp.heard(), passes ? /^$/ : /^550 5\.7\.60 From names mailer-daemon@/i);
  }
  for (const [given, passed] of [
    ['<ceo@bank.example>', '<>'],
    ['ceo@bank.example', '<>'],
    ['+41LICE@x.test', '+41LICE@x.test'],
    [ALICE, ALICE],
    ['<info@x.test>', '<info@x.test>'],
    ['+zz', '<>'],
    ['<>', '<>'],
  ]) {
    const smtp = scene(t, 'smtp', rules);
    await smtp.say(`MAIL FROM:<${ALICE}> AUTH=${given} SIZE=5\r\n`);
    assert.equal(smtp.servers[0]!.heard, `MAIL FROM:<${ALICE}> AUTH=${passed} SIZE=5\r\n`);
  }
});

test('A1f: a header that is none from its first line to its end does not pass', async (t) => {
  for (const header of [
    'From\x0b: ceo@x.test',
    'From\xa0: ceo@x.test',
    'From\r\n : ceo@x.test',
    '\r\nFrom: ceo@x.test',
    ' \r\nFrom: ceo@x.test',
    'garbage\r\nFrom: ceo@x.test',
    `From: ${ALICE}\r\nno field\r\nSender: ceo@x.test`,
    'Subject: x\nFrom: ceo@x.test',
    'Subject: x\0\r\nFrom: ceo@x.test',
    'Fröm: ceo@x.test',
  ])
    for (const way of ['DATA', 'BDAT']) {
      const text = `${header}${BODY}`;
      const smtp = way === 'DATA' ? (await told(t, text)).smtp : await begun(t);
      if (way === 'BDAT') await smtp.say(`BDAT ${text.length} LAST\r\n${text}`);
      else assert.doesNotMatch(smtp.servers[0]!.heard, /body\r\n\.\r\n/, header);
      assert.doesNotMatch(smtp.servers[0]!.heard, /ceo|body/, JSON.stringify(header));
      if (way === 'BDAT') assert.match(smtp.heard(), /^550 5\.6\.0 /, JSON.stringify(header));
    }
});

// RFC 5321 §2.3.8, §4.1.1
test('A1: commands that change what later octets mean do not pass, and a line ends where every server ends it', async (t) => {
  for (const command of [
    'STARTTLS',
    'AUTH PLAIN AGEAYg==',
    'BURL imap://x LAST',
    'XCLIENT LOGIN=ceo',
    'XFORWARD NAME=x',
    'TURN',
    'SEND FROM:<ceo@x.test>',
    'SOML FROM:<ceo@x.test>',
    'LHLO x',
    'X-EXPS NTLM',
    'DATA;',
  ]) {
    const smtp = scene(t, 'smtp', rules);
    await smtp.say(`${command}\r\n`);
    assert.match(smtp.heard(), /^502 5\.5\.1 /, command);
    assert.equal(smtp.servers[0]!.heard, '');
  }
  const smtp = scene(t, 'smtp', rules);
  await smtp.say('NOOP\nNOOP\n');
  assert.equal(smtp.servers[0]!.heard, 'NOOP\r\nNOOP\r\n');
  const long = scene(t, 'smtp', rules);
  await long.say(`NOOP ${' '.repeat(4000)}MAIL FROM:<ceo@x.test>\r\n`);
  assert.match(long.heard(), /^500 5\.5\.2 /);
  assert.equal(long.servers[0]!.heard, '');
});

test('A4: an address that may no longer be used is refused in a session that is open', async (t) => {
  const smtp = scene(t, 'smtp', rules);
  await smtp.say('MAIL FROM:<info@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n');
  await smtp.reply('250 ok\r\n250 ok\r\n354 go\r\n');
  smtp.heard();
  const declared = settings.sendAs;
  settings.sendAs = [];
  t.after(() => (settings.sendAs = declared));
  await smtp.say('From: info@x.test\r\n\r\nbody\r\n.\r\n');
  assert.match(smtp.heard(), /^550 5\.7\.60 From names info@x\.test/);
  await smtp.say('MAIL FROM:<info@x.test>\r\n');
  assert.match(smtp.heard(), /^550 5\.7\.60 alice@x\.test may not send as info@x\.test/);
});

// RFC 2920 §3.1
test('A6: behind an answer that is due only so many commands are read, and all are answered in order and in linear time', () => {
  const dialogue = new SmtpDialogue(rules);
  const chunk = Buffer.from('NOOP\r\nMAIL FROM:x\r\nRSET\r\n'.repeat(2000));
  let passed = dialogue.fromClient(chunk).pass.toString('latin1').length;
  assert.ok(dialogue.early, 'the program is not read');
  assert.ok(dialogue.held < 4 * chunk.length, `${dialogue.held} octets are held`);
  const out: string[] = [];
  const begin = process.threadCpuUsage();
  for (let replies = 0; replies < 4000; replies++) {
    out.push(dialogue.fromServer(Buffer.from('250 ok\r\n')).toString('latin1'));
    if (dialogue.waiting) passed += dialogue.fromClient(dialogue.takeEarly()).pass.length;
  }
  const { user, system } = process.threadCpuUsage(begin);
  assert.equal(passed, 4000 * 6);
  assert.match(out.join(''), /^250 ok\r\n(?:550 [^\r]*\r\n250 ok\r\n250 ok\r\n)*550 [^\r]*\r\n250 ok\r\n$/);
  assert.ok(dialogue.idle);
  assert.equal(dialogue.held, 0);
  assert.ok(user + system < 3_000_000, `${user + system} µs`);
});
