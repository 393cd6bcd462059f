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
  later: {
    http: 503,
    imap: 'NO [UNAVAILABLE]',
    smtpAuth: '454 4.7.0',
    smtp: '451 4.3.0',
    pop3: '-ERR [SYS/TEMP]',
    exit: 75,
  },
  garbled: {
    http: 502,
    imap: 'NO [UNAVAILABLE]',
    smtpAuth: '454 4.7.0',
    smtp: '451 4.3.0',
    pop3: '-ERR [SYS/TEMP]',
    exit: 76,
  },
  limit: { http: 429, imap: 'NO [LIMIT]', smtpAuth: '454 4.7.0', smtp: '452 4.3.1', pop3: '-ERR [SYS/TEMP]', exit: 65 },
  bug: {
    http: 500,
    imap: 'NO [SERVERBUG]',
    smtpAuth: '454 4.7.0',
    smtp: '451 4.3.0',
    pop3: '-ERR [SYS/TEMP]',
    exit: 70,
  },
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
const { http, imap, smtp, smtpAuth, pop3 } = replies.later;
const LATER: Partial<Reply> = { http, imap, smtp, smtpAuth, pop3 };
const byCode: Readonly<Record<string, Partial<Reply>>> = {
  'gateway.consent-needed': elsewhere,
  'gateway.provider-refused': elsewhere,
  'gateway.misconfigured': elsewhere,
  // RFC 2449 §8.1.1, §8.1.2: programs tell their user that another one is at it, or wait.
  'gateway.maildrop-in-use': { pop3: '-ERR [IN-USE]' },
  'gateway.login-delay': { pop3: '-ERR [LOGIN-DELAY]' },
  // RFC 5321 §4.2.3 and RFC 3463 §3.4 name these; senders show them to people or act on them.
  'store.full': { http: 507, smtp: '452 4.3.1' },
  'store.swept': { http: 503, smtp: '451 4.3.0' },
  // For whoever runs Postern (exit code 64); to a peer it is trouble of ours that is looked after.
  'store.damaged': LATER,
  'store.misconfigured': LATER,
  'store.newer': LATER,
  'outbox.address': { smtp: '501 5.1.3', http: 422 },
  'outbox.local-name': { smtp: '501 5.1.3', http: 422 },
  'outbox.no-recipients': { smtp: '503 5.5.1', http: 422 },
  'outbox.too-many-recipients': { smtp: '452 4.5.3', http: 422 },
  'outbox.too-many-uploads': { http: 422 },
  'outbox.sender': { smtp: '550 5.7.60', http: 403 },
  // Whoever asks is known: 401 would have a program ask for another key.
  'oauth.suspended': { http: 403, smtp: '550 5.7.1' },
  // Not 5.1.1: the address may exist, and somebody may have blocked it by hand (RFC 3463 §3.8).
  'outbox.suppressed': { smtp: '550 5.7.1' },
  'outbox.too-large': { smtp: '552 5.3.4', http: 413 },
  'outbox.header': { smtp: '554 5.6.0', http: 422 },
  'outbox.bare-newline': { smtp: '550 5.6.11', http: 422 },
  'outbox.nul': { smtp: '554 5.6.0', http: 422 },
  'outbox.idempotency-mismatch': { smtp: '554 5.7.1', http: 409 },
  'outbox.idempotency-busy': { smtp: '451 4.7.1', http: 409 },
  'outbox.device-quota': { smtp: '452 4.7.1' },
  'outbox.not-found': { http: 404 },
  'outbox.too-late': { http: 409 },
  'api.forbidden': { http: 403 },
  'api.insecure': { http: 403 },
  'api.not-found': { http: 404 },
  'api.method': { http: 405 },
  'api.unknown-parameter': { http: 422 },
  'api.media-type': { http: 415 },
  'api.too-large': { http: 413 },
  'api.slow': { http: 408 },
  'api.too-many-webhooks': { http: 422 },
  'outbox.template': { http: 422 },
  'outbox.template-data': { http: 422 },
  'outbox.webhook-address': { http: 422 },
  'store.conflict': { http: 409 },
  'store.not-found': { http: 404 },
};

/** What this failure looks like from outside: its code's own reply where it has one, otherwise its kind's. */
export function replyTo(error: { readonly code: string; readonly kind: Kind }): Reply {
  const own = byCode[error.code];
  return own === undefined ? replies[error.kind] : { ...replies[error.kind], ...own };
}

/**
 * To whom which codes are said outside; whatever is not here, no mail program ever meets. `sign-in`: in answer to a sign-in ·
 * `pop3`: the same, by POP3 only · `hand-over`: while mail is handed over by SMTP · `device`: the same, to devices only · `api`: by the
 * HTTP API. What ends a connection has words of its own, which are not those of {@link replyTo}.
 */
export type Hearer = 'sign-in' | 'pop3' | 'hand-over' | 'device' | 'api';

const EVERYBODY = ['sign-in', 'hand-over', 'api'] as const;
const SENDERS = ['hand-over', 'api'] as const;
const HEARERS: Readonly<Record<string, readonly Hearer[]>> = {
  'gateway.wrong-password': ['sign-in'],
  'gateway.user-name': ['sign-in'],
  'gateway.slowed': ['sign-in'],
  'gateway.consent-needed': ['sign-in'],
  'gateway.provider-refused': ['sign-in'],
  'gateway.misconfigured': ['sign-in'],
  'gateway.provider-unreachable': ['sign-in'],
  'gateway.maildrop-in-use': ['pop3'],
  'gateway.login-delay': ['pop3'],
  'access.empty': ['sign-in'],
  'store.unavailable': EVERYBODY,
  'store.full': EVERYBODY,
  'store.swept': SENDERS,
  'store.damaged': EVERYBODY,
  'base.bug': EVERYBODY,
  'outbox.address': SENDERS,
  'outbox.local-name': SENDERS,
  'outbox.no-recipients': SENDERS,
  'outbox.too-many-recipients': SENDERS,
  'outbox.too-many-uploads': ['api'],
  'outbox.sender': SENDERS,
  'outbox.suppressed': SENDERS,
  'outbox.too-large': SENDERS,
  'outbox.header': SENDERS,
  'outbox.bare-newline': SENDERS,
  'outbox.nul': SENDERS,
  'outbox.idempotency-mismatch': SENDERS,
  'outbox.idempotency-busy': SENDERS,
  'outbox.device-quota': ['device'],
  'outbox.not-found': ['api'],
  'outbox.too-late': ['api'],
  'outbox.template': ['api'],
  'outbox.template-data': ['api'],
  'outbox.webhook-address': ['api'],
  'oauth.suspended': ['api'],
  'store.conflict': ['api'],
  'store.not-found': ['api'],
};

/** Who outside is ever told this code. */
export function hearersOf(code: string): readonly Hearer[] {
  return HEARERS[code] ?? (code.startsWith('api.') ? ['api'] : []);
}
