/** Sending limits of providers, as data. */
import type { SendingLimits } from './types.ts';

/** Exchange Online limits, learn.microsoft.com/office365/servicedescriptions (sending limits): 30 a minute, 10,000 recipients a day, 3 connections. */
const EXCHANGE: SendingLimits = { messagesPerMinute: 30, recipientsPerDay: 10_000, connections: 3 };
/** Outlook.com: 300 recipients a day for accounts without history; the SMTP side is Exchange's. */
const OUTLOOK: SendingLimits = { messagesPerMinute: 30, recipientsPerDay: 300, connections: 3 };
/** Google Workspace sending limits: 10,000 recipients a day, of them 3,000 outside; nothing is said of a minute. */
const GOOGLE: SendingLimits = { messagesPerMinute: undefined, recipientsPerDay: 10_000, connections: 3 };
/** Where nothing is published: careful with connections, otherwise as fast as the server says. */
const GENERIC: SendingLimits = { messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 5 };

/**
 * Whether the provider itself keeps a copy of what is submitted by SMTP among the sent mail: Exchange and Gmail do. Only then
 * does its absence there say that a message did not go out.
 */
export function savesSent(preset: string, own?: boolean): boolean {
  return own ?? (preset.startsWith('microsoft') || preset.startsWith('outlook') || preset === 'google');
}

/**
 * The limits of a provider preset, with what the application's settings say instead (`limits: { messagesPerMinute: 100 }`).
 */
export function limitsOf(preset: string, own: Partial<SendingLimits> = {}): SendingLimits {
  const known = preset.startsWith('microsoft')
    ? EXCHANGE
    : preset.startsWith('outlook')
      ? OUTLOOK
      : preset === 'google'
        ? GOOGLE
        : GENERIC;
  return { ...known, ...own };
}
