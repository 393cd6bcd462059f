/** Whatever the command line sets it also shows: a held mailbox everywhere where somebody looks for mail, and how mail leaves. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';

const ALICE = 'alice@contoso.test';
const REASON = 'wrong template';
const ANY = Array.from({ length: 128 }, (_, code) => code);

let site: SandboxGateway;
before(async () => {
  site = await startSandboxGateway();
});
after(() => site?.stop());

/** Both outputs, as a person sees them. */
async function seen(args: readonly string[], input?: string): Promise<string> {
  const done = await site.cli(args, { accept: ANY, ...(input === undefined ? {} : { input }) });
  return done.stdout.toString() + done.stderr;
}
async function json<T>(args: readonly string[]): Promise<T> {
  return JSON.parse((await site.cli([...args, '--json'], { accept: ANY })).stdout.toString()) as T;
}

test('P42: a held mailbox is seen wherever somebody looks for its mail, with the reason and the way out', async () => {
  await seen(['outbox', 'hold', ALICE, '--reason', REASON]);
  const sent = await site.cli(['sendmail', '-f', ALICE, 'bob@contoso.test', '--json'], { input: 'Subject: x\n\nx\n' });
  const { id } = JSON.parse(sent.stdout.toString()) as { id: string };
  const held = new RegExp(
    `nothing of ${ALICE} is sent: held since \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d UTC by .+: ${REASON}`,
  );
  const next = new RegExp(`postern (?:--home \\S+ )?outbox release ${ALICE}`);
  for (const args of [
    ['outbox', 'list'],
    ['outbox', 'show', id],
    ['outbox', 'retry', id],
    ['mailbox', 'show', ALICE],
    ['check', ALICE],
    ['check', '--installation'],
  ]) {
    const text = await seen(args);
    assert.match(text, held, args.join(' '));
    assert.match(text, next, args.join(' '));
    assert.doesNotMatch(text, /waits \(due/, args.join(' '));
  }
  assert.match(await seen(['outbox', 'list']), new RegExp(`${id} .* held with its mailbox: ${REASON}`));
  assert.match(await seen(['mailbox', 'list']), new RegExp(`${ALICE} .* not: held`));
  assert.match(await seen(['events']), new RegExp(`mailbox\\.held.*${ALICE}.*${REASON}`));

  type Held = { readonly reason: string; readonly since: string | number };
  const { messages, heldMailboxes } = await json<{
    messages: { mailboxHeld: Held; state: { type: string } }[];
    heldMailboxes: (Held & { mailbox: string })[];
  }>(['outbox', 'list']);
  assert.deepEqual([messages[0]?.mailboxHeld.reason, messages[0]?.state.type], [REASON, 'queued']);
  assert.deepEqual([heldMailboxes[0]?.mailbox, heldMailboxes[0]?.reason], [ALICE, REASON]);
  assert.match(String(heldMailboxes[0]?.since), /^\d{4}-\d\d-\d\dT/);
  assert.equal((await json<{ held: Held }>(['mailbox', 'show', ALICE])).held.reason, REASON);

  assert.match(await seen(['outbox', 'release', ALICE]), /is sent again/);
  assert.match(await seen(['outbox', 'release', ALICE]), /was not held/);
  assert.match(await seen(['events']), /mailbox\.released/);
  assert.doesNotMatch(await seen(['outbox', 'show', id]), /held/);
});

test('P42: how mail of a mailbox leaves, as whom and by which way is shown where it is looked for', async () => {
  await seen(['mailbox', 'set', ALICE, '--outgoing', 'outbox', '--send-as', 'sales@contoso.test', '--route', 'graph']);
  assert.match(
    await seen(['mailbox', 'show', ALICE]),
    /^mail {7}leaves through the outbox, also as sales@contoso\.test, by graph$/m,
  );
  assert.match(await seen(['mailbox', 'list']), new RegExp(`${ALICE} .* by the outbox`));
  const { outgoing, sendAs, routes, held } = await json<Record<string, unknown>>(['mailbox', 'show', ALICE]);
  assert.deepEqual([outgoing, sendAs, routes, held], ['outbox', ['sales@contoso.test'], ['graph'], null]);

  await seen(['password', 'add', '--mailbox', ALICE, '--label', 'direct', '--outgoing', 'direct']);
  const rows = await json<{ label: string; outgoing: string | null }[]>(['password', 'list']);
  assert.equal(rows.find(({ label }) => label === 'direct')?.outgoing, 'direct');
  assert.match(await seen(['password', 'list']), /^\S+ +direct +.* directly /m);
});

test('P46: audit show says when there are older records than it shows, and which to ask for', async () => {
  assert.match(
    await seen(['audit', 'show', '--limit', '2']),
    /these are the newest 2; there are older ones: --limit 20, or --until \d{4}-/,
  );
  assert.doesNotMatch(await seen(['audit', 'show', '--limit', '5000']), /these are the newest/);
});
