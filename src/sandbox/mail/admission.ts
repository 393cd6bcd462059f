/** Who gets into which mailbox: what Exchange decides from a bearer token and the user name sent beside it. */
import type { TokenCheck, TokenVerdict } from '../token.ts';
import type { Mailbox, MailStore } from './store.ts';

export interface Admitted {
  readonly type: 'open';
  /** As sent. */
  readonly user: string;
  readonly mailbox: Mailbox;
  readonly verdict: TokenVerdict & { readonly ok: true };
}

/** `disconnected`: the token is good, the mailbox is not its to open. IMAP says so only at the next command. */
export type Admission =
  | Admitted
  | { readonly type: 'disconnected'; readonly user: string }
  | { readonly type: 'refused'; readonly reason: string; readonly user?: string };

export type MailProtocol = 'IMAP' | 'POP' | 'SMTP';

const permissions = {
  IMAP: { scope: 'IMAP.AccessAsUser.All', role: 'IMAP.AccessAsApp' },
  POP: { scope: 'POP.AccessAsUser.All', role: 'POP.AccessAsApp' },
  SMTP: { scope: 'SMTP.Send', role: 'SMTP.SendAsApp' },
} as const;

export function admit(tokens: TokenCheck, mail: MailStore, protocol: MailProtocol, response: Buffer): Admission {
  const sent = parseXoauth2(response);
  if (!sent) return { type: 'refused', reason: 'not an XOAUTH2 response' };
  const { user } = sent;
  const verdict = tokens(sent.token);
  if (!verdict.ok) return { type: 'refused', reason: verdict.reason, user };
  const needed = permissions[protocol];
  if (!verdict.appOnly && !verdict.scopes.includes(needed.scope))
    return { type: 'refused', reason: `the token lacks ${needed.scope}`, user };
  if (verdict.appOnly && !verdict.roles.includes(needed.role)) return { type: 'disconnected', user };
  const mailbox = mail.find(user);
  return mailbox && mayOpen(verdict, mailbox)
    ? { type: 'open', user, mailbox, verdict }
    : { type: 'disconnected', user };
}

export function mayOpen(verdict: TokenVerdict & { readonly ok: true }, mailbox: Mailbox): boolean {
  if (verdict.appOnly) return mailbox.applications.has(verdict.application);
  const identity = verdict.identity?.toLowerCase() ?? '';
  return identity === mailbox.address || mailbox.delegates.has(identity);
}

/** Octets of a base64 line; undefined when it is not base64. */
export function decodeLine(line: string): Buffer | undefined {
  if (line === '=') return Buffer.alloc(0);
  return line.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(line) ? Buffer.from(line, 'base64') : undefined;
}

/** `user=…^Aauth=Bearer …^A^A`. Read here and not by the client's code, which this server is there to judge. */
function parseXoauth2(response: Buffer): { readonly user: string; readonly token: string } | undefined {
  const [, user, token] =
    /^user=([^\x01]+)\x01auth=Bearer ([\x21-\x7e]+)\x01\x01$/i.exec(response.toString('utf8')) ?? [];
  return user === undefined || token === undefined ? undefined : { user, token };
}
