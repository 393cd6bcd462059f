/**
 * Random play: a mail program, another client of the same mailbox, and a server that goes away or whose tokens end at any
 * moment. Whatever the program was told must be true, and be told at allowed moments only (test/bed/kept-session.ts objects).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeptSession, type Program, SessionOver, settle, sorted } from '../../../test/bed/kept-session.ts';
import type { Folder } from '../../sandbox/mail/store.ts';

const FLAGS = ['\\Seen', '\\Flagged', '\\Answered', '\\Deleted'];
const HOUR = 3_600_000;

interface Play {
  readonly session: KeptSession;
  readonly program: Program;
  folder: Folder | undefined;
  readOnly: boolean;
  /** Counts what others did, so that a check knows whether something came in between. */
  changes: number;
}

/** One step; `a` and `b` choose within it. */
type Step = (play: Play, a: number, b: number) => Promise<unknown>;

const at = (play: Play, a: number): number => 1 + (a % Math.max(1, play.program.messages.length));
const some = (play: Play): boolean => play.folder !== undefined && play.program.messages.length > 0;

async function select(play: Play, a: number, b: number): Promise<void> {
  const { session, program } = play;
  const name = a % 3 === 0 ? 'Archive' : 'INBOX';
  play.readOnly = b % 4 === 0;
  play.folder = undefined;
  const answer = await program.ask(`${play.readOnly ? 'EXAMINE' : 'SELECT'} ${name}`);
  if (answer.startsWith('OK')) play.folder = session.mailbox.find(name);
  else program.messages = [];
}

/** A program that sets flags without being told of it knows them, unless it hears NO. */
async function store(play: Play, a: number, b: number, uid: boolean): Promise<void> {
  if (!some(play)) return;
  const { program } = play;
  const number = at(play, a);
  const known = program.messages[number - 1]!;
  const flag = FLAGS[b % FLAGS.length]!;
  const silent = b % 3 === 0;
  if (uid && known.uid === undefined) return;
  const command = `${uid ? `UID STORE ${known.uid}` : `STORE ${number}`} ${b % 2 ? '+' : '-'}FLAGS${silent ? '.SILENT' : ''} (${flag})`;
  const answer = await program.ask(command);
  if (!silent && answer.startsWith('OK')) return;
  if (!silent || !answer.startsWith('OK') || known.flags === undefined) {
    delete known.flags;
    return;
  }
  if (play.readOnly) return;
  const flags = new Set(known.flags.split(' '));
  if (b % 2) flags.add(flag);
  else flags.delete(flag);
  known.flags = sorted(flags);
}

const client: Record<string, Step> = {
  noop: async (play) => {
    const before = play.changes;
    const answer = await play.program.ask('NOOP');
    assert.match(answer, /^OK/);
    if (play.changes === before) check(play);
  },
  select,
  idle: async (play, a, b) => {
    const idle = await play.program.idle();
    if ('answer' in idle) return;
    if (a % 3 > 0) await others(play, a, b);
    if (a % 5 === 0) play.session.cut();
    if (a % 7 === 0) await busyHour(play, b);
    await settle(a % 60);
    assert.match(await play.program.done(idle.tag), /^OK/);
  },
  fetch: async (play, a) => some(play) && play.program.ask(`FETCH ${at(play, a)}:* (UID FLAGS)`),
  uidFetch: async (play, a) => play.folder && play.program.ask(`UID FETCH ${a}:* (FLAGS)`),
  body: async (play, a) => some(play) && play.program.ask(`FETCH ${at(play, a)} (UID BODY.PEEK[])`),
  store: (play, a, b) => store(play, a, b, false),
  uidStore: (play, a, b) => store(play, a, b, true),
  search: async (play, _, b) => play.folder && play.program.ask(b % 2 ? 'SEARCH ALL' : 'UID SEARCH UNSEEN'),
  expunge: async (play) => play.folder && play.program.ask('EXPUNGE'),
  append: async (play, _, b) =>
    play.program.ask(`APPEND INBOX (\\Seen) {5${b % 2 ? '+' : ''}}${b % 2 ? '\r\nhello' : ''}`, 'hello\r\n'),
  copy: async (play, a) => some(play) && play.program.ask(`COPY ${at(play, a)} Archive`),
  move: async (play, a) => some(play) && !play.readOnly && play.program.ask(`MOVE ${at(play, a)} Archive`),
  list: async (play) => play.program.ask('LIST "" *'),
  leave: async (play, _, b) => {
    if (play.folder === undefined) return;
    const answer = await play.program.ask(b % 2 ? 'UNSELECT' : 'CLOSE');
    if (!answer.startsWith('OK')) return;
    play.folder = undefined;
    play.program.messages = [];
  },
  pipeline: async (play) => {
    const [first, second] = [await play.program.send('NOOP'), await play.program.send('UID FETCH 1:* (FLAGS)')];
    await play.program.answer(second);
    assert.ok(first);
  },
};

async function others(play: Play, a: number, b: number): Promise<void> {
  const { inbox } = play.session.mailbox;
  play.changes += 1;
  const message = inbox.messages[a % Math.max(1, inbox.messages.length)];
  if (a % 3 === 0 || message === undefined)
    inbox.add(Buffer.from(`Subject: ${b}\r\n\r\n`), 0, b % 2 ? ['\\Flagged'] : []);
  else if (a % 3 === 1) inbox.remove([message]);
  else inbox.setFlags(message, FLAGS.slice(b % 4), 'another client');
  return Promise.resolve();
}

/** An hour in which others do something every now and then, also while a session is being moved. */
async function busyHour(play: Play, b: number): Promise<void> {
  const moves = play.session.moves.length;
  for (let minute = 0; minute < 60; minute += 2) {
    const passing = play.session.pass(2 * 60_000);
    if (minute < 55 ? minute % 20 === b % 20 : play.session.moves.length === moves)
      for (let n = 0; n < 4; n++) {
        await settle((b * 7 + n * 5) % 23);
        await others(play, minute + b + n, b);
        if (n === 3 && b % 6 === 0) play.session.cut(); // whichever connection is the newest
      }
    await passing;
  }
}

const world: Record<string, Step> = {
  others,
  cut: async ({ session }, a) => {
    session.cut();
    await settle(a % 30);
  },
  cutLater: ({ session }, a, b) => Promise.resolve(session.cutAfter(1 + ((a * 7 + b) % 300))),
  silence: ({ session }) => session.pass(15_000),
  hour: ({ session }) => session.pass(HOUR),
  busyHour: (play, _, b) => busyHour(play, b),
  ahead: async ({ session }) => {
    await session.tenantClock.advance(2 * HOUR);
    await settle();
  },
};

/** All that the program knows is so. */
function check({ program, folder }: Play): void {
  if (folder === undefined) return;
  const truth = folder.messages.map(({ uid, flags }) => ({ uid, flags: sorted(flags) }));
  const told = program.messages.map(({ uid, flags }, index) => ({
    uid: uid ?? truth[index]?.uid,
    flags: flags ?? truth[index]?.flags,
  }));
  assert.deepEqual(told, truth);
}

/** @returns how it ended: `open`, or the last words */
async function play(steps: readonly (readonly [Step, number, number])[]): Promise<string> {
  const session = await KeptSession.start();
  for (let n = 0; n < 4; n++) session.mailbox.inbox.add(Buffer.from(`Subject: ${n}\r\n\r\nhello\r\n`), 0);
  const state: Play = { session, program: session.program, folder: undefined, readOnly: false, changes: 0 };
  try {
    for (const [step, a, b] of steps) await bounded(session, step(state, a, b));
    await bounded(session, client['noop']!(state, 0, 0));
    if (state.folder !== undefined && state.program.messages.length > 0) {
      let answer = 'NO';
      for (let time = 0; time < 3 && answer.startsWith('NO'); time++)
        // half an answer may have been cut
        answer = await bounded(session, state.program.ask('FETCH 1:* (UID FLAGS)'));
      assert.match(answer, /^OK/);
      check(state);
    }
    assert.deepEqual(
      session.log.filter((line) => /^server|could not be kept/.test(line)),
      [],
    );
    return 'open';
  } catch (error) {
    if (error instanceof SessionOver) return error.message;
    throw error;
  } finally {
    session.close();
  }
}

/** Time goes on while a step takes long. One that does not end is a finding. */
async function bounded<T>(session: KeptSession, work: Promise<T>): Promise<T> {
  const state = { over: false };
  const done = work.finally(() => (state.over = true));
  const ticking = (async () => {
    await settle(300);
    for (let seconds = 0; !state.over; seconds++) {
      assert.ok(seconds < 300, 'a step does not end');
      await session.pass(1000);
    }
  })();
  return Promise.race([done, ticking.then(() => done)]);
}

const step = (from: Record<string, Step>): fc.Arbitrary<readonly [Step, number, number]> =>
  fc.tuple(
    fc.constantFrom(...Object.entries(from)).map(([name, run]) =>
      Object.assign<Step, { [fc.toStringMethod]: () => string }>((...all) => run(...all), {
        [fc.toStringMethod]: () => name,
      }),
    ),
    fc.nat(99),
    fc.nat(99),
  );

const RUNS = Number(process.env['POSTERN_SOAK_RUNS'] ?? 150);

// RFC 9051 §6.3.2, §6.3.3, §6.4.1, §7.4, §7.5
test('whatever is played, what the program was told is true', async () => {
  const ends = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 3, arbitrary: step(client) }, { weight: 2, arbitrary: step(world) }), {
        maxLength: 40,
      }),
      async (steps) => {
        const end = await play([[select, 1, 1], ...steps]);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      },
    ),
    { numRuns: RUNS },
  );
  const open = ends.get('open') ?? 0;
  assert.ok(open > RUNS / 2, `only ${open} of ${RUNS} sessions went on: ${JSON.stringify([...ends])}`);
});

test('a message goes, and a STORE is refused in a mailbox that is read only: the number moves after it', async () => {
  assert.equal(
    await play([
      [select, 46, 0],
      [others, 16, 0],
      [client['store']!, 0, 0],
    ]),
    'open',
  );
});
