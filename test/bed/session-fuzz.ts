/** Random sessions against the sign-in halves of the three protocols, over memory, from a printed seed. */
import assert from 'node:assert/strict';
import { PosternError } from '../../src/base/error.ts';
import { Secret } from '../../src/base/secret.ts';
import { protocolError } from '../../src/protocol/errors.ts';
import * as imapClient from '../../src/protocol/imap/client.ts';
import * as imapServer from '../../src/protocol/imap/server.ts';
import * as pop3Client from '../../src/protocol/pop3/client.ts';
import * as pop3Server from '../../src/protocol/pop3/server.ts';
import type { SignInOptions } from '../../src/protocol/sign-in.ts';
import * as smtpClient from '../../src/protocol/smtp/client.ts';
import * as smtpServer from '../../src/protocol/smtp/server.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import { MemorySocket } from './memory-socket.ts';

export type FuzzedProtocol = 'imap' | 'pop3' | 'smtp';

export interface FuzzFigures {
  /** Lines that the half under test has taken; what came after its end does not count. */
  readonly frames: number;
  readonly sessions: number;
  readonly signedIn: number;
  /** How sessions ended that were neither closed in order nor signed in, by error code. */
  readonly failures: Readonly<Record<string, number>>;
}

export const servers = { imap: imapServer, pop3: pop3Server, smtp: smtpServer };
export const clients = { imap: imapClient, pop3: pop3Client, smtp: smtpClient };
/** Every line a server half may say; a `.` and names stand in lists. */
export const REPLY: Readonly<Record<FuzzedProtocol, RegExp>> = {
  imap: /^(?:\* (?:OK|BYE|BAD|CAPABILITY|ID) [\x20-\x7e]*|[\x21-\x7e]{1,64} (?:OK|NO|BAD) [\x20-\x7e]*|\+ [\x20-\x7e]*)$/,
  pop3: /^(?:\+OK[\x20-\x7e]*|-ERR [\x20-\x7e]*|\+ [\w+/=]*|\.|[A-Z][\x20-\x7e]*)$/,
  smtp: /^[2-5]\d\d[ -][\x20-\x7e]*$/,
};

/** A small generator with a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Random = () => number;
export const below = (random: Random, most: number): number => Math.floor(random() * most);
export const pick = <T>(random: Random, from: readonly T[]): T => from[below(random, from.length)]!;
const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

const MESSAGES = [
  '\0user\0good',
  '\0user\0bad',
  'other\0user\0good',
  'user=user\x01auth=Bearer bad\x01\x01',
  'n,a=user,\x01auth=Bearer bad\x01\x01',
  '\0\xff\0\xfe',
  '',
  'user',
];
const NAMES = ['PLAIN', 'LOGIN', 'XOAUTH2', 'OAUTHBEARER', 'GSSAPI', ''];
export const COMMANDS: Readonly<Record<FuzzedProtocol, (random: Random) => string>> = {
  imap: (random) => {
    const tag = pick(random, ['a1', 'B.2', '*', '+', '', 'x'.repeat(70)]);
    const word = pick(random, ['bad', '"bad"', '"b\\"d"', '{3}\r\nbad', '{3+}\r\nbad', '{5000}', '{9}\r\nshort', '""']);
    return pick(random, [
      () => `${tag} NOOP`,
      () => `${tag} CAPABILITY`,
      () => `${tag} ID NIL`,
      () => `${tag} SELECT INBOX`,
      () => `${tag} LOGIN user ${word}`,
      () => `${tag} LOGIN ${word} ${word}`,
      () => `${tag} STARTTLS`,
      () => `${tag} AUTHENTICATE ${pick(random, NAMES)} ${base64(pick(random, MESSAGES))}`,
      () => `${tag} AUTHENTICATE ${pick(random, NAMES)}\r\n${base64(pick(random, MESSAGES))}`,
      () => `${tag} NOOP ${word}`,
      () => '* *',
    ])();
  },
  pop3: (random) =>
    pick(random, [
      () => 'CAPA',
      () => 'NOOP',
      () => 'AUTH',
      () => 'STLS',
      () => 'USER user',
      () => `PASS ${pick(random, ['bad', '', ' ', '\xff'])}`,
      () => 'STAT',
      () => `AUTH ${pick(random, NAMES)} ${base64(pick(random, MESSAGES))}`,
      () => `AUTH ${pick(random, NAMES)}\r\n${base64(pick(random, MESSAGES))}`,
    ])(),
  smtp: (random) =>
    pick(random, [
      () => 'EHLO here',
      () => 'HELO here',
      () => 'NOOP',
      () => 'RSET',
      () => 'STARTTLS',
      () => 'MAIL FROM:<a@b.test>',
      () => `AUTH ${pick(random, NAMES)} ${base64(pick(random, MESSAGES))}`,
      () => `AUTH ${pick(random, NAMES)}\r\n${base64(pick(random, MESSAGES))}`,
    ])(),
};

export const REPLIES: Readonly<Record<FuzzedProtocol, readonly string[]>> = {
  imap: [
    '* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER] hello',
    '* OK hello',
    '* CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER STARTTLS',
    '* BYE gone',
    '* PREAUTH no',
    '+ ',
    '+ eyJzdGF0dXMiOiI0MDEifQ==',
    '+ !',
    'p1 OK [CAPABILITY IMAP4rev1 IDLE] in',
    'p1 OK done',
    'p2 OK done',
    'p3 OK done',
    'p2 NO [UNAVAILABLE] later',
    'p1 NO no',
    'p1 BAD what',
  ],
  pop3: [
    '+OK',
    '+OK hello',
    '-ERR no',
    '-ERR [SYS/TEMP] later',
    '+ ',
    '+ e30=',
    'SASL XOAUTH2',
    'SASL OAUTHBEARER',
    'STLS',
    '.',
    '+ !',
  ],
  smtp: [
    '220 hello',
    '250-host',
    '250-AUTH XOAUTH2 OAUTHBEARER',
    '250-STARTTLS',
    '250 AUTH XOAUTH2',
    '250 OK',
    '334 ',
    '334 e30=',
    '235 in',
    '535 no',
    '454 later',
    '554 never',
    '421 bye',
    '334 !',
  ],
};

/** What makes a valid frame an odd one. */
export function spoil(random: Random, line: string): string {
  const end = '\r\n';
  const at = below(random, line.length + 1);
  switch (below(random, 40)) {
    case 0:
      return `${line.slice(0, at)}${String.fromCharCode(below(random, 256))}${line.slice(at)}${end}`;
    case 1:
      return `${line.slice(0, at)}${line.slice(at + 1 + below(random, 3))}${end}`;
    case 2:
      return `${line}${line.slice(at)}${end}`;
    case 3:
      return `${line.toLowerCase()}${end}`;
    case 4:
      return random() < 0.1 ? `${line}\n` : line + end;
    case 5:
      return random() < 0.02 ? `${line}${'x'.repeat(below(random, 90_000))}${end}` : line + end;
    case 6:
      return random() < 0.2
        ? `${Array.from({ length: below(random, 40) }, () => String.fromCharCode(below(random, 256))).join('')}${end}`
        : line + end;
    default:
      return line + end;
  }
}

export interface Sent {
  octets: number;
}

/** What arrived and was not taken: in the framer, and in the socket. */
function untaken(conn: Conn, socket: MemorySocket): Buffer {
  const { rest } = conn.detach();
  const left = [rest];
  for (let more = socket.read() as Buffer | null; more !== null; more = socket.read() as Buffer | null) left.push(more);
  return Buffer.concat(left);
}

/** Sends the bytes in chunks of random size; yields now and then so that the half under test comes to its turn. */
export async function drip(random: Random, socket: MemorySocket, bytes: Buffer, sent: Sent): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed;) {
    const size = random() < 0.2 ? 1 + below(random, 4) : 1 + below(random, 2000);
    socket.feed(bytes.subarray(at, at + size));
    at += size;
    sent.octets = Math.min(at, bytes.length);
    if (random() < 0.5) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  socket.finish();
}

const LINES = 60;
export const LINE_OCTETS = 12_288;
export const count = (bytes: Buffer): number => {
  let frames = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) frames++;
  return frames;
};

export interface Tally {
  frames: number;
  sessions: number;
  signedIn: number;
  readonly failures: Record<string, number>;
}

/** Anything but one of our own errors, or one that says we are to blame, is a finding. */
export function expected(error: unknown, tally: Tally, seed: string): void {
  assert.ok(error instanceof PosternError, `${seed}: ${String(error)}`);
  assert.match(error.code, /^(?:wire|sasl|tls)\./, seed);
  assert.notEqual(error.kind, 'bug', seed);
  tally.failures[error.code] = (tally.failures[error.code] ?? 0) + 1;
}

async function serverSession(protocol: FuzzedProtocol, random: Random, tally: Tally, seed: string): Promise<void> {
  const socket = new MemorySocket();
  const said: Buffer[] = [];
  socket.onWritten = (bytes) => void said.push(bytes);
  const lines = Array.from({ length: 1 + below(random, LINES) }, () => spoil(random, COMMANDS[protocol](random)));
  const bytes = Buffer.from(lines.join(''), 'latin1');
  const conn = new Conn(socket);
  const options: SignInOptions = {
    hostname: 'fuzz.test',
    allowPlain: random() < 0.9,
    bearer: true,
    lineOctets: LINE_OCTETS,
    literalOctets: 4096,
    maxFailures: 20,
    verify: async ({ secret }) =>
      secret.reveal() === 'good'
        ? { type: 'accept', capabilities: ['IMAP4rev1'], text: 'in\r\nnot another line' }
        : { type: 'refuse', error: protocolError(random() < 0.5 ? 'sasl.refused' : 'sasl.unavailable', 'no') },
  };
  const sent: Sent = { octets: 0 };
  const dripping = drip(random, socket, bytes, sent);
  try {
    const result = await servers[protocol].serveSignIn(conn, options);
    if (result !== 'closed') {
      tally.signedIn++;
    }
  } catch (error) {
    expected(error, tally, seed);
  }
  const left = untaken(conn, socket);
  const taken = sent.octets - left.length;
  assert.ok(bytes.subarray(taken, sent.octets).equals(left), `${seed}: bytes for the relay differ`);
  socket.destroy();
  await dripping;
  const text = Buffer.concat(said).toString('latin1');
  assert.ok(text.endsWith('\r\n'), `${seed}: an unfinished line`);
  for (const line of text.slice(0, -2).split('\r\n')) assert.match(line, REPLY[protocol], seed);
  assert.ok(text.length < 200_000, `${seed}: ${text.length} octets of answers`);
  tally.frames += count(bytes.subarray(0, taken));
  tally.sessions++;
}

async function clientSession(protocol: FuzzedProtocol, random: Random, tally: Tally, seed: string): Promise<void> {
  const socket = new MemorySocket();
  let written = 0;
  socket.onWritten = (bytes) => void (written += bytes.length);
  const known = REPLIES[protocol];
  const lines = Array.from({ length: 1 + below(random, LINES) }, (_, at) =>
    at === 0 && random() < 0.9 ? `${known[0]!}\r\n` : spoil(random, pick(random, known)),
  );
  const bytes = Buffer.from(lines.join(''), 'latin1');
  const conn = new Conn(socket);
  const sent: Sent = { octets: 0 };
  const dripping = drip(random, socket, bytes, sent);
  try {
    await clients[protocol].signIn(conn, {
      tls: 'none',
      user: 'user@fuzz.test',
      token: TOKEN,
      host: 'fuzz.test',
      port: 993,
      mechanisms: ['XOAUTH2', 'OAUTHBEARER'],
    });
    tally.signedIn++;
  } catch (error) {
    expected(error, tally, seed);
  }
  const taken = sent.octets - untaken(conn, socket).length;
  socket.destroy();
  await dripping;
  assert.ok(written < 10_000, `${seed}: the client wrote ${written} octets`);
  tally.frames += count(bytes.subarray(0, taken));
  tally.sessions++;
}

export const TOKEN = new Secret('a token for the fuzz');

/** How long one session may take before it counts as hung. */
const HUNG_MS = 30_000;

/**
 * Runs sessions, half of them against the server and half against the client, until `frames` were sent.
 * @throws AssertionError naming the session's seed
 */
export function fuzzSessions(protocol: FuzzedProtocol, frames: number, seed: number): Promise<FuzzFigures> {
  return runSessions([serverSession, clientSession], protocol, frames, seed);
}

export type FuzzedSession = typeof serverSession;

/** Runs kinds of sessions in turn, each with a seed of its own. @throws AssertionError naming the session's seed */
export async function runSessions(
  kinds: readonly FuzzedSession[],
  protocol: FuzzedProtocol,
  frames: number,
  seed: number,
): Promise<FuzzFigures> {
  const tally: Tally = { frames: 0, sessions: 0, signedIn: 0, failures: {} };
  for (let turn = 0; tally.frames < frames; turn++) {
    const own = (seed + turn) >>> 0;
    const name = `${protocol} seed ${own} turn ${turn}`;
    const random = randomOf(own);
    let hung: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      hung = setTimeout(
        () => reject(new assert.AssertionError({ message: `${name}: the session does not end` })),
        HUNG_MS,
      );
    });
    const session = kinds[turn % kinds.length]!;
    await Promise.race([session(protocol, random, tally, name), limit]).finally(() => clearTimeout(hung));
  }
  return tally;
}
