/**
 * Random sessions through STARTTLS (RFC 3207, RFC 9051 §6.2.1, RFC 2595 §4), with commands and replies hidden behind it, cut and
 * broken: what was plain is never taken for encrypted (CVE-2011-0411), and no token leaves in plain text. The handshake is a
 * stand-in: what TLS itself does with garbage is OpenSSL's.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { protocolError } from '../../src/protocol/errors.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import { MemorySocket } from './memory-socket.ts';
import {
  below,
  clients,
  COMMANDS,
  count,
  drip,
  expected,
  type FuzzedProtocol,
  type FuzzedSession,
  type FuzzFigures,
  LINE_OCTETS,
  pick,
  type Random,
  REPLIES,
  REPLY,
  runSessions,
  servers,
  spoil,
  TOKEN,
} from './session-fuzz.ts';

class Encrypted extends MemorySocket {
  readonly encrypted = true;
}

/** What turning to TLS looked like from outside. */
class Upgrade {
  readonly inside = new Encrypted();
  readonly said: Buffer[] = [];
  /** The connection of the half under test. */
  conn: Conn | undefined;
  done = false;
  readonly #random: Random;
  readonly #begin: () => void;

  constructor(random: Random, begin: (inside: MemorySocket) => void) {
    this.#random = random;
    this.#begin = () => begin(this.inside);
    this.inside.onWritten = (bytes) => void this.said.push(bytes);
  }

  readonly secure = async (): Promise<TLSSocket> => {
    assert.equal(this.done, false, 'STARTTLS twice');
    assert.equal(this.conn?.drained, true, 'plain octets are waiting to be read as encrypted ones');
    this.done = true;
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.#random() < 0.1) throw protocolError('tls.failed', 'no handshake');
    this.#begin();
    return this.inside as Socket as TLSSocket;
  };
}

const STARTTLS = { imap: 'a9 STARTTLS', pop3: 'STLS', smtp: 'STARTTLS' } as const;
/** The last plain line of a server half that goes on in TLS. */
const GO_AHEAD = { imap: /^\S+ OK /, pop3: /^\+OK/, smtp: /^220 / } as const;
const OFFERED = /^\* (?:OK \[)?CAPABILITY .*STARTTLS|^250[ -]STARTTLS|^STLS$/im;
const lines = (random: Random, most: number, make: () => string): string =>
  Array.from({ length: below(random, most) }, make).join('');

/** Everything up to the command at once; what follows in plain text at once too, or only when the session did not go on in TLS. */
async function sendPlain(random: Random, socket: MemorySocket, upgrade: Upgrade, before: string, after: string) {
  const hidden = random() < 0.3;
  const sent = { octets: 0 };
  socket.feed(Buffer.from(hidden ? before + after : before, 'latin1'));
  for (let turn = 0; turn < 50 && !upgrade.done && !socket.destroyed; turn++)
    await new Promise<void>((resolve) => setImmediate(resolve));
  if (upgrade.done) return;
  await drip(random, socket, Buffer.from(hidden ? '' : after, 'latin1'), sent);
}

const server: FuzzedSession = async (protocol, random, tally, seed) => {
  const command = (): string => spoil(random, COMMANDS[protocol](random));
  const before = lines(random, 6, command) + (random() < 0.9 ? `${STARTTLS[protocol]}\r\n` : command());
  const socket = new MemorySocket();
  const said: Buffer[] = [];
  socket.onWritten = (bytes) => void said.push(bytes);
  const encrypted = lines(random, 30, command);
  const upgrade = new Upgrade(random, (inside) => {
    void drip(random, inside, Buffer.from(encrypted, 'latin1'), { octets: 0 });
  });
  const allowPlain = random() < 0.5;
  const sending = sendPlain(random, socket, upgrade, before, lines(random, 6, command));
  const conn = new Conn(socket);
  upgrade.conn = conn;
  let signedIn = false;
  try {
    const result = await servers[protocol].serveSignIn(conn, {
      hostname: 'fuzz.test',
      secure: upgrade.secure,
      allowPlain,
      bearer: true,
      lineOctets: LINE_OCTETS,
      literalOctets: 4096,
      maxFailures: 20,
      verify: async ({ secret }) => {
        assert.ok(upgrade.done || allowPlain, `${seed}: a password was looked at in plain text`);
        return secret.reveal() === 'good'
          ? { type: 'accept', capabilities: ['IMAP4rev1'] }
          : { type: 'refuse', error: protocolError('sasl.refused', 'no') };
      },
    });
    signedIn = result !== 'closed';
  } catch (error) {
    expected(error, tally, seed);
  }
  socket.destroy();
  upgrade.inside.destroy();
  await sending;
  const outside = Buffer.concat(said).toString('latin1');
  const within = Buffer.concat(upgrade.said).toString('latin1');
  for (const text of [outside, within])
    for (const line of text.split('\r\n').slice(0, -1)) assert.match(line, REPLY[protocol], seed);
  if (upgrade.done) {
    assert.match(
      outside.split('\r\n').at(-2)!,
      GO_AHEAD[protocol],
      `${seed}: something was said in plain text after it`,
    );
    assert.doesNotMatch(within, OFFERED, `${seed}: offered again`);
  }
  if (signedIn) tally.signedIn++;
  tally.frames += count(Buffer.from(before + (upgrade.done ? encrypted : ''), 'latin1'));
  tally.sessions++;
};

/** What a server says until its client may begin. */
const TO_TLS: Readonly<Record<FuzzedProtocol, readonly string[]>> = {
  imap: ['* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=XOAUTH2] hello', 'p1 OK begin'],
  pop3: ['+OK hello', '+OK', 'STLS', 'SASL XOAUTH2', '.', '+OK begin'],
  smtp: ['220 hello', '250-host', '250-AUTH XOAUTH2', '250 STARTTLS', '220 begin'],
};

const client: FuzzedSession = async (protocol, random, tally, seed) => {
  const reply = (): string => spoil(random, pick(random, REPLIES[protocol]));
  const before = TO_TLS[protocol].map((line) => (random() < 0.95 ? `${line}\r\n` : spoil(random, line))).join('');
  const socket = new MemorySocket();
  const wrote: Buffer[] = [];
  socket.onWritten = (bytes) => void wrote.push(bytes);
  const encrypted = lines(random, 30, reply);
  const upgrade = new Upgrade(random, (inside) => {
    void drip(random, inside, Buffer.from(encrypted, 'latin1'), { octets: 0 });
  });
  const sending = sendPlain(random, socket, upgrade, before, lines(random, 4, reply));
  const conn = new Conn(socket);
  upgrade.conn = conn;
  try {
    await clients[protocol].signIn(conn, {
      tls: 'starttls',
      secure: upgrade.secure,
      user: 'user@fuzz.test',
      token: TOKEN,
      host: 'fuzz.test',
      port: 587,
      mechanisms: ['XOAUTH2', 'OAUTHBEARER'],
    });
    assert.ok(upgrade.done, `${seed}: signed in without TLS`);
    tally.signedIn++;
  } catch (error) {
    expected(error, tally, seed);
  }
  socket.destroy();
  upgrade.inside.destroy();
  await sending;
  const plain = Buffer.concat(wrote).toString('latin1');
  const decoded = plain.split(/\s+/).map((word) => Buffer.from(word, 'base64').toString('latin1'));
  for (const text of [plain, ...decoded]) assert.ok(!text.includes(TOKEN.reveal()), `${seed}: the token in plain text`);
  tally.frames += count(Buffer.from(before + (upgrade.done ? encrypted : ''), 'latin1'));
  tally.sessions++;
};

/** Runs sessions that turn to TLS, half of them against each half. @throws AssertionError naming the session's seed */
export function fuzzUpgrades(protocol: FuzzedProtocol, frames: number, seed: number): Promise<FuzzFigures> {
  return runSessions([server, client], protocol, frames, seed);
}
