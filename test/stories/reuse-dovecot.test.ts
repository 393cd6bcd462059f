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
