/** What a session says differently: the classic Exchange, or the one that has IMAP4rev2 already (MailKit issue 2016). */
import { randomUUID } from 'node:crypto';

export type Dialect = 'classic' | 'rev2';

export function greeting(dialect: Dialect, hostname: string): string {
  const name = Buffer.from(hostname, 'utf16le').toString('base64');
  return dialect === 'classic'
    ? `* OK The Microsoft Exchange IMAP4 service is ready. [${name}]\r\n`
    : `* OK Microsoft Exchange IMAP4 service ready. ${randomUUID()} (tcpproxy/15.21.0406.000 BACKENDAUTHENTICATE) [${name}]\r\n`;
}

export function capabilities(dialect: Dialect, signedIn: boolean): string {
  return CAPABILITIES[dialect][signedIn ? 'after' : 'before'];
}

const CAPABILITIES = {
  classic: {
    before: 'IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+',
    after:
      'IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CLIENTACCESSRULES CLIENTNETWORKPRESENCELOCATION BACKENDAUTHENTICATE CHILDREN IDLE NAMESPACE LITERAL+',
  },
  rev2: {
    before:
      'IMAP4 IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+',
    after:
      'IMAP4 IMAP4rev1 IMAP4rev2 ENABLE AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CLIENTACCESSRULES CLIENTNETWORKPRESENCELOCATION BACKENDAUTHENTICATE BACKENDAUTHENTICATE-IR CHILDREN IDLE NAMESPACE LITERAL+',
  },
} as const;
