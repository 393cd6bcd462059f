/** What the commands of the IMAP server share. */
import type { Admitted } from './admission.ts';
import type { CommandReader } from '../../protocol/imap/token.ts';
import type { Dialect } from './imap-dialect.ts';
import type { Line } from './line.ts';
import type { MailSite } from './site.ts';
import type { SessionEnd } from './session-end.ts';
import type { View } from './imap-view.ts';

export interface ImapSession {
  readonly conn: Line;
  readonly service: MailSite;
  admitted: Admitted;
  end: SessionEnd;
  view: View | undefined;
  dialect: Dialect;
  /** Of the command under way. */
  tag: string;
  /** IMAP4rev2 was enabled (RFC 9051 §6.3.1). */
  enabled: boolean;
}

/** A tagged answer: `OK …`, `NO …` or `BAD …`. `expunge` false keeps sequence numbers still (RFC 3501 §7.4.1). */
export interface Answer {
  readonly text: string;
  readonly expunge?: boolean;
}

export type Command = (session: ImapSession, reader: CommandReader) => Promise<Answer> | Answer;
