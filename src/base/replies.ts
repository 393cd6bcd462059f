/** What each kind of failure looks like from outside: HTTP, IMAP, SMTP, POP3 and exit codes, decided here once. */
import type { Kind } from './error.ts';

export interface Reply {
  /** HTTP status. */
  readonly http: number;
  /** Tagged IMAP status and response code (RFC 9051 §7.1, RFC 5530 §3). */
  readonly imap: string;
  /** SMTP reply in answer to AUTH (RFC 4954 §6). */
  readonly smtpAuth: string;
  /** SMTP reply anywhere else (RFC 5321 §4.2, RFC 3463). */
  readonly smtp: string;
  /** POP3 status and response code (RFC 2449 §8, RFC 3206 §3–5). */
  readonly pop3: string;
  /** Process exit code (sysexits.h). */
  readonly exit: number;
}

/** To a peer: trouble that passes or is looked after. */
const LATER = {
  http: 503,
  imap: 'NO [UNAVAILABLE]',
  smtpAuth: '454 4.7.0',
  smtp: '451 4.3.0',
  pop3: '-ERR [SYS/TEMP]',
} as const;

/**
 * The line that matters is `denied` against `later`: a mail program asks its user for a password only on the first, so an
 * outage must never be answered as a wrong password.
 */
export const replies: Readonly<Record<Kind, Reply>> = {
  misuse: { http: 400, imap: 'BAD [CLIENTBUG]', smtpAuth: '501 5.5.4', smtp: '501 5.5.4', pop3: '-ERR', exit: 64 },
  denied: {
    http: 401,
    imap: 'NO [AUTHENTICATIONFAILED]',
    smtpAuth: '535 5.7.8',
    smtp: '530 5.7.0',
    pop3: '-ERR [AUTH]',
    exit: 77,
  },
  refused: {
    http: 422,
    imap: 'NO [CANNOT]',
    smtpAuth: '554 5.7.0',
    smtp: '554 5.0.0',
    pop3: '-ERR [SYS/PERM]',
    exit: 69,
  },
  later: { ...LATER, exit: 75 },
  garbled: { ...LATER, http: 502, exit: 76 },
  limit: { ...LATER, http: 429, imap: 'NO [LIMIT]', smtp: '452 4.3.1', exit: 65 },
  bug: { ...LATER, http: 500, imap: 'NO [SERVERBUG]', exit: 70 },
};

/**
 * Replies to codes whose kind alone would mislead a mail program. Of `elsewhere`: the app password was right, yet somebody has to act
 * elsewhere. A program must neither ask for a password nor forget it, so these are never answered as a failed
 * authentication: IMAP CONTACTADMIN (RFC 5530 §3), POP3 SYS/PERM (RFC 3206 §4), SMTP 235 and then `SMTP_WAITING`, so that queues
 * keep their mail; 454 where it was not known yet whether the app password is right.
 */
const elsewhere: Partial<Reply> = {
  imap: 'NO [CONTACTADMIN]',
  pop3: '-ERR [SYS/PERM]',
  smtpAuth: '454 4.7.0',
  smtp: '451 4.3.0',
};
/**
 * The SMTP reply to MAIL of a program whose app password was right, when its mail can go nowhere: after 235, since programs take whatever
 * refuses AUTH for a wrong password. Not 451 or 452, which Thunderbird shows as too many recipients or too large a message.
 */
export const SMTP_WAITING = '450 4.3.0';

/**
 * To whom which codes are said outside; whatever is not here, no mail program ever meets. `sign-in`: in answer to a sign-in ·
 * `pop3`: the same, by POP3 only · `hand-over`: while mail is handed over by SMTP · `device`: the same, to devices only · `api`: by the
 * HTTP API. What ends a connection has words of its own, which are not those of {@link replyTo}.
 */
export type Hearer = 'sign-in' | 'pop3' | 'hand-over' | 'device' | 'api';

const EVERYBODY = ['sign-in', 'hand-over', 'api'] as const;
const SENDERS = ['hand-over', 'api'] as const;
/** What is said to whom outside, where a code's kind and room do not tell. */
const byCode: Readonly<Record<string, { readonly to?: readonly Hearer[]; readonly reply?: Partial<Reply> }>> = {
  'gateway.wrong-password': { to: ['sign-in'] },
  'gateway.user-name': { to: ['sign-in'] },
  'gateway.slowed': { to: ['sign-in'] },
  'gateway.provider-unreachable': { to: ['sign-in'] },
  'gateway.consent-needed': { to: ['sign-in'], reply: elsewhere },
  'gateway.provider-refused': { to: ['sign-in'], reply: elsewhere },
  'gateway.misconfigured': { to: ['sign-in'], reply: elsewhere },
  // RFC 2449 §8.1.1, §8.1.2: programs tell their user that another one is at it, or wait.
  'gateway.maildrop-in-use': { to: ['pop3'], reply: { pop3: '-ERR [IN-USE]' } },
  'gateway.login-delay': { to: ['pop3'], reply: { pop3: '-ERR [LOGIN-DELAY]' } },
  // RFC 5321 §4.2.3 and RFC 3463 §3.4 name these; senders show them to people or act on them.
  'store.full': { to: EVERYBODY, reply: { http: 507, smtp: '452 4.3.1' } },
  'store.swept': { to: SENDERS, reply: { http: 503, smtp: '451 4.3.0' } },
  // For whoever runs Postern (exit code 64); to a peer it is trouble of ours that is looked after.
  'store.damaged': { to: EVERYBODY, reply: LATER },
  'store.misconfigured': { reply: LATER },
  'store.newer': { reply: LATER },
  'outbox.address': { to: SENDERS, reply: { smtp: '501 5.1.3', http: 422 } },
  'outbox.local-name': { to: SENDERS, reply: { smtp: '501 5.1.3', http: 422 } },
  'outbox.no-recipients': { to: SENDERS, reply: { smtp: '503 5.5.1', http: 422 } },
  'outbox.too-many-recipients': { to: SENDERS, reply: { smtp: '452 4.5.3', http: 422 } },
  'outbox.too-many-uploads': { to: ['api'], reply: { http: 422 } },
  'outbox.sender': { to: SENDERS, reply: { smtp: '550 5.7.60', http: 403 } },
  // Whoever asks is known: 401 would have a program ask for another key.
  'oauth.suspended': { to: ['api'], reply: { http: 403, smtp: '550 5.7.1' } },
  // Not 5.1.1: the address may exist, and somebody may have blocked it by hand (RFC 3463 §3.8).
  'outbox.suppressed': { to: SENDERS, reply: { smtp: '550 5.7.1' } },
  'outbox.too-large': { to: SENDERS, reply: { smtp: '552 5.3.4', http: 413 } },
  'outbox.header': { to: SENDERS, reply: { smtp: '554 5.6.0', http: 422 } },
  'outbox.bare-newline': { to: SENDERS, reply: { smtp: '550 5.6.11', http: 422 } },
  'outbox.nul': { to: SENDERS, reply: { smtp: '554 5.6.0', http: 422 } },
  'outbox.idempotency-mismatch': { to: SENDERS, reply: { smtp: '554 5.7.1', http: 409 } },
  'outbox.idempotency-busy': { to: SENDERS, reply: { smtp: '451 4.7.1', http: 409 } },
  'outbox.device-quota': { to: ['device'], reply: { smtp: '452 4.7.1' } },
  'outbox.not-found': { to: ['api'], reply: { http: 404 } },
  'outbox.too-late': { to: ['api'], reply: { http: 409 } },
  'api.forbidden': { reply: { http: 403 } },
  'api.insecure': { reply: { http: 403 } },
  'api.not-found': { reply: { http: 404 } },
  'api.method': { reply: { http: 405 } },
  'api.unknown-parameter': { reply: { http: 422 } },
  'api.media-type': { reply: { http: 415 } },
  'api.too-large': { reply: { http: 413 } },
  'api.slow': { reply: { http: 408 } },
  'api.too-many-webhooks': { reply: { http: 422 } },
  'outbox.template': { to: ['api'], reply: { http: 422 } },
  'outbox.template-data': { to: ['api'], reply: { http: 422 } },
  'outbox.webhook-address': { to: ['api'], reply: { http: 422 } },
  'store.conflict': { to: ['api'], reply: { http: 409 } },
  'store.not-found': { to: ['api'], reply: { http: 404 } },
  'access.empty': { to: ['sign-in'] },
  'store.unavailable': { to: EVERYBODY },
  'base.bug': { to: EVERYBODY },
};

/** What this failure looks like from outside: its code's own reply where it has one, otherwise its kind's. */
export function replyTo(error: { readonly code: string; readonly kind: Kind }): Reply {
  const own = byCode[error.code]?.reply;
  return own === undefined ? replies[error.kind] : { ...replies[error.kind], ...own };
}

/** Who outside is ever told this code. */
export function hearersOf(code: string): readonly Hearer[] {
  return byCode[code]?.to ?? (code.startsWith('api.') ? ['api'] : []);
}
