/** Our IMAP client and the sandbox's server, over memory, with what passes between them cut as the caller likes. */
import { ManualClock } from './manual-clock.ts';
import { isError } from '../../src/base/error.ts';
import { nullLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { signIn } from '../../src/protocol/imap/client.ts';
import { ImapSession } from '../../src/protocol/imap/session.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import { FaultBoard } from '../../src/sandbox/faults/board.ts';
import { Ledger } from '../../src/sandbox/limits.ts';
import { serveImap } from '../../src/sandbox/mail/imap-session.ts';
import { Line } from '../../src/sandbox/mail/line.ts';
import { createMailStore, type Mailbox } from '../../src/sandbox/mail/store.ts';
import { memoryPair } from './memory-socket.ts';

const ADDRESS = 'alice@contoso.test';
const HOST = 'outlook.contoso.test';

export interface ImapPair extends Disposable {
  /** Signed in. */
  readonly session: ImapSession;
  /** What the server serves. */
  readonly mailbox: Mailbox;
  readonly conn: Conn;
}

/** @param cut gives the lengths of the pieces in which so many octets arrive */
export async function openImapPair(cut: (octets: number) => readonly number[] = () => []): Promise<ImapPair> {
  const clock = new ManualClock(Date.UTC(2026, 10, 30));
  const store = createMailStore({ clock });
  const mailbox = store.addMailbox(ADDRESS);
  const [near, far] = memoryPair();
  for (const end of [near, far]) {
    const pass = end.onWritten;
    end.onWritten = (bytes) => {
      let at = 0;
      for (const length of cut(bytes.length)) {
        if (length > 0) pass(bytes.subarray(at, at + length));
        at += length;
      }
      if (at < bytes.length) pass(bytes.subarray(at));
    };
    end.on('error', () => undefined);
  }
  const visitor = { socket: far, raw: far, secure: () => Promise.reject(new Error('no TLS here')) };
  const faults = new FaultBoard();
  const line = new Line(visitor, faults, clock, {});
  const served = serveImap(line, {
    tokens: () => ({
      ok: true,
      identity: ADDRESS,
      application: 'app',
      appOnly: false,
      scopes: ['IMAP.AccessAsUser.All'],
      roles: [],
      audience: '',
      expiresAt: clock.now() + 3_600_000,
    }),
    mail: store,
    faults,
    ledger: new Ledger(clock),
    clock,
    log: nullLog,
    hostname: HOST,
  }).catch((error: unknown) => {
    if (!isError(error, 'wire.closed')) throw error;
  });
  const conn = new Conn(near);
  await signIn(conn, {
    tls: 'implicit',
    user: ADDRESS,
    token: new Secret('token'),
    host: HOST,
    port: 993,
    mechanisms: ['XOAUTH2'],
  });
  return {
    session: new ImapSession(conn, { host: HOST }),
    mailbox,
    conn,
    [Symbol.dispose]: () => {
      near.destroy();
      far.destroy();
      void served;
    },
  };
}
