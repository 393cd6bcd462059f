/** Mailboxes that somebody holds: their mail is accepted, and none of it is sent until they are released. */
import { shellWord } from '../base/shell.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Mailbox, Store } from '../store/types.ts';

export interface HeldMailbox {
  /** As its row is called: `*@domain` holds every address of its domain. */
  readonly mailbox: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly by: string;
  readonly reason: string;
}

/** Undefined for a mailbox that is not held. */
export function heldOf(
  mailbox: Pick<Mailbox, 'address' | 'catchAll' | 'settings'> | undefined,
): HeldMailbox | undefined {
  const held = mailbox?.settings.outboxHeld;
  return mailbox && held && { mailbox: rowOf(mailbox), ...held };
}

/** Every one, by address. @throws store.unavailable */
export async function listHeld({ mailboxes }: Pick<Store, 'mailboxes'>): Promise<readonly HeldMailbox[]> {
  return (await mailboxes.list()).flatMap((mailbox) => heldOf(mailbox) ?? []);
}

/** Since when, by whom and why, in one line. */
export function heldText({ mailbox, since, by, reason }: HeldMailbox): string {
  const at = new Date(since).toISOString().slice(0, 16).replace('T', ' ');
  return `nothing of ${mailbox} is sent: held since ${at} UTC by ${by}${reason === '' ? '' : `: ${reason}`}`;
}

/** The command that lets its mail go. */
export function releaseCommand({ mailbox }: HeldMailbox): string {
  return `postern outbox release ${shellWord(mailbox)}`;
}
