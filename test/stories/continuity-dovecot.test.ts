/** Sessions moved at a real server with CONDSTORE and QRESYNC: Dovecot, kicked out and with tokens of a few seconds. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ImapProgram } from '../bed/imap-program.ts';
import { startInstallation } from '../bed/installation.ts';
import { ALICE, type MailSite, startMailSite } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';

const skip = without('dovecot-imapd', 'postfix');
/** Seconds a token lives in the last test; the move is due after three quarters. */
const SHORT = 8;
const PATIENCE_MS = 20_000;

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

function deliver(count: number): void {
  for (let n = 0; n < count; n++)
    site.dovecot.deliver(ALICE, `From: bob@contoso.test\r\nSubject: ${n}\r\n\r\nhello\r\n`);
}

/** Waits until the gateway's log says so, or the time is over. */
async function logged(pattern: RegExp, times: number, { output } = installation.serving): Promise<void> {
  const found = (): number =>
    output()
      .split('\n')
      .filter((line) => pattern.test(line)).length;
  for (const end = performance.now() + PATIENCE_MS; found() < times; await delay(50))
    assert.ok(performance.now() < end, `not logged: ${String(pattern)}\n${output().slice(-2000)}`);
}

async function another(...commands: readonly string[]): Promise<void> {
  const other = await ImapProgram.open(installation.serving.door);
  await other.ask('SELECT INBOX');
  for (const command of commands) await other.ask(command);
  await other.ask('LOGOUT');
}

test(
  'with QRESYNC what changed while the server was gone is told as VANISHED, EXISTS and by MODSEQ',
  { skip },
  async () => {
    site.dovecot.clear(ALICE);
    deliver(3);
    const session = await ImapProgram.open(installation.serving.door);
    await session.ask('ENABLE QRESYNC');
    await session.ask('SELECT INBOX');
    const first = await session.ask('FETCH 1:* (UID FLAGS)');
    const uids = [...first.matchAll(/UID (\d+)/g)].map(([, uid]) => Number(uid));
    site.dovecot.kick(ALICE);
    await logged(/the provider ended the session/, 1);
    await another('STORE 1 +FLAGS (\\Answered)', 'STORE 2 +FLAGS (\\Deleted)', 'EXPUNGE');
    deliver(1);
    const told = await session.ask('NOOP');
    assert.match(told, new RegExp(`^\\* VANISHED ${uids[1]}\r\n`, 'm'));
    assert.match(told, /^\* 3 EXISTS\r\n/m);
    assert.match(
      told,
      new RegExp(`^\\* 1 FETCH \\(UID ${uids[0]} FLAGS \\([^)]*\\\\Answered[^)]*\\) MODSEQ \\(\\d+\\)\\)\r\n`, 'm'),
    );
    assert.doesNotMatch(told, /^\* 2 FETCH/m, 'what did not change is not told');
    await session.ask('LOGOUT');
    session.wire.destroy();
  },
);

test('without extensions all flags are told again, EXPUNGE before', { skip }, async () => {
  site.dovecot.clear(ALICE);
  deliver(3);
  const session = await ImapProgram.open(installation.serving.door);
  await session.ask('SELECT INBOX');
  await session.ask('FETCH 1:* (UID FLAGS)');
  site.dovecot.kick(ALICE);
  await logged(/the provider ended the session/, 2);
  await another('STORE 1 +FLAGS (\\Answered)', 'STORE 2 +FLAGS (\\Deleted)', 'EXPUNGE');
  const told = await session.ask('NOOP');
  assert.match(told, /^\* 2 EXPUNGE\r\n(?:.*\r\n)*?\* 1 FETCH \(FLAGS \([^)]*\\Answered[^)]*\)\)\r\n\* 2 FETCH /m);
  assert.doesNotMatch(told, /CAPABILITY|EXISTS|MODSEQ/);
  await session.ask('LOGOUT');
  session.wire.destroy();
});

test('in IDLE a session is moved before its token of a few seconds ends', { skip }, async () => {
  site.dovecot.clear(ALICE);
  deliver(2);
  site.authority.ttl = SHORT;
  const { serving, stop } = await startInstallation(site);
  try {
    const first = await ImapProgram.open(serving.door);
    await first.ask('SELECT INBOX');
    first.wire.send('i IDLE\r\n');
    await first.wire.until(/^\+ .*\r\n/m);
    await logged(/session moved to a new connection/, 1, serving);
    deliver(1);
    await first.wire.until(/^\* 3 EXISTS\r\n/m);
    first.wire.send('DONE\r\n');
    assert.match(await first.wire.until(/^i .*\r\n/m), /^i OK/m);
    first.wire.destroy();
  } finally {
    site.authority.ttl = 3600;
    await stop();
  }
});
