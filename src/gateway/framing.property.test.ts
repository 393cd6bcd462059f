/**
 * Programs that know every trick, and servers that disagree with us about what they said: the next program in a session that is
 * used again sees exactly what it would see in a fresh one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { settle } from '../../test/bed/kept-session.ts';
import { type MemorySocket, memoryPair } from '../../test/bed/memory-socket.ts';
import { QuirkyImap, type Quirks } from '../../test/bed/quirky-imap.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { nullLog } from '../base/log.ts';
import { Conn } from '../protocol/wire/conn.ts';
import { Continuity } from './continuity/continuity.ts';
import type { UpstreamSession } from '../upstream/upstream.ts';
import { relay } from './relay.ts';
import { ReusableSessions } from './reuse.ts';

const ADDRESS = 'alice@contoso.test';
const HOUR = 3_600_000;
const PROBE = 'p1 NOOP\r\np2 FETCH 1 (FLAGS)\r\np3 SELECT INBOX\r\np4 FETCH 1 (FLAGS)\r\n';

const quirks: fc.Arbitrary<Quirks> = fc.record({
  refused: fc.constantFrom('run', 'discarded'),
  nonSync: fc.boolean(),
  quoted: fc.boolean(),
  skips: fc.boolean(),
  idles: fc.boolean(),
  bare: fc.boolean(),
});

/** What is smuggled in. */
const inside = fc.constantFrom(
  'ENABLE CONDSTORE\r\n',
  'SELECT INBOX\r\n',
  'APPEND INBOX {600+}\r\n',
  'APPEND INBOX {60}\r\n',
  'NOOP\r\n',
  'IDLE\r\n',
);
const head = fc.constantFrom(
  'STATUS "',
  'STATUS INBOX (',
  'STATUS ',
  'NOOP ',
  'NOOP x ',
  'SUBSCRIBE INBOX ',
  'SUBSCRIBE ',
  'APPEND INBOX ',
  'APPEND INBOX x ',
  'SELECT ',
  'ENABLE ',
  'IDLE ',
  'XFOO ',
);
const PLAIN = ['NOOP', 'SELECT INBOX', 'UNSELECT', 'STATUS "INBOX" (MESSAGES)', 'STATUS {5+}\r\nINBOX (MESSAGES)'];
const piece = (tag: string): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...PLAIN).map((text) => `${tag} ${text}\r\n`) },
    fc.constant(`${tag} ENABLE CONDSTORE\r\n`),
    fc
      .tuple(head, inside, fc.constantFrom('+', ''), fc.constantFrom('', ')', '"'))
      .map(
        ([before, text, plus, after]) => `${tag} ${before}{${text.length + 4}${plus}}\r\ny${tag} ${text}${after}\r\n`,
      ),
    inside.map((text) => `${tag} IDLE x\r\ny ${text}`),
    inside.map((text) => `${tag} IDLE\r\ny ${text}DONE\r\n`),
    fc.constant(`${tag} IDLE\r\nDONE\r\n`),
    fc.tuple(fc.constantFrom('\r', '\n', '\0', '\r\0'), inside).map(([end, text]) => `${tag} NOOP${end}y ${text}`),
    inside.map((text) => `* ${text}`),
    inside.map((text) => `pstn-1 ${text}`),
    inside.map((text) => `${tag} NOOP\r\n${tag} ${text}`),
  );
const conversation = fc.array(
  fc.tuple(
    fc.nat(9).chain((n) => piece(`a${n}`)),
    fc.boolean(),
  ),
  { minLength: 1, maxLength: 4 },
);

function signedInUntil(expiresAt: number): UpstreamSession {
  const endpoint = {
    protocol: 'imap',
    host: 'h',
    port: 1,
    tls: 'implicit',
    user: ADDRESS,
    mechanisms: [],
    trust: {},
  } as const;
  return { endpoint, mechanism: 'XOAUTH2', capabilities: ['UNSELECT'], expiresAt, reused: false };
}

function server(how: Quirks): MemorySocket {
  const [near, far] = memoryPair();
  QuirkyImap.serve(far, how);
  return near;
}

async function heard(socket: MemorySocket, already: Buffer): Promise<string> {
  let text = already.toString('latin1');
  socket.on('data', (bytes: Buffer) => void (text += bytes.toString('latin1')));
  socket.resume();
  socket.write(PROBE);
  await settle(20);
  socket.destroy();
  return text;
}

/** What the next program hears; undefined when it gets a session of its own. */
async function next(how: Quirks, said: readonly (readonly [string, boolean])[]): Promise<string | undefined> {
  const clock = new ManualClock();
  const signedIn = signedInUntil(clock.now() + HOUR);
  const { endpoint } = signedIn;
  const reusable = new ReusableSessions({ clock, wall: clock, log: nullLog, keepMs: 90_000 });
  const [near, far] = memoryPair();
  const keeper = new Continuity({
    clock,
    log: nullLog,
    hostname: 'gate.example',
    signedIn,
    signIn: () => Promise.reject(new Error('no more sessions')),
    wantsBack: (now, selected) => reusable.wants(now, selected),
    onReturned: (session) => void reusable.give(ADDRESS, session),
    onMoved: () => assert.fail('there is nowhere to go'),
  });
  relay(
    { socket: near, rest: Buffer.alloc(0) },
    { socket: server(how), rest: Buffer.alloc(0) },
    { idleMs: HOUR, clock, tap: keeper, onEnd: () => keeper.close() },
  );
  far.resume();
  for (const [text, waits] of said) {
    far.write(Buffer.from(text, 'latin1'));
    if (waits) await settle(8);
  }
  far.write('z LOGOUT\r\n');
  await settle(20);
  const taken = await reusable.take(ADDRESS, endpoint, signedIn.expiresAt, new AbortController().signal);
  reusable.close();
  far.destroy();
  if (taken === 'none') return undefined;
  const { socket, rest } = taken.conn.detach();
  return heard(socket as MemorySocket, rest);
}

const RUNS = 600;
const SILENT: Quirks = { refused: 'run', nonSync: true, quoted: false, skips: true, idles: false, bare: true };
/**
 * What a server takes for the beginning of a literal without a word, each where one of the rules of `framing.ts` alone sees it: a
 * skipped argument, a line end that is none, an announcement in a form of its own.
 */
const UNSEEN = [
  'a0 SUBSCRIBE INBOX {25+}\r\nya0 APPEND INBOX {600+}\r\n\r\n',
  'a0 NOOP\0y APPEND INBOX {600+}\0\r\n',
  'a0 SUBSCRIBE {000000000600+}\r\n',
].map((text): [string, boolean][] => [[text, true]]);

test('S2: the next program in a session sees what it would see in a fresh one, whatever the one before did', async () => {
  let reused = 0;
  await fc.assert(
    fc.asyncProperty(quirks, conversation, async (how, said) => {
      const got = await next(how, said);
      if (got === undefined) return;
      reused += 1;
      assert.equal(got, await heard(server(how), Buffer.alloc(0)));
    }),
    { numRuns: RUNS, examples: UNSEEN.map((said) => [SILENT, said]) },
  );
  assert.ok(reused > 20, `${reused} of ${RUNS} were used again`);
});

type End = 'stays' | 'token-ends' | 'server-gone';

/** What a program hears at last, when meanwhile its session goes on at another server or not; undefined when it had to end. */
async function moved(
  how: Quirks,
  said: readonly (readonly [string, boolean])[],
  end: End,
): Promise<{ readonly heard: readonly string[]; readonly moves: number } | undefined> {
  const clock = new ManualClock();
  const signedIn = signedInUntil(clock.now() + HOUR);
  const [near, far] = memoryPair();
  const first = server(how);
  let moves = 0;
  let over = false;
  const keeper = new Continuity({
    clock,
    log: nullLog,
    hostname: 'gate.example',
    shortLifeMs: 0,
    signedIn,
    signIn: () => Promise.resolve({ ...signedInUntil(clock.now() + 2 * HOUR), conn: new Conn(server(how), { clock }) }),
    onMoved: () => (moves += 1),
  });
  relay(
    { socket: near, rest: Buffer.alloc(0) },
    { socket: first, rest: Buffer.alloc(0) },
    {
      idleMs: 10 * HOUR,
      clock,
      tap: keeper,
      onEnd: () => {
        over = true;
        keeper.close();
      },
    },
  );
  let text = '';
  far.on('data', (bytes: Buffer) => void (text += bytes.toString('latin1')));
  far.resume();
  for (const [one, waits] of said) {
    far.write(Buffer.from(one, 'latin1'));
    if (waits) await settle(8);
  }
  await settle(8);
  await clock.advance(3_000); // the gateway asks for UIDs
  await settle(20);
  if (end === 'server-gone') first.destroy();
  else if (end === 'token-ends') await clock.advance(HOUR - 3_000);
  await settle(40);
  text = '';
  for (const line of PROBE.split(/(?<=\n)/)) {
    if (!over) far.write(line);
    await settle(30);
  }
  const ended = over;
  far.destroy();
  first.destroy();
  keeper.close();
  if (ended) return undefined;
  // Allowed to differ: what changed meanwhile, flags again, is told with the first answer; and a command that was under way has
  // been answered with NO before, with the rest of its literal still to come, of which the first lines asked may be part.
  const lines = text.split('\r\n').filter((line) => !/^y?a\d /.test(line));
  const from = lines.findIndex((line) => /^p\d /.test(line));
  return { heard: from === -1 ? lines : lines.slice(from), moves };
}

/** A literal that has 4 octets when the server goes, and ends in what is asked then: at a line end, and within one. */
const UNENDED = [27, 28].map((octets): [string, boolean][] => [
  [`a0 APPEND INBOX {${octets + 4}}\r\n`, true],
  ['text', true],
]);
/** The literal is refused and its octets run, one of which begins a literal that is taken; and a tag is used again. */
const REFUSED: [string, boolean][] = [
  ['a0 NOOP\r\n', false],
  ['a1 XFOO {23}\r\nya1 APPEND INBOX {60}\r\n\r\n', false],
  ['a0 NOOP\r\na0 ENABLE CONDSTORE\r\n', false],
];
const STRICT: Quirks = { refused: 'run', nonSync: false, quoted: false, skips: false, idles: false, bare: false };

test('S2: a program whose session goes on at another server hears what it would have heard, whatever it said before', async () => {
  let count = 0;
  await fc.assert(
    fc.asyncProperty(
      quirks,
      conversation,
      fc.constantFrom<End>('token-ends', 'server-gone'),
      async (how, said, end) => {
        const after = await moved(how, said, end);
        if (after === undefined || after.moves === 0) return;
        count += 1;
        assert.deepEqual(after.heard, (await moved(how, said, 'stays'))?.heard);
      },
    ),
    {
      numRuns: RUNS,
      examples: [
        ...UNSEEN.map((said): [Quirks, [string, boolean][], End] => [SILENT, said, 'token-ends']),
        ...[...UNENDED, REFUSED].map((said): [Quirks, [string, boolean][], End] => [STRICT, said, 'server-gone']),
      ],
    },
  );
  assert.ok(count > 20, `${count} of ${RUNS} were moved`);
});
