/** A real server's sessions that go on with the next program: Dovecot, with a mailbox selected and messages marked to be deleted. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ImapProgram } from '../bed/imap-program.ts';
import { startInstallation } from '../bed/installation.ts';
import { ALICE, type MailSite, startMailSite } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';

const skip = without('dovecot-imapd', 'postfix');

/** The server has to answer UNSELECT before a session can be used again; who comes sooner gets a new one. */
const REST_MS = 300;

let site: MailSite;
let installation: Awaited<ReturnType<typeof startInstallation>>;
before(async () => {
  if (skip) return;
  site = await startMailSite('jwt');
  installation = await startInstallation(site);
});
after(async () => {
  await installation?.stop();
  await site?.stop();
});

/** How many sign-ins there were, and how many of them went on in another's session. */
function signIns(): { all: number; reused: number } {
  const lines = installation.serving
    .output()
    .split('\n')
    .filter((line) => line.includes('"signed in"'));
  return { all: lines.length, reused: lines.filter((line) => line.includes('"reused":true')).length };
}

async function open(): Promise<ImapProgram> {
  return ImapProgram.open(installation.serving.door);
}

async function leave(program: ImapProgram): Promise<void> {
  assert.match(await program.ask('LOGOUT'), /^\* BYE /m);
  await program.wire.closed();
  await delay(REST_MS);
}

test('the next program finds nothing selected, nothing expunged, and the same mail', { skip }, async () => {
  site.dovecot.clear(ALICE);
  for (let n = 0; n < 3; n++) site.dovecot.deliver(ALICE, `Subject: ${n}\r\n\r\nhello\r\n`);
  const first = await open();
  await first.ask('SELECT INBOX');
  await first.ask('STORE 2 +FLAGS (\\Deleted)');
  await leave(first);

  const second = await open();
  await second.ask('FETCH 1 (FLAGS)', 'BAD'); // nothing is selected
  const selected = await second.ask('SELECT INBOX');
  assert.match(selected, /^\* 3 EXISTS/m);
  assert.match(await second.ask('FETCH 2 (FLAGS)'), /\\Deleted/);
  assert.doesNotMatch(await second.ask('EXAMINE INBOX'), /MODSEQ \(/);
  await leave(second);

  for (let round = 0; round < 5; round++) {
    const program = await open();
    assert.match(await program.ask('STATUS INBOX (MESSAGES)'), /MESSAGES 3/);
    await leave(program);
  }
  const { all, reused } = signIns();
  assert.equal(all, 7);
  assert.ok(reused >= 4, `${reused} of 6 went on in a session that was there`);
});

test('a session that the server has ended meanwhile costs the next program nothing', { skip }, async () => {
  await leave(await open());
  const before = signIns();
  site.dovecot.kick(ALICE);
  const program = await open();
  await program.ask('SELECT INBOX');
  await leave(program);
  assert.equal(signIns().all, before.all + 1);
});

/** Each leaves something in Dovecot that the program's own commands do not name; the next program must not meet it. */
const smuggled: Readonly<Record<string, (program: ImapProgram) => Promise<void>>> = {
  'commands in a quoted literal that is refused': async (program) => {
    const inside = 'x2 ENABLE QRESYNC\r\nx3 NOOP\r\n\r\n';
    program.wire.send(`x1 STATUS "{${inside.length}+}\r\n${inside}\r\n`);
    await program.wire.until(/^x3 /m);
  },
  'an upload that waits in a literal that is refused': async (program) => {
    const inside = 'x2 APPEND INBOX {600+}\r\n';
    program.wire.send(`x1 STATUS "{${inside.length}+}\r\n${inside}\r\n`);
    await program.wire.until(/^x1 /m);
  },
  'an upload that waits behind a command without arguments': async (program) => {
    const inside = 'x2 APPEND INBOX {600+}\r\n';
    program.wire.send(`x1 NOOP {${inside.length}+}\r\n${inside}\r\n`);
    await program.wire.until(/^x1 /m);
  },
  'an upload that waits behind an argument too many': async (program) => {
    const inside = 'x2 APPEND INBOX {600+}\r\n';
    program.wire.send(`x1 SUBSCRIBE INBOX {${inside.length}+}\r\n${inside}\r\n`);
    await program.wire.until(/^x1 /m);
  },
  'a selection behind an IDLE that ends at once': async (program) => {
    program.wire.send('x1 IDLE x\r\nx2 SELECT INBOX\r\n');
    await program.wire.until(/^x1 /m);
  },
};
for (const [name, smuggle] of Object.entries(smuggled))
  test(`S2: the next program does not meet ${name}`, { skip }, async () => {
    site.dovecot.clear(ALICE);
    for (let n = 0; n < 3; n++) site.dovecot.deliver(ALICE, `Subject: ${n}\r\n\r\nhello\r\n`);
    const first = await open();
    await first.ask('STATUS INBOX (MESSAGES)');
    await smuggle(first);
    first.wire.send('z LOGOUT\r\n');
    await delay(REST_MS);
    first.wire.destroy();
    await delay(REST_MS);

    const before = signIns();
    const second = await open();
    await second.ask('FETCH 1 (FLAGS)', 'BAD'); // nothing is selected
    assert.doesNotMatch(await second.ask('SELECT INBOX'), /HIGHESTMODSEQ.*CLOSED|VANISHED/);
    await second.ask('STORE 1 +FLAGS (\\Deleted)');
    assert.match(await second.ask('EXPUNGE'), /^\* 1 EXPUNGE/m);
    assert.equal(signIns().reused, before.reused, 'it got a session of its own');
    await leave(second);
  });

test('S2: programs that use literals and quotes as they should still leave sessions for others', { skip }, async () => {
  site.dovecot.clear(ALICE);
  const letter = 'Subject: x\r\n\r\nhello\r\n';
  const first = await open();
  await first.ask(`APPEND "INBOX" (\\Seen) {${letter.length}+}\r\n${letter}`);
  await first.ask('SELECT {5+}\r\nINBOX');
  await first.ask('SEARCH OR SUBJECT {1+}\r\nx FROM "a \\"quoted\\" name"');
  await first.ask('UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])');
  await leave(first);
  const before = signIns();
  await leave(await open());
  assert.equal(signIns().reused, before.reused + 1);
});
