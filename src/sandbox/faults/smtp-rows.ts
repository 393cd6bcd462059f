/** Faults of SMTP submission as Exchange Online serves it. `{…}` in a reply is filled in by the server. */
import type { FaultRow, SmtpMoment } from './types.ts';

const DEVICES = 'learn.microsoft.com, fix issues with printers, scanners and applications that send email';
const NDR = 'OfficeDocs-Exchange, NDR codes in Exchange Online';
const LIMITS = 'learn.microsoft.com, smtp-submission-improvements';

const BITES: Readonly<Record<SmtpMoment, string>> = {
  connect: 'the greeting',
  auth: 'AUTH',
  mail: 'MAIL',
  recipient: 'RCPT',
  data: 'DATA',
  done: 'the end of the message',
};

/** A reply instead of the one that is due. */
interface ReplyRow extends Omit<FaultRow, 'bites' | 'effect'> {
  readonly at: SmtpMoment;
  readonly reply: string;
  readonly close?: true;
}

const replies = {
  'smtp-auth-disabled': {
    title: 'SMTP AUTH is switched off for the tenant',
    at: 'auth',
    does: '535 5.7.139 … SmtpClientAuthentication is disabled for the Tenant.',
    source: `${DEVICES}; aka.ms/smtp_auth_disabled`,
    reply:
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. {stamp}',
  },
  'smtp-auth-disabled-mailbox': {
    title: 'SMTP AUTH is switched off for the mailbox',
    at: 'auth',
    does: '535 5.7.139 … SmtpClientAuthentication is disabled for the Mailbox.',
    source: `${DEVICES}; aka.ms/smtp_auth_disabled`,
    reply:
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. {stamp}',
  },
  'smtp-security-defaults': {
    title: 'security defaults lock the person out',
    at: 'auth',
    does: '535 5.7.139 … user is locked by your organization’s security defaults policy.',
    source: DEVICES,
    reply:
      "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator. {stamp}",
  },
  'smtp-criteria-unmet': {
    title: 'a policy refuses the sign-in',
    at: 'auth',
    does: '535 5.7.139 … the request did not meet the criteria to be authenticated successfully.',
    source: DEVICES,
    reply:
      '535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator. {stamp}',
  },
  'smtp-basic-ended': {
    title: 'basic authentication has ended',
    at: 'auth',
    does: '550 5.7.30 Basic authentication is not supported for Client Submission.',
    source: 'Exchange team blog, Exchange Online to retire Basic auth for client submission',
    reply: '550 5.7.30 Basic authentication is not supported for Client Submission. {stamp}',
  },
  'smtp-auth-unsuccessful': {
    title: 'SMTP refuses the token without saying why',
    at: 'auth',
    does: '535 5.7.3 Authentication unsuccessful',
    source: 'office-developer-exchange-docs, how to authenticate',
    reply: '535 5.7.3 Authentication unsuccessful {stamp}',
  },
  'smtp-auth-temporary': {
    title: 'SMTP sign-in fails for now',
    at: 'auth',
    does: '454 4.7.0 Temporary authentication failure',
    source: 'RFC 4954 §6',
    reply: '454 4.7.0 Temporary authentication failure {stamp}',
  },
  'smtp-server-error': {
    title: 'a temporary error behind the proxy',
    at: 'auth',
    does: '451 4.7.0 Temporary server error. Please try again later. PRX4',
    source: 'MailKit issue 566',
    reply: '451 4.7.0 Temporary server error. Please try again later. PRX4 {stamp}',
  },
  'smtp-not-active': {
    title: 'the SMTP service is not active',
    at: 'connect',
    does: '421 4.3.2 Service not active, and the connection ends',
    source: 'MailKit issue 1106',
    byAddress: false,
    reply: '421 4.3.2 Service not active',
    close: true,
  },
  'smtp-connection-closed': {
    title: 'the server ends an SMTP session',
    at: 'mail',
    does: '421 4.4.1 Connection timed out. Total session duration: …, and the connection ends',
    source: 'Haraka issue 2321',
    reply: '421 4.4.1 Connection timed out. Total session duration: 00:20:55.2872355 [{host}]',
    close: true,
  },
  'smtp-sender-refused': {
    title: 'the account may not send as this sender',
    at: 'mail',
    does: '550 5.7.60 SMTP; Client does not have permissions to send as this sender',
    source: NDR,
    reply: '550 5.7.60 SMTP; Client does not have permissions to send as this sender {stamp}',
  },
  'smtp-send-as-denied': {
    title: 'SendAs is denied',
    at: 'done',
    does: '554 5.2.252 SendAsDenied; … not allowed to send as …',
    source: 'gophish issue 2900, MailKit issue 1176',
    reply:
      '554 5.2.252 SendAsDenied; {mailbox} not allowed to send as {sender}; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit message. [Hostname={host}]',
  },
  'smtp-concurrent-limit': {
    title: 'too many connections at once',
    at: 'done',
    does: '432 4.3.2 Concurrent connections limit exceeded.',
    source: `${LIMITS}; fastapi-mail issue 75 (whole text)`,
    reply:
      '432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname={host}]',
  },
  'smtp-thread-limit': {
    title: 'too many messages at once',
    at: 'done',
    does: '432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded',
    source: 'Exchange team blog 607825',
    reply: '432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname={host}]',
  },
  'smtp-sender-limit': {
    title: 'the day’s recipients are used up',
    at: 'done',
    does: '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; …',
    source: LIMITS,
    reply:
      "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded. [Hostname={host}]",
  },
  'smtp-submission-rate': {
    title: 'messages come too fast',
    at: 'mail',
    does: '421 4.4.2 Message submission rate for this client has exceeded the configured limit, and the connection ends',
    source: 'Exchange on premises, MessageRateLimit (Exchange Online delays instead)',
    reply: '421 4.4.2 Message submission rate for this client has exceeded the configured limit',
    close: true,
  },
  'smtp-mailbox-full': {
    title: 'the mailbox is full',
    at: 'done',
    does: '554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded',
    source: LIMITS,
    reply:
      '554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded [Hostname={host}]',
  },
  'smtp-sender-blocked': {
    title: 'the account is blocked from sending',
    at: 'done',
    does: '550 5.1.8 Access denied, bad outbound sender',
    source: NDR,
    reply: '550 5.1.8 Access denied, bad outbound sender {stamp}',
  },
  'smtp-tenant-blocked': {
    title: 'the tenant is blocked from sending',
    at: 'done',
    does: '550 5.7.705 Access denied, tenant has exceeded threshold',
    source: NDR,
    reply: '550 5.7.705 Access denied, tenant has exceeded threshold {stamp}',
  },
  'smtp-domain-unregistered': {
    title: 'the sender’s domain is not registered',
    at: 'done',
    does: '550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains.',
    source: NDR,
    reply: '550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains. {stamp}',
  },
  'smtp-recipient-unknown': {
    title: 'there is no such recipient',
    at: 'recipient',
    does: '550 5.1.10 RESOLVER.ADR.RecipientNotFound; …',
    source: NDR,
    reply: '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup',
  },
  'smtp-too-large': {
    title: 'the message is too large for the mailbox',
    at: 'done',
    does: '552 5.3.4 Message size exceeds fixed maximum message size',
    source: 'RFC 1870 §6.3; RFC 3463 §3.4',
    reply: '552 5.3.4 Message size exceeds fixed maximum message size',
  },
  'smtp-out-of-resources': {
    title: 'back-pressure',
    at: 'mail',
    does: '452 4.3.1 Insufficient system resources',
    source: 'Exchange on premises, back pressure (not confirmed for Exchange Online)',
    reply: '452 4.3.1 Insufficient system resources',
  },
  'smtp-delivery-deferred': {
    title: 'the message cannot be taken just now',
    at: 'done',
    does: '451 4.7.500 Server busy. Please try again later',
    source: NDR,
    reply: '451 4.7.500 Server busy. Please try again later {stamp}',
  },
} as const satisfies Readonly<Record<string, ReplyRow>>;

const losses = {
  'smtp-message-lost': {
    title: 'the connection breaks before the message is taken',
    bites: 'the end of the message',
    does: 'a reset after the final dot; nothing was accepted or saved',
    source: 'RFC 5321 §4.1.1.4, §6.1',
  },
  'smtp-lost-beside-copy': {
    title: 'a message is lost although a copy of it is in Sent Items',
    bites: 'the end of a message whose Message-ID is in Sent Items already',
    does: 'as `smtp-message-lost`: after a program saved its own copy, in the second part of a message with many recipients, or for another message with this Message-ID',
    source: 'RFC 5321 §4.1.1.4, §6.1; RFC 9051 §6.3.12',
  },
  'smtp-reply-lost': {
    title: 'the connection breaks after the message was taken',
    bites: 'the end of the message',
    does: 'the message is sent and saved in Sent Items, then a reset instead of the reply',
    source: 'RFC 5321 §4.1.1.4, §6.1; RFC 1047',
  },
} as const satisfies Readonly<Record<string, FaultRow>>;

function rowOf({ at, reply, close, ...row }: ReplyRow): FaultRow {
  return { ...row, bites: BITES[at], effect: { type: 'reply', at, text: reply, ...(close ? { close } : {}) } };
}

export const smtpRows = {
  ...(Object.fromEntries(Object.entries<ReplyRow>(replies).map(([id, row]) => [id, rowOf(row)])) as Readonly<
    Record<keyof typeof replies, FaultRow>
  >),
  ...losses,
};
