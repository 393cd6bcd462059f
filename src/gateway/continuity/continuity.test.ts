/** Sessions that go on: by name what happens when a token or a server ends, and in random play that the client's view stays true. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KeptSession, type Serve, SessionOver, settle, sorted } from '../../../test/bed/kept-session.ts';
import { selected, start } from '../../../test/bed/selected-session.ts';
import { assertLost, fallSilent } from '../../../test/bed/lost-session.ts';
import { upstreamError } from '../../upstream/errors.ts';

const HOUR = 3_600_000;

function checkView({ program, mailbox }: KeptSession): void {
  const truth = mailbox.inbox.messages.map(({ uid, flags }) => ({ uid, flags: sorted(flags) }));
  assert.deepEqual(
    program.messages.map((known, at) => ({ uid: known.uid ?? truth[at]?.uid, flags: known.flags ?? truth[at]?.flags })),
    truth,
  );
}

test('in IDLE a session is moved before its token ends, and the client hears of nothing but mail', async (t) => {
  const session = await start(t);
  const { program, mailbox } = session;
  await selected(session);
  const idle = await program.idle();
  assert.ok('tag' in idle);
  for (let hour = 1; hour <= 10; hour++) {
    const [first] = mailbox.inbox.messages;
    mailbox.inbox.setFlags(first!, [...first!.flags, hour % 2 ? '\\Flagged' : '\\Seen'], 'another client');
    mailbox.inbox.add(Buffer.from('x'), 0);
    if (hour > 2) mailbox.inbox.remove([mailbox.inbox.messages[1]!]);
    await session.pass(HOUR);
    assert.ok(session.moves.length >= hour, `moved ${session.moves.length} times in ${hour} hours`);
  }
  assert.ok(session.moves.every((cause) => cause === 'token-ends'));
  assert.match(await program.done(idle.tag), /^OK/);
  await program.ask('NOOP');
  checkView(session);
  assert.deepEqual(session.log, []);
  assert.equal(program.lines.length, 0);
});

test('between commands a session is moved before its token ends', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(HOUR);
  session.mailbox.inbox.add(Buffer.from('x'), 0);
  assert.deepEqual(session.moves, ['token-ends']);
  assert.match(await session.program.ask('NOOP'), /^OK/);
  checkView(session);
  assert.match(session.heard[0]!, /LOGOUT/);
  assert.match(session.heard[1]!, /SELECT "INBOX"/);
});

// RFC 9051 §7.5.1
test('with a message expunged meanwhile the move waits for a command that may tell it', async (t) => {
  const session = await start(t);
  await selected(session);
  const { inbox } = session.mailbox;
  inbox.remove([inbox.messages[1]!]);
  await session.clock.advance(HOUR - 5000);
  await settle();
  assert.deepEqual(session.moves, []);
  assert.match(await session.program.ask('NOOP'), /^OK/);
  await settle();
  assert.deepEqual(session.moves, ['token-ends']);
  checkView(session);
});

test('an expunged message cannot be told to a FETCH: it is refused, and NOOP tells', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(2_500);
  const { inbox } = session.mailbox;
  inbox.remove([inbox.messages[1]!]);
  session.cut();
  await settle();
  assert.match(await session.program.ask('FETCH 3 (FLAGS)'), /^NO \[EXPUNGEISSUED\]/);
  assert.match(await session.program.ask('NOOP'), /^OK/);
  checkView(session);
  assert.match(await session.program.ask('FETCH 2 (UID FLAGS)'), /^OK/);
  checkView(session);
});

test('a server that goes away in IDLE is replaced at once', async (t) => {
  const session = await start(t);
  await selected(session);
  const idle = await session.program.idle();
  assert.ok('tag' in idle);
  const { inbox } = session.mailbox;
  for (let time = 0; time < 5; time++) {
    session.cut();
    inbox.remove([inbox.messages[0]!]);
    inbox.add(Buffer.from('x'), 0, ['\\Flagged']);
    inbox.setFlags(inbox.messages[1]!, ['\\Seen'], 'another client');
    await settle(200);
  }
  assert.deepEqual(session.moves, Array(5).fill('server-gone'));
  assert.match(await session.program.done(idle.tag), /^OK/);
  await session.program.ask('NOOP');
  checkView(session);
});

test('the end of the token that nobody announced is survived by the next command', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  await session.tenantClock.advance(2 * HOUR);
  session.mailbox.inbox.add(Buffer.from('x'), 0);
  assert.match(await session.program.ask('NOOP'), /^OK/);
  assert.deepEqual(session.moves, ['server-gone']);
  checkView(session);
  await session.tenantClock.advance(2 * HOUR);
  await assertLost(session, session.program.ask('STORE 1 +FLAGS (\\Deleted)'));
});

// RFC 9051 §2.3.1.1
test('a mailbox that is another one now ends the session', async (t) => {
  const session = await start(t);
  session.mailbox.create('Work').add(Buffer.from('x'), 0);
  assert.match(await session.program.ask('SELECT Work'), /^OK/);
  await session.pass(11_000);
  session.mailbox.delete(session.mailbox.find('Work')!);
  session.mailbox.create('Work').add(Buffer.from('y'), 0);
  session.cut();
  await settle();
  await assert.rejects(session.program.ask('NOOP'), (error) => {
    assert.ok(error instanceof SessionOver);
    assert.match(error.message, /^\* BYE the mailbox has changed at the provider; connect again$/);
    return true;
  });
});

test('without consent the client is told so, and an outage is waited for', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  for (let time = 0; time < 3; time++)
    session.refusals.push(upstreamError('gateway.provider-unreachable', 'the provider is away'));
  session.cut();
  await settle();
  const noop = session.program.ask('NOOP');
  for (let second = 0; second < 10; second++) await session.pass(1000);
  assert.match(await noop, /^OK/);
  session.refusals.push(upstreamError('gateway.consent-needed', 'the consent for alice@contoso.test has ended'));
  session.cut();
  await settle();
  await assert.rejects(session.program.ask('NOOP'), /\* BYE the consent for alice@contoso\.test has ended/);
});

// RFC 9051 §6.1.3
test('LOGOUT needs no new server', async (t) => {
  const session = await start(t);
  await selected(session);
  session.cut();
  await settle();
  await session.program.raw('z LOGOUT\r\n');
  await assert.rejects(session.program.answer('z'), /\* BYE signing off/);
  await settle();
  assert.equal(session.heard.length, 1);
  assert.ok(session.ended);
});

// RFC 9051 §7.2.2
test('capabilities that cannot be kept are hidden, and refused when used anyway', async (t) => {
  const session = await start(t);
  await session.program.ask('CAPABILITY');
  assert.doesNotMatch(session.program.lines.join(), /AUTH=|SASL-IR/);
  for (const command of ['COMPRESS DEFLATE', 'NOTIFY NONE', 'UNAUTHENTICATE'])
    assert.match(await session.program.ask(command), /^BAD/);
  assert.match(await session.program.ask('ENABLE IMAP4rev2'), /^OK/);
  assert.doesNotMatch(session.heard.join(), /COMPRESS|NOTIFY|UNAUTHENTICATE|ENABLE/);
});

test('an IDLE of hours is renewed at the server before the limit', async (t) => {
  const session = await start(t);
  await selected(session);
  const idle = await session.program.idle();
  assert.ok('tag' in idle);
  await session.pass(40 * 60_000);
  session.mailbox.inbox.add(Buffer.from('x'), 0);
  await settle();
  assert.match(session.heard[0]!, /DONE\r\na3 IDLE\r\n$/);
  assert.match(await session.program.done(idle.tag), /^OK/);
  checkView(session);
});

test('F21: an APPEND that is cut ends the session, and the rest of its literal is not taken for commands', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  await session.program.raw('z1 APPEND INBOX {30+}\r\nhalf of it');
  await settle();
  session.cut();
  await settle();
  await session.program.raw('z9 LOGOUT\r\nz8 LOGOUT\r\n\r\n');
  await assertLost(session, session.program.answer('z1'));
  assert.doesNotMatch(session.program.lines.join(), /signing off/);
  assert.equal(session.heard.length, 1);
});

test('L11: in a half-open connection a command that reads is sent again on a new session within two minutes', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  await fallSilent(session);
  const before = session.clock.now();
  const noop = session.program.ask('NOOP');
  while (session.moves.length === 0 && session.clock.now() - before < 900_000) await session.pass(5_000);
  assert.match(await noop, /^OK/);
  assert.ok(session.clock.now() - before <= 95_000, `${session.clock.now() - before} ms`);
  await fallSilent(session);
  const fetch = session.program.ask('FETCH 1 (FLAGS)');
  await settle();
  await session.pass(95_000);
  assert.match(await fetch, /^OK/);
  checkView(session);
});

test('L11, F21: in a half-open connection a command that changes something ends the session within two minutes', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  await fallSilent(session);
  const store = assertLost(session, session.program.ask('STORE 1 +FLAGS (\\Flagged)'));
  await settle();
  await session.pass(95_000);
  await store;
});

/** Says nothing for so long before it answers SEARCH or COPY. */
const slow =
  (ms: number): Serve =>
  async (conn, { clock }) => {
    await conn.write('* OK ready\r\n');
    for (;;) {
      const line = (await conn.line(4096))?.toString('latin1');
      if (line === undefined) return;
      const [tag, verb] = line.split(' ');
      if (verb === 'SEARCH' || verb === 'COPY') await clock.sleep(ms);
      const told = verb === 'CAPABILITY' ? '* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2\r\n' : '';
      await conn.write(`${told}${tag} OK done\r\n`);
    }
  };

test('L11: a server that works in silence on a SEARCH or COPY has nearly five minutes', async (t) => {
  for (const command of ['SEARCH BODY x', 'COPY 1:* Archive']) {
    const session = await start(t, 0, slow(280_000));
    const answer = session.program.ask(command);
    await settle();
    await session.pass(280_000);
    assert.match(await answer, /^OK done/);
    assert.deepEqual(session.moves, []);
  }
  const lost = await start(t, 0, slow(HOUR / 4));
  const copy = assertLost(lost, lost.program.ask('COPY 1:* Archive'));
  await settle();
  await lost.pass(300_000);
  await copy;
});

test('L11: an IDLE whose server is gone without a word is noticed when it is renewed', async (t) => {
  const session = await start(t);
  await selected(session);
  const idle = await session.program.idle();
  assert.ok('tag' in idle);
  await session.pass(10_000);
  await fallSilent(session);
  await session.pass(31 * 60_000);
  assert.deepEqual(session.moves, ['server-gone']);
  session.mailbox.inbox.add(Buffer.from('x'), 0);
  await settle();
  assert.match(await session.program.done(idle.tag), /^OK/);
  checkView(session);
});

test('L11: a client that takes two minutes over its literal is not taken for a silent server', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.program.raw('z1 APPEND INBOX {30+}\r\nhalf of it');
  await session.pass(150_000);
  await session.program.raw(`${'x'.repeat(20)}\r\n`);
  assert.match(await session.program.answer('z1'), /^OK/);
  assert.deepEqual(session.moves, []);
});

test('B11, F21: a FETCH that was complete but for its last line ends the session: programs take NO for a verdict on the message', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  await session.program.ask('FETCH 1 (FLAGS)');
  session.cutAfter(`${session.program.lines[0]!}\r\n`.length);
  await assertLost(session, session.program.ask('FETCH 1 (FLAGS)'));
});

/** Takes lines of any length, and says OK to all of them. */
const patient: Serve = async (conn) => {
  await conn.write('* OK ready\r\n');
  for (;;) {
    const line = (await conn.line(4 * 1024 * 1024))?.toString('latin1');
    if (line === undefined) return;
    const [tag, verb] = line.split(' ');
    const told =
      verb === 'SELECT'
        ? '* 3 EXISTS\r\n'
        : verb === 'CAPABILITY'
          ? '* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2\r\n'
          : '';
    await conn.write(`${told}${tag} OK done\r\n`);
  }
};

test('L20: a command over 64 KiB in two parts passes, one over the limit is refused with BYE', async (t) => {
  const session = await start(t, 0, patient);
  const set = Array.from({ length: 12_000 }, () => 12345).join(',');
  await session.program.raw(`z1 UID FETCH ${set.slice(0, 66_000)}`);
  await settle();
  await session.program.raw(`${set.slice(66_000)} (FLAGS)\r\n`);
  assert.match(await session.program.answer('z1'), /^OK/);
  for (let part = 0; part < 17; part++)
    await session.program.raw(`${part === 0 ? 'z2 SEARCH ' : ''}${'1,'.repeat(32_768)}`);
  assert.match(await session.program.answer('z2'), /^BAD \[TOOBIG\]/);
  await assert.rejects(session.program.answer('z3'), /\* BYE \[TOOBIG\]/);
});

test('L20: what is sent while the gateway asks the server itself passes afterwards, however much it is', async (t) => {
  const session = await start(t, 0, patient);
  assert.match(await session.program.ask('SELECT INBOX'), /^OK/);
  await session.clock.advance(2_000); // it asks for UIDs now
  const command = `z1 UID FETCH ${'1,'.repeat(40_000)}1 (FLAGS)\r\n`;
  await session.program.raw(command);
  assert.match(await session.program.answer('z1'), /^OK/);
  await session.program.raw(command.replace('z1', 'z2'));
  assert.match(await session.program.answer('z2'), /^OK/);
});

test('L12: what is not IMAP never reaches the program: a command that reads is sent again, another ends the session', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  session.say('Server Unavailable. 15\r\n');
  assert.match(await session.program.ask('NOOP'), /^OK/);
  assert.deepEqual(session.moves, ['server-gone']);
  session.saysNext('HTTP/1.1 503 Service Unavailable\r\n\r\n');
  await assertLost(session, session.program.ask('STORE 1 +FLAGS (\\Flagged)'));
});
