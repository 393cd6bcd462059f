/**
 * Every reader of a session, given its octets in pieces as small as a slow line brings them: what is kept of an unfinished one must
 * not be copied with each. For test/growth.test.ts and `npm run bench -- readers`.
 */
import { CommandFilter, type CommandSink } from '../../src/gateway/continuity/commands.ts';
import { Pop3Keeper } from '../../src/gateway/continuity/pop3.ts';
import { ResponseFilter } from '../../src/gateway/continuity/responses.ts';
import { SmtpDialogue } from '../../src/gateway/continuity/smtp-dialogue.ts';
import { ImapTap } from '../../src/gateway/continuity/tap.ts';
import { Secret } from '../../src/base/secret.ts';
import * as imapClient from '../../src/protocol/imap/client.ts';
import { parseResponse } from '../../src/protocol/imap/response.ts';
import { ResponseReader } from '../../src/protocol/imap/response-reader.ts';
import * as imapServer from '../../src/protocol/imap/server.ts';
import * as pop3Client from '../../src/protocol/pop3/client.ts';
import * as pop3Server from '../../src/protocol/pop3/server.ts';
import * as smtpClient from '../../src/protocol/smtp/client.ts';
import { receiveExtensions, serveMail } from '../../src/protocol/smtp/receive.ts';
import { SmtpSender } from '../../src/protocol/smtp/send.ts';
import * as smtpServer from '../../src/protocol/smtp/server.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import { Framer } from '../../src/protocol/wire/framer.ts';
import { MemorySocket } from './memory-socket.ts';

/** Octets. */
const PIECE = 64;
const LINE = 64 * 1024;

function* pieces(text: string): Generator<Buffer, undefined, void> {
  const octets = Buffer.from(text, 'latin1');
  for (let at = 0; at < octets.length; at += PIECE) yield octets.subarray(at, at + PIECE);
}

const FORWARD: CommandSink = {
  passes: () => false,
  judge: () => undefined,
  swallowed: ignore,
  begin: () => 'forward',
  begun: ignore,
  complete: ignore,
  done: ignore,
  doubtful: ignore,
  tooLong: ended,
};

function tap(): ImapTap {
  const ports = { toClient: ignore, toServer: ignore, changed: ignore, flows: ignore, asked: ignore };
  return new ImapTap({ ...ports, leaves: () => false, end: ended }, 'gate');
}

function dialogue(): SmtpDialogue {
  return new SmtpDialogue({ sender: () => undefined, header: () => undefined });
}

/** In the middle of a message. */
function inText(): SmtpDialogue {
  const smtp = dialogue();
  for (const [command, reply] of [
    ['MAIL FROM:<a@b>', '250 ok'],
    ['RCPT TO:<a@b>', '250 ok'],
    ['DATA', '354 go on'],
  ]) {
    smtp.fromClient(Buffer.from(`${command}\r\n`));
    smtp.fromServer(Buffer.from(`${reply}\r\n`));
  }
  return smtp;
}

/** Passes every response on. */
function responses(): ResponseFilter {
  return new ResponseFilter({ fetches: true, lists: true, answers: () => false, line: (line) => line, lost: ended });
}

function pop3(toServer: () => void = ignore): Pop3Keeper {
  const keeper = new Pop3Keeper();
  keeper.attach({ pauseClient: ignore, toServer, toClient: ignore });
  return keeper;
}

/** All of it comes before the first answer, and the server answers one command after the other. */
function pop3Program(text: string): void {
  let sent = true;
  const keeper = pop3(() => void (sent = true));
  for (const piece of pieces(text)) keeper.fromClient(piece);
  while (sent) {
    sent = false;
    keeper.fromServer(Buffer.from('+OK\r\n.\r\n'));
    keeper.passed();
  }
}

/** Says all of it to whoever reads the other end, and hangs up. */
async function over(text: string, read: (conn: Conn) => Promise<unknown>, before = ''): Promise<void> {
  const socket = new MemorySocket();
  const reading = read(new Conn(socket));
  if (before !== '') socket.feed(Buffer.from(before));
  for (const piece of pieces(text)) socket.feed(piece);
  socket.finish();
  await reading;
  socket.destroy();
}

const SIGN_IN = {
  hostname: 'gate.test',
  allowPlain: true,
  bearer: true,
  lineOctets: LINE,
  literalOctets: LINE,
  maxFailures: 3,
  verify: () => Promise.reject(new Error('nobody signs in')),
} as const;
const BEARER = {
  tls: 'none',
  user: 'a@b.test',
  token: new Secret('x'),
  host: 'mail.test',
  port: 993,
  mechanisms: ['XOAUTH2'],
} as const;
const OUTGOING = {
  from: 'a@b.test',
  recipients: [{ address: 'a@b.test' }],
  size: 1,
  eightBit: false,
  smtputf8: false,
  body: [Buffer.from('\r\n')],
};

/** Of what one side says. */
export const SESSION_READERS: Readonly<Record<string, (text: string) => unknown>> = {
  'commands that pass': (text) => {
    const filter = new CommandFilter(FORWARD);
    for (const piece of pieces(text)) {
      filter.push(piece);
      filter.passed();
    }
  },
  'commands that wait': (text) => {
    const filter = new CommandFilter(FORWARD);
    filter.stop();
    for (const piece of pieces(text)) filter.push(piece);
    filter.resume();
  },
  'responses that pass': (text) => {
    const filter = responses();
    for (const piece of pieces(text)) {
      filter.push(piece);
      filter.passed();
    }
  },
  'a response that begins with a number': (text) => {
    const filter = responses();
    for (const piece of pieces(`* ${text.replaceAll(/[^]/g, '1')}`)) filter.push(piece);
  },
  'an IMAP program': (text) => {
    const one = tap();
    for (const piece of pieces(text)) {
      one.fromClient(piece);
      one.passed();
    }
  },
  'an IMAP server': (text) => {
    const one = tap();
    for (const piece of pieces(text)) {
      one.fromServer(piece);
      one.passed();
    }
  },
  'an SMTP program': (text) => {
    const smtp = dialogue();
    for (const piece of pieces(text)) if (smtp.fromClient(piece).cut !== undefined || smtp.early) return;
  },
  'the text of a message': (text) => {
    const smtp = inText();
    for (const piece of pieces(text)) if (smtp.fromClient(piece).cut !== undefined || smtp.early) return;
  },
  'an SMTP server': (text) => {
    const smtp = dialogue();
    for (const piece of pieces(text)) smtp.fromServer(piece);
  },
  'a POP3 program': pop3Program,
  'a POP3 server': (text) => {
    const keeper = pop3();
    keeper.fromClient(Buffer.from('RETR 1\r\n'));
    for (const piece of pieces(text)) keeper.fromServer(piece);
  },
  'responses to our commands': (text) => {
    const framer = new Framer();
    const reader = new ResponseReader();
    for (const piece of pieces(text)) {
      framer.push(piece);
      for (let one = reader.next(framer); one?.type === 'response'; one = reader.next(framer))
        parseResponse(one.segments);
    }
  },
  'a dotted run': (text) => {
    const framer = new Framer();
    for (const piece of pieces(text)) {
      framer.push(piece);
      while (framer.dotted() !== undefined);
    }
  },
  'IMAP before sign-in': (text) => over(text, (conn) => imapServer.serveSignIn(conn, SIGN_IN)),
  'POP3 before sign-in': (text) => over(text, (conn) => pop3Server.serveSignIn(conn, SIGN_IN)),
  'SMTP before sign-in': (text) => over(text, (conn) => smtpServer.serveSignIn(conn, SIGN_IN)),
  'mail that is handed over': (text) => over(text, receive, 'MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n'),
  'a message that is handed over': (text) => over(text, receive, 'MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n'),
  'replies to a message': (text) =>
    over(text, (conn) => new SmtpSender(conn, 'sink.test', receiveExtensions(1_000_000)).send(OUTGOING)),
  'an IMAP server at sign-in': (text) =>
    over(text, (conn) => imapClient.signIn(conn, BEARER), '* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\r\n'),
  'a POP3 server at sign-in': (text) => over(text, (conn) => pop3Client.signIn(conn, BEARER), '+OK hello\r\n'),
  'an SMTP server at sign-in': (text) => over(text, (conn) => smtpClient.signIn(conn, BEARER), '220 hello\r\n'),
};

async function receive(conn: Conn): Promise<unknown> {
  return serveMail(conn, {
    hostname: 'gate.test',
    maxOctets: 1_000_000,
    lineOctets: LINE,
    mail: () => Promise.resolve('250 2.1.0 ok'),
    rcpt: () => Promise.resolve('250 2.1.5 ok'),
    message: () => Promise.resolve('250 2.0.0 taken'),
  });
}

/** How it goes on behind a line of the session, again and again. */
export const SESSION_PIECES = [
  ' ',
  'a',
  '"',
  '(',
  '{',
  '}',
  '\\',
  '\r',
  '\n',
  '\r\n',
  'x\r\n',
  '.',
  '\r\n.',
  '\n.',
  '.\r\n',
  '..\r\n',
  '*',
  '* ',
  '* 1 ',
  '* 1 EXISTS\r\n',
  '* 1 EXPUNGE\r\n',
  '* 1 FETCH (UID 1 FLAGS ())\r\n',
  '* 1 FETCH (BODY[] {1}\r\nx)\r\n',
  '* OK x\r\n',
  '* OK [X {0}\r\n',
  '+ \r\n',
  '+OK\r\n',
  '-ERR\r\n',
  'a NOOP\r\n',
  'a OK x\r\n',
  'a IDLE\r\nDONE\r\n',
  'a CAPABILITY {1}\r\nx',
  'a APPEND x {0+}\r\n',
  '{0}\r\n',
  '{1+}\r\nx',
  '~{1}\r\nx',
  '220-x\r\n',
  '250 ok\r\n',
  '250-ok\r\n',
  '354 ok\r\n',
  '334 x\r\n',
  'NOOP\r\n',
  'RSET\r\n',
  'EHLO x\r\n',
  'MAIL FROM:<a@b>\r\n',
  'RCPT TO:<a@b>\r\n',
  'BDAT 1\r\nx',
  'BDAT 0 LAST\r\n',
  'DATA\r\n.\r\n',
  'RETR 1\r\n',
  'CAPA\r\n',
  'AUTH PLAIN\r\n*\r\n',
  'a AUTHENTICATE PLAIN\r\n*\r\n',
];

/** Many commands under way at once, and their answers one by one. */
export const DIALOGUES: Readonly<Record<string, (times: number) => unknown>> = {
  'IMAP commands and their answers': (times) => {
    const one = tap();
    for (let at = 0; at < times; at++) {
      one.fromClient(Buffer.from(`a${at} NOOP\r\n`));
      one.passed();
    }
    for (let at = 0; at < times; at++) {
      one.fromServer(Buffer.from(`a${at} OK x\r\n`));
      one.passed();
    }
  },
  'SMTP commands and their replies': (times) => {
    const smtp = dialogue();
    for (let at = 0; at < times; at++) smtp.fromClient(Buffer.from('NOOP\r\n'));
    for (let at = 0; at < times; at++) smtp.fromServer(Buffer.from('250 ok\r\n'));
  },
  'SMTP commands that are refused here': (times) => {
    const smtp = dialogue();
    for (let at = 0; at < times; at++) smtp.fromClient(Buffer.from('NOOP\r\nMAIL x\r\n'));
    for (let at = 0; at < times; at++) smtp.fromServer(Buffer.from('250 ok\r\n'));
  },
};

function ignore(): void {}

function ended(): never {
  throw new Error('the session ends');
}
