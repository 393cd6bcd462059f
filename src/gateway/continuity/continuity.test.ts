/** Sessions that go on: by name what happens when a token or a server ends, and in random play that the client's view stays true. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { KeptSession, SessionOver, settle, sorted } from '../../../test/bed/kept-session.ts';
import { gatewayError } from '../errors.ts';

const HOUR = 3_600_000;

async function start(t: TestContext, messages = 3): Promise<KeptSession> {
  const session = await KeptSession.start();
  t.after(() => session.close());
  for (let n = 0; n < messages; n++) session.mailbox.inbox.add(Buffer.from(`Subject: ${n}\r\n\r\nhello\r\n`), 0);
  return session;
}

/** Selects and learns everything; the UIDs are asked for by the gateway on its own once the client is silent. */
async function selected(session: KeptSession, verb = 'SELECT'): Promise<void> {
  assert.match(await session.program.ask(`${verb} INBOX`), /^OK/);
  if (session.mailbox.inbox.messages.length > 0) await session.program.ask('FETCH 1:* (UID FLAGS)');
}

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
  assert.match(await session.program.ask('STORE 1 +FLAGS (\\Deleted)'), /^NO \[UNAVAILABLE\]/);
  assert.match(await session.program.ask('STORE 1 +FLAGS (\\Deleted)'), /^OK/);
  checkView(session);
});

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
    session.refusals.push(gatewayError('gateway.provider-unreachable', 'the provider is away'));
  session.cut();
  await settle();
  const noop = session.program.ask('NOOP');
  for (let second = 0; second < 10; second++) await session.pass(1000);
  assert.match(await noop, /^OK/);
  session.refusals.push(gatewayError('gateway.consent-needed', 'the consent for alice@contoso.test has ended'));
  session.cut();
  await settle();
  await assert.rejects(session.program.ask('NOOP'), /\* BYE the consent for alice@contoso\.test has ended/);
});

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

test('an APPEND that is cut is refused, and the rest of its literal is not taken for commands', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  await session.program.raw('z1 APPEND INBOX {30+}\r\nhalf of it');
  await settle();
  session.cut();
  await settle();
  await session.program.raw('z9 LOGOUT\r\nz8 LOGOUT\r\n\r\n');
  assert.match(await session.program.answer('z1'), /^NO \[UNAVAILABLE\]/);
  assert.match(await session.program.ask('NOOP'), /^OK/);
  checkView(session);
});
