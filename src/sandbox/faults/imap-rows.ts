/** Faults of IMAP and POP3 as Exchange Online serves them. */
import type { FaultRow } from './types.ts';

export const imapRows = {
  'access-token-expired': {
    title: 'the session is cut because its access token expired',
    bites: 'in IDLE at once, otherwise at the next command once a mailbox is selected',
    does: '* BYE Session invalidated - AccessTokenExpired',
    source: 'aioimaplib issue 83, imap-backup issue 198',
  },
  'imap-connection-closed': {
    title: 'the server closes the session of its own accord',
    bites:
      'between commands and in IDLE at once, otherwise after the command; when set before sign-in, once a mailbox is selected',
    does: '* BYE Connection is closed. 13',
    source: 'node-imap issue 561',
    value: { means: 'the number in the text', default: 13 },
  },
  'imap-disabled': {
    title: 'IMAP is switched off for the mailbox',
    bites: 'AUTHENTICATE',
    does: 'NO AUTHENTICATE failed.',
    source: 'Exchange PowerShell, Set-CASMailbox -ImapEnabled; office-developer-exchange-docs',
  },
  'imap-not-connected': {
    title: 'authenticated but not connected',
    bites: 'the first command after a successful AUTHENTICATE',
    does: 'BAD User is authenticated but not connected. and * BYE Connection closed. 14',
    source: 'email-oauth2-proxy issue 275, MailKit issue 1494',
  },
  'imap-throttled': {
    title: 'IMAP is throttled',
    bites: 'every command after sign-in but LOGOUT',
    does: 'BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds',
    source: 'imapflow (throttling), Microsoft Q&A 5882481',
    value: { means: 'milliseconds of the suggested back-off', default: 92_415 },
  },
  'imap-server-unavailable': {
    title: 'the backend is down',
    bites: 'the first command after sign-in',
    does: 'the line "Server Unavailable. 15", which is no IMAP response, then the connection ends',
    source: 'imapflow, lib/handler/parser-instance.js',
  },
  'imap-server-bug': {
    title: 'an internal error of the server',
    bites: 'every command on folders and messages',
    does: 'NO [SERVERBUG] Internal server error',
    source: 'imapflow commit 329f588; RFC 5530 §3',
  },
  'imap-malformed-bodystructure': {
    title: 'BODYSTRUCTURE that breaks the grammar',
    bites: 'FETCH BODYSTRUCTURE',
    does: 'a disposition "inline" without parentheses, and (NIL NIL) for an empty one',
    source: 'MailKit issues 919, 1415, 1446',
  },
  imap4rev2: {
    title: 'the tenant has IMAP4rev2 already',
    bites: 'greeting, capabilities, ENABLE, SEARCH, LSUB and SELECT of new sessions',
    does: 'the new greeting, LOGINDISABLED, IMAP4rev2 after sign-in; once enabled no RECENT, ESEARCH answers; LSUB is BAD',
    source: 'MailKit issue 2016, imapflow commits 93e899d and 329f588',
  },
  'imap-uidvalidity-changed': {
    title: 'the folder was rebuilt',
    bites: 'SELECT and EXAMINE',
    does: 'the folder gets a new UIDVALIDITY and its messages new UIDs; other sessions in it are ended',
    source: 'RFC 9051 §2.3.1.1',
  },
  'imap-message-unretrievable': {
    title: 'a message cannot be converted',
    bites: 'FETCH of the newest message',
    does: 'the text "Retrieval using the IMAP4 protocol failed for the following message" instead of the message',
    source: 'MailKit issue 1615, offlineimap issue 62',
  },
  'imap-size-estimated': {
    title: 'sizes are estimates',
    bites: 'FETCH RFC822.SIZE',
    does: 'a number a few hundred octets off',
    source: 'Exchange PowerShell, Set-CASMailbox -ImapEnableExactRFC822Size (on-premises only)',
  },
} as const satisfies Readonly<Record<string, FaultRow>>;

export const pop3Rows = {
  'pop3-disabled': {
    title: 'POP3 is switched off for the mailbox',
    bites: 'AUTH',
    does: '-ERR Authentication failure: unknown user name or bad password.',
    source: 'Exchange PowerShell, Set-CASMailbox -PopEnabled; office-developer-exchange-docs',
  },
  'pop3-temporary': {
    title: 'POP3 sign-in fails for now',
    bites: 'AUTH',
    does: '-ERR [SYS/TEMP] Temporary server error. Please try again later.',
    source: 'RFC 3206 §4 (not seen at Exchange Online)',
  },
  'pop3-in-use': {
    title: 'another session holds the maildrop',
    bites: 'AUTH',
    does: '-ERR [IN-USE] The maildrop is in use by another session.',
    source: 'RFC 2449 §8.1.1',
  },
  'pop3-connection-closed': {
    title: 'the server ends the session',
    bites: 'every command after sign-in',
    does: '-ERR Connection is closed. 10, and no deletion is carried out',
    source: 'RFC 1939 §3, §6; the numbered text as in IMAP',
  },
} as const satisfies Readonly<Record<string, FaultRow>>;
