/**
 * What following a session (docs/sessions.md) costs on the way of the bytes: the tap alone, fed as a relay feeds it.
 *
 *   npm run bench -- tap
 *
 * CPU of one process per gigabyte, to hold against the seconds per gigabyte of the whole gateway in the same table.
 */
import { ImapTap } from '../src/gateway/continuity/tap.ts';

const GB = 1_000_000_000;
const READ = 64 * 1024;

export function benchTap(): void {
  const literal = Buffer.alloc(READ, `${'x'.repeat(76)}\r\n`);
  const shapes: Readonly<Record<string, { readonly octets: number; feed(tap: ImapTap): number }>> = {
    'FETCH of 100 MB messages': { octets: 4 * GB, feed: (tap) => message(tap, 100_000_000, literal) },
    'FETCH of 1 MB messages': { octets: 4 * GB, feed: (tap) => message(tap, 1_000_000, literal) },
    'FETCH of 10 KB messages': { octets: GB, feed: (tap) => message(tap, 10_000, literal) },
    'APPEND of 25 MB messages': { octets: 4 * GB, feed: (tap) => append(tap, 25_000_000, literal) },
    'FETCH 1:100000 (UID FLAGS)': { octets: 100_000_000, feed: flags },
  };
  process.stdout.write('| through the tap | CPU s/GB |\n|---|---|\n');
  for (const [name, { octets, feed }] of Object.entries(shapes)) {
    const tap = new ImapTap(
      {
        toClient: ignore,
        toServer: ignore,
        changed: ignore,
        flows: ignore,
        asked: ignore,
        leaves: () => false,
        end: (text) => fail(`the session ended: ${text}`),
      },
      'gate',
    );
    select(tap);
    feed(tap); // compiled before it is measured
    const before = process.cpuUsage();
    let passed = 0;
    while (passed < octets) passed += feed(tap);
    const { system, user } = process.cpuUsage(before);
    if (!tap.movable) fail('the session is not followed any more');
    process.stdout.write(`| ${name} | ${((system + user) / 1e6 / (passed / GB)).toFixed(3)} |\n`);
  }
}

function ignore(): void {}

function fail(text: string): never {
  throw new Error(text);
}

let tags = 0;

/** Octets that went through. */
function command(tap: ImapTap, text: string, answer: (tag: string) => readonly Buffer[]): number {
  const tag = `a${++tags}`;
  say(tap, 'fromClient', line(`${tag} ${text}`));
  let octets = 0;
  for (const piece of answer(tag)) octets += say(tap, 'fromServer', piece);
  return octets;
}

/** As the relay does. Octets that went through. */
function say(tap: ImapTap, side: 'fromClient' | 'fromServer', bytes: Buffer): number {
  const { length } = tap[side](bytes);
  tap.passed();
  return length;
}

const line = (text: string): Buffer => Buffer.from(`${text}\r\n`);

function select(tap: ImapTap): void {
  const answers = [
    '* FLAGS (\\Seen \\Flagged)',
    '* 100000 EXISTS',
    '* OK [UIDVALIDITY 1] ok',
    '* OK [UIDNEXT 100001] ok',
  ].map(line);
  command(tap, 'SELECT INBOX', (tag) => [...answers, line(`${tag} OK [READ-WRITE] done`)]);
}

function* pieces(octets: number, literal: Buffer): Generator<Buffer> {
  for (let left = octets; left > 0; left -= literal.length) yield literal.subarray(0, Math.min(left, literal.length));
}

function message(tap: ImapTap, octets: number, literal: Buffer): number {
  return command(tap, 'UID FETCH 7 (UID BODY.PEEK[])', (tag) => [
    line(`* 7 FETCH (UID 7 BODY[] {${octets}}`),
    ...pieces(octets, literal),
    line(')'),
    line(`${tag} OK done`),
  ]);
}

function append(tap: ImapTap, octets: number, literal: Buffer): number {
  const tag = `a${++tags}`;
  let sent = say(tap, 'fromClient', line(`${tag} APPEND Drafts {${octets}}`));
  say(tap, 'fromServer', line('+ go on'));
  for (const piece of pieces(octets, literal)) sent += say(tap, 'fromClient', piece);
  sent += say(tap, 'fromClient', line(''));
  say(tap, 'fromServer', line(`${tag} OK done`));
  return sent;
}

function flags(tap: ImapTap): number {
  const rows = Array.from({ length: 100_000 }, (_, at) => `* ${at + 1} FETCH (UID ${at + 1} FLAGS (\\Seen))\r\n`).join(
    '',
  );
  const all = Buffer.from(rows);
  return command(tap, 'UID FETCH 1:* (UID FLAGS)', (tag) => [
    ...Array.from({ length: Math.ceil(all.length / READ) }, (_, at) => all.subarray(at * READ, (at + 1) * READ)),
    line(`${tag} OK done`),
  ]);
}
