/** An IMAP4rev1 session as Exchange Online serves it (RFC 3501; RFC 2177, 2342, 2971, 3691, 4315, 4959, 6851, 7888). */
import type { ImapSession, Answer, Command } from './imap-answer.ts';
import { isError } from '../../base/error.ts';
import { CommandReader } from '../../protocol/imap/token.ts';
import type { Spot } from '../faults/board.ts';
import { admit, decodeLine, type Admitted } from './admission.ts';
import { capabilities, type Dialect, greeting } from './imap-dialect.ts';
import { readCommand } from './imap-command.ts';
import { folderCommands } from './imap-folders.ts';
import { messageCommands } from './imap-messages.ts';
import { bites } from './imap-quirks.ts';
import type { Line } from './line.ts';
import { SessionEnd } from './session-end.ts';
import { LINE_OCTETS, type MailSite } from './site.ts';

const FAILURES = 10;
const BYE = '* BYE Microsoft Exchange Server IMAP4 server signing off.\r\n';
const TAG = /[^(){ %*"\\\]+\x00-\x1f\x7f-\xff]+/y;

const commands: Readonly<Record<string, Command>> = { ...folderCommands, ...messageCommands };
/** While they are answered, refused ones too, no number may move (RFC 3501 §7.4.1). */
const NUMBERS_STAND = new Set(['FETCH', 'STORE', 'SEARCH']);
const selected = new Set(['CHECK', 'CLOSE', 'UNSELECT', 'EXPUNGE', 'SEARCH', 'FETCH', 'STORE', 'COPY', 'MOVE', 'UID']);

/** Serves until the end of the connection. Whatever the client sends, this does not throw for it. */
export async function serveImap(conn: Line, service: MailSite): Promise<void> {
  const dialect: Dialect = service.faults.bite('imap4rev2', { place: 'imap' }) ? 'rev2' : 'classic';
  await conn.write(greeting(dialect, service.hostname));
  const session: OpenSession = { conn, service, dialect, tag: '*', enabled: false, view: undefined };
  try {
    while (await step(session)) {
      if (!session.view?.gone) continue;
      // The folder was deleted or rebuilt under the session.
      await conn.write('* BYE Connection is closed. 13\r\n');
      break;
    }
  } catch (error) {
    if (isError(error, 'wire.line-too-long') || isError(error, 'wire.bare-newline'))
      await conn.write(`* BAD Command Error. 10\r\n${BYE}`);
    else if (isError(error, 'wire.timeout')) await conn.write('* BYE Connection is closed. 13\r\n');
    else if (!isError(error, 'wire.closed')) throw error;
  } finally {
    session.view?.close();
    session.end?.close();
    session.leave?.();
  }
}

/** Before sign-in too. */
type OpenSession = Omit<ImapSession, 'admitted' | 'end'> & {
  admitted?: Admitted;
  end?: SessionEnd;
  leave?: () => void;
  failures?: number;
  disconnected?: boolean;
};

async function step(session: OpenSession): Promise<boolean> {
  const { conn } = session;
  const segments = await readCommand(conn, session.service.ledger, {
    signedIn: session.admitted !== undefined,
    goodbye: BYE,
    watch: () => session.end?.watch('between', (bye) => conn.end(`* BYE ${bye}\r\n`)),
  });
  if (segments === 'closed') return false;
  const reader = new CommandReader(segments);
  let tag = '*';
  let verb = '';
  try {
    tag = session.tag = reader.matching(TAG, 'a tag');
    reader.space();
    verb = reader.atom().toUpperCase();
    if (session.disconnected) {
      await conn.write(`${tag} BAD User is authenticated but not connected.\r\n* BYE Connection closed. 14\r\n`);
      return false;
    }
    const bye = session.end?.atCommand();
    if (bye !== undefined) {
      await conn.write(`* BYE ${bye}\r\n`);
      return false;
    }
    if (session.admitted && bites(session, 'imap-server-unavailable')) {
      await conn.write('Server Unavailable. 15\r\n');
      return false;
    }
    if (verb === 'LOGOUT') {
      await conn.write(`${BYE}${tag} OK LOGOUT completed.\r\n`);
      return false;
    }
    const answer = await run(session, verb, reader);
    const news = session.view?.tell(answer.expunge ?? !NUMBERS_STAND.has(verb), !session.enabled) ?? '';
    await conn.write(`${news}${tag} ${answer.text}\r\n`);
    return (session.failures ?? 0) < FAILURES;
  } catch (error) {
    if (!isError(error, 'wire.syntax')) throw error;
    await conn.write(
      `${tag} BAD ${verb === '' ? 'Command received in Invalid state.' : 'Command Argument Error. 12'}\r\n`,
    );
    return true;
  }
}

async function run(session: OpenSession, verb: string, reader: CommandReader): Promise<Answer> {
  const { conn, admitted } = session;
  const throttled = admitted && bites(session, 'imap-throttled');
  if (throttled) return { text: `BAD Request is throttled. Suggested Backoff Time: ${throttled.value} milliseconds` };
  switch (verb) {
    case 'CAPABILITY':
      reader.end();
      await conn.write(`* CAPABILITY ${capabilities(session.dialect, admitted !== undefined)}\r\n`);
      return { text: 'OK CAPABILITY completed.' };
    case 'NOOP':
      reader.end();
      return { text: 'OK NOOP completed.' };
    case 'ID':
      await conn.write('* ID ("name" "Microsoft.Exchange.Imap4.Imap4Server" "version" "15.20")\r\n');
      return { text: 'OK ID completed' };
    case 'LOGIN':
      if (admitted) return invalidState;
      session.failures = (session.failures ?? 0) + 1;
      return { text: 'NO LOGIN failed.' };
    case 'AUTHENTICATE':
      return admitted ? invalidState : authenticate(session, reader);
    default: {
      const command = commands[verb];
      if (!command) return { text: 'BAD Command Error. 12' };
      if (!admitted || (selected.has(verb) && !session.view)) return invalidState;
      if (verb === 'ENABLE' && session.dialect === 'classic') return { text: 'BAD Command Error. 12' };
      if (verb === 'LSUB' && session.dialect === 'rev2') return { text: 'BAD Command Error. 12' };
      if (bites(session, 'imap-server-bug')) return { text: 'NO [SERVERBUG] Internal server error', expunge: false };
      return command(session as ImapSession, reader);
    }
  }
}

const invalidState: Answer = { text: 'BAD Command received in Invalid state.' };

/** Exchange refuses at once, without the JSON challenge of RFC 7628 that others send first. */
async function authenticate(session: OpenSession, reader: CommandReader): Promise<Answer> {
  reader.space();
  const mechanism = reader.atom().toUpperCase();
  let line: string | undefined;
  if (!reader.atEnd) {
    reader.space();
    line = reader.matching(/[A-Za-z0-9+/=*]+/y, 'base64');
    reader.end();
  }
  if (mechanism !== 'XOAUTH2' && mechanism !== 'PLAIN') return { text: 'NO AUTHENTICATE failed.' };
  if (line === undefined) {
    await session.conn.write('+ \r\n');
    line = (await session.conn.line(LINE_OCTETS))?.toString('latin1') ?? '*';
  }
  if (line === '*') return { text: 'BAD AUTHENTICATE canceled.' };
  const response = decodeLine(line);
  const { tokens, mail, log, faults, ledger } = session.service;
  const admission = response && mechanism === 'XOAUTH2' ? admit(tokens, mail, 'IMAP', response) : undefined;
  const spot: Spot = { place: 'imap', addresses: admission?.user === undefined ? [] : [admission.user] };
  const disabled = admission && faults.bite('imap-disabled', spot);
  if (!admission || admission.type === 'refused' || disabled) {
    const reason = disabled?.fault.title ?? (admission as { readonly reason?: string } | undefined)?.reason;
    log.info({ protocol: 'imap', reason: reason ?? 'basic authentication' }, 'sign-in refused');
    session.failures = (session.failures ?? 0) + 1;
    return { text: 'NO AUTHENTICATE failed.' };
  }
  const full =
    admission.type === 'open' && ledger.open(admission.mailbox.address, 'imap') >= ledger.limits.imapConnections;
  if (admission.type !== 'open' || full || faults.bite('imap-not-connected', spot)) session.disconnected = true;
  else {
    session.leave = ledger.enter(admission.mailbox.address, 'imap');
    session.admitted = admission;
    if (session.dialect === 'classic' && faults.bite('imap4rev2', spot)) session.dialect = 'rev2';
    session.conn.arm({ place: 'imap', addresses: [admission.mailbox.address] });
    session.end = new SessionEnd(session.service, admission, () => session.view !== undefined);
  }
  return { text: 'OK AUTHENTICATE completed.' };
}
