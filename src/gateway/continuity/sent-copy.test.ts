/** The copy of a sent message that its program stores too: left out only where the provider certainly keeps one. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { KeptSession, settle } from '../../../test/bed/kept-session.ts';
import { responseOf } from '../../protocol/imap/response.ts';
import { appendOf, ListedFolders, type OwnCopy } from './sent-copy.ts';

type Answer = 'yes' | 'not-yet' | 'no';

class Site {
  readonly session: KeptSession;
  readonly asked: OwnCopy[] = [];
  answer: Answer = 'yes';

  private constructor(session: KeptSession) {
    this.session = session;
  }

  static async start(t?: TestContext): Promise<Site> {
    let site: Site | undefined;
    const keepsCopy = (copy: OwnCopy): Promise<Answer> => {
      site!.asked.push(copy);
      return Promise.resolve(site!.answer);
    };
    const session = await KeptSession.start(undefined, { keepsCopy });
    t?.after(() => session.close());
    site = new Site(session);
    return site;
  }

  get sent(): readonly string[] {
    return this.session.mailbox.sent.messages.map(({ raw }) => raw.toString('latin1'));
  }

  letter(more: Readonly<Record<string, string>> = {}): string {
    const fields = {
      Date: new Date(this.session.clock.now()).toUTCString(),
      'Message-ID': '<1@contoso.test>',
      Subject: 'x',
      ...more,
    };
    const header = Object.entries(fields).filter(([, value]) => value !== '');
    return `${header.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\nhello {3}\r\n`;
  }

  /** APPEND, in pieces; the answer. */
  async append(letter: string, { plus = '', folder = '"Sent Items"', pieces = [letter.length] } = {}): Promise<string> {
    const { program } = this.session;
    const tag = await program.send(`APPEND ${folder} (\\Seen) {${letter.length}${plus}}`);
    await settle();
    for (let at = 0, turn = 0; at < letter.length; turn++) {
      const octets = pieces[turn % pieces.length]!;
      await program.raw(letter.slice(at, at + octets));
      at += octets;
      if (turn % 3 === 0) await settle(4);
    }
    await program.raw('\r\n');
    const answer = program.answer(tag);
    for (let turn = 0; turn < 50; turn++) {
      await settle(10);
      await this.session.clock.advance(500);
    }
    return answer;
  }
}

// RFC 9051 §6.3.12
test('M: a copy that the provider keeps is stored once, whatever way the program sends its literal and however it is cut', async () => {
  const way = fc.record({
    plus: fc.constantFrom('', '+'),
    folder: fc.constantFrom('"Sent Items"', '"Sent \\"Items"', 'INBOX'),
    pieces: fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(way, fc.constantFrom<Answer>('yes', 'no'), fc.nat(3), async (how, answer, size) => {
      const site = await Site.start();
      site.answer = answer;
      const letter = `${site.letter()}${'y'.repeat(size * 400)}`;
      const isSent = how.folder === '"Sent Items"';
      const said = await site.append(letter, how);
      const stored = isSent && answer === 'no' ? [letter] : [];
      assert.deepEqual(site.sent, stored);
      assert.equal(site.asked.length > 0, isSent);
      assert.match(said, how.folder === '"Sent \\"Items"' ? /^(?:NO|OK)/ : /^OK/);
      assert.match(await site.session.program.ask('STATUS INBOX (MESSAGES)'), /^OK/);
      assert.equal(site.session.mailbox.inbox.messages.length, how.folder === 'INBOX' ? 1 : 0);
      assert.deepEqual(site.session.log, []);
      site.session.close();
    }),
    { numRuns: 60 },
  );
});

test('M: what may be the only copy is stored: older, with blind recipients, without or with two Message-IDs, a header without end', async (t) => {
  const site = await Site.start(t);
  const now = site.session.clock.now();
  const letters = [
    site.letter({ Date: new Date(now - 16 * 60_000).toUTCString() }),
    site.letter({ Date: new Date(now + 3_600_000).toUTCString() }),
    site.letter({ Date: 'yesterday' }),
    site.letter({ Bcc: 'boss@contoso.test' }),
    site.letter({ 'Message-ID': '' }),
    site.letter({ 'message-id': '<2@contoso.test>' }),
    `X: ${'x'.repeat(70_000)}\r\n${site.letter()}`,
    'no header',
  ];
  for (const letter of letters) assert.match(await site.append(letter, { plus: '+' }), /^OK/);
  assert.deepEqual(site.sent, letters);
  assert.deepEqual(site.asked, []);
});

test('P82: a copy that is stored although it could look like ours is a line in the log, with the reason', async (t) => {
  const site = await Site.start(t);
  await site.append(site.letter({ Date: new Date(site.session.clock.now() - 16 * 60_000).toUTCString() }));
  await site.append(site.letter({ Bcc: 'boss@contoso.test' }));
  site.answer = 'no';
  await site.append(site.letter());
  await site.append(site.letter({ Date: 'yesterday' }), { folder: 'INBOX' });
  const said = site.session.whys.map(String);
  assert.equal(said.length, 3, said.join('; '));
  for (const [at, words] of [
    /Date is not of the last 15 minutes/,
    /Bcc/,
    /took no message of this Message-ID/,
  ].entries())
    assert.match(said[at]!, words);
});

test('M: a message that is on its way is waited for ten seconds, then its copy is stored', async (t) => {
  const site = await Site.start(t);
  site.answer = 'not-yet';
  const letter = site.letter();
  assert.match(await site.append(letter), /^OK/);
  assert.deepEqual(site.sent, [letter]);
  assert.ok(site.asked.length > 10);
  const soon = site.append(letter);
  site.answer = 'yes';
  assert.match(await soon, /^OK/);
  assert.equal(site.sent.length, 1);
});

test('M: a refusal of the server is the program’s answer, and the message it had asked for goes nowhere', async (t) => {
  const site = await Site.start(t);
  site.answer = 'no';
  const { session } = site;
  const letter = site.letter();
  await site.append(letter); // the folders are known from here on
  const tag = await session.program.send(`APPEND "Sent Items" {${letter.length}}`);
  await session.program.raw(`${letter}\r\n`);
  session.saysNext(`${tag} NO [OVERQUOTA] full\r\n`);
  const answer = session.program.answer(tag);
  for (let turn = 0; turn < 5; turn++) await session.pass(500);
  assert.match(await answer, /^NO \[OVERQUOTA\]/);
  assert.doesNotMatch(session.heard[0]!, /hello.*hello/s);
  assert.equal(site.sent.length, 1);
});

test('M: when the server goes away meanwhile the copy is left out, or the session ends and the message is not stored', async (t) => {
  const site = await Site.start(t);
  const { session } = site;
  const letter = site.letter();
  await site.append(letter);
  for (const answer of ['yes', 'no'] as const) {
    const refusals = [new Error('away'), new Error('away')];
    site.answer = 'not-yet';
    const tag = await session.program.send(`APPEND "Sent Items" {${letter.length}+}`);
    await session.program.raw(`${letter}\r\n`);
    await settle();
    session.refusals.push(...refusals);
    session.cut();
    await settle();
    site.answer = answer;
    const said = session.program.answer(tag).catch(String);
    await session.clock.advance(1_500);
    await settle();
    if (answer === 'no') {
      assert.match(await said, /\* BYE \[UNAVAILABLE\] .* the message was not stored; connect again/);
      break;
    }
    assert.match(await said, /^OK/);
    await session.pass(5_000);
    const noop = session.program.ask('NOOP');
    await session.pass(60_000);
    assert.match(await noop, /^OK/);
  }
  assert.deepEqual(site.sent, []);
});

test('M: of several messages in one APPEND none is left out unsaid', async (t) => {
  const site = await Site.start(t);
  const letter = site.letter();
  const { program } = site.session;
  const tag = await program.send(`APPEND "Sent Items" {${letter.length}+}`);
  await program.raw(`${letter} (\\Seen) {${letter.length}+}\r\n${letter}\r\n`);
  assert.match(await program.answer(tag), /^NO \[CANNOT\]/);
  assert.match(await program.ask('NOOP'), /^OK/);
});

test('M: names of folders as programs and servers write them', () => {
  const named = (line: string): string | undefined => appendOf(line)?.mailbox;
  assert.equal(named('APPEND Sent {3}'), 'Sent');
  assert.equal(named('append "a \\"b" (\\Seen $X) "01-Jan-2026 10:00:00 +0000" {3+}'), 'a "b');
  assert.equal(named('APPEND {4}'), undefined);
  assert.equal(named('APPEND Sent UTF8 (~{3}'), undefined);
  assert.equal(named('APPEND Sent ~{3}'), undefined);
  assert.equal(named('APPEND Sent {0}'), undefined);
});

test('folders that are listed for us alone are not for the program; a name in a literal, still to come, is', async () => {
  const listed = new ListedFolders();
  const heard = (line: string): boolean => listed.heard(responseOf([line])!);
  assert.equal(heard('* LIST () "/" Sent'), false, 'nobody asked');
  const folders = await listed.ask(() => {
    assert.ok(heard('* LIST (\\HasNoChildren \\Sent) "/" "Sent Items"'));
    assert.ok(heard('* LIST () NIL Sent'));
    assert.ok(!heard('* LIST () "/" {4}') && !heard('* LSUB x'));
    return Promise.resolve('OK');
  });
  assert.deepEqual(
    folders?.map(({ name, flags }) => [name, flags]),
    [
      ['Sent Items', ['\\HasNoChildren', '\\Sent']],
      ['Sent', []],
    ],
  );
});
