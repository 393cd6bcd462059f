/** Protocols of mail programs. */

export type Protocol = 'imap' | 'pop3' | 'smtp';

export const PROTOCOLS: readonly Protocol[] = ['imap', 'pop3', 'smtp'];
