/** What is known of an IMAP session at a moment: what is under way in it, whether it may be spoken in, moved or given away. */
import type { CommandFilter } from './commands.ts';
import type { Command } from './command.ts';
import { byNumber, isSlow, leavesMailbox } from './commands-known.ts';
import { Footprint } from './footprint.ts';
import { MailboxNews } from './news.ts';
import { OpenCommands } from './open-commands.ts';
import type { OwnCommand } from './own-command.ts';
import type { ResponseFilter } from './responses.ts';
import { Selecting } from './selecting.ts';
import type { Place } from './successor.ts';

/** More than this is not read from a client that is held. */
const MAX_PENDING = 64 * 1024;
/** A thousand commands without an answer. No program is known that sends a tenth of it. */
const MAX_OWED = 256 * 1024;
/** A command under way, with its line and what is known of it. */
const COMMAND_OCTETS = 256;

export abstract class TapState {
  protected abstract readonly responses: ResponseFilter;
  protected abstract readonly commands: CommandFilter;
  protected abstract readonly own: OwnCommand;
  protected readonly mailbox = new Selecting();
  protected readonly news = new MailboxNews(this.mailbox);
  protected readonly footprint = new Footprint();
  protected readonly open = new OpenCommands();
  protected idle: { readonly command: Command; accepted: boolean; ending: boolean } | undefined;
  protected holds = 0;
  protected suspendedIdle = false;
  protected received = 0;
  /** The client has said LOGOUT. */
  leaving = false;
  /** The server's BYE, when it said one unasked. */
  farewell: string | undefined;
  /** What it said instead of IMAP. */
  strange: string | undefined;
  /** `blind`: client and server may see different commands; octets only pass. */
  protected ground: 'server' | 'none' | 'blind' = 'server';

  /** True while the client's IDLE is open and the server has taken it. */
  get idling(): boolean {
    return this.idle?.accepted === true && !this.idle.ending;
  }

  /** True at the moments at which the server may be replaced: nothing is under way, or IDLE. */
  get quiet(): boolean {
    return !this.busy && this.commands.between && this.responses.between && !this.own.pending;
  }

  /** What is under way; `none` also for a session that cannot be followed. */
  get rest(): 'waiting' | 'between' | 'none' {
    if (!this.quiet || !this.speakable || this.pending > 0) return 'none';
    return this.idling ? 'waiting' : 'between';
  }

  /** The tag of a LOGOUT that waits: there is no need of a server for that. */
  get logoutTag(): string | undefined {
    const { nextVerb, nextTag } = this.commands;
    return nextVerb === 'LOGOUT' && !this.busy ? nextTag : undefined;
  }

  /** Octets the client has sent that were not passed on. */
  get pending(): number {
    return this.commands.pending;
  }

  /** Octets, about, that the client has not been answered: commands under way, and lines of ours that wait. */
  get #owed(): number {
    return this.open.count * COMMAND_OCTETS + this.responses.waiting;
  }

  /** Octets of memory that are held for the client: what is not passed on, in a buffer that doubles, and what is owed. */
  get held(): number {
    return 2 * this.pending + this.#owed;
  }

  /** The client has said so much that it is read on later. */
  get full(): boolean {
    return this.commands.withheld > MAX_PENDING || this.#owed > MAX_OWED;
  }

  /** True when a line of ours would not cut a response in two. */
  get speakable(): boolean {
    return this.ground !== 'blind' && this.responses.between;
  }

  /** False for a session that cannot be followed, is about to end by itself, or never worked. */
  get movable(): boolean {
    const { portable, useless } = this.footprint;
    return portable && !useless && this.ground !== 'blind' && !this.leaving && this.mailbox.known;
  }

  get place(): Place {
    const { enabled, condstore } = this.footprint;
    // Whoever is about to go to another mailbox must not hear of this one any more.
    const leaving = leavesMailbox(this.commands.nextVerb ?? '');
    return { enabled: new Set(enabled), selection: leaving ? undefined : this.mailbox.selection(condstore) };
  }

  /** True when the session is still where it was. */
  isIn({ enabled, selection }: Place): boolean {
    return enabled.size === this.footprint.enabled.size && selection?.view === this.place.selection?.view;
  }

  /** True when UIDs of the selected mailbox's messages should be asked for. */
  get unnumbered(): boolean {
    return this.mailbox.unnumbered;
  }

  /** Whether the client can know nothing but the number of messages whose UIDs we do not know. */
  get freeEnd(): boolean {
    return this.mailbox.untouched;
  }

  /** True when commands wait for an answer, an accepted IDLE apart. */
  get busy(): boolean {
    return this.open.count > (this.idling ? 1 : 0);
  }

  /** True when the client has no answer yet to something that it has sent, or that waits. An IDLE that was taken needs none. */
  get owing(): boolean {
    if (this.ground === 'blind') return false;
    const open = this.open.count - (this.idling ? 1 : 0) - (this.commands.unfinished ? 1 : 0);
    return open > 0 || this.commands.withheld > 0 || this.commands.judging;
  }

  /** True when the server owes an answer, to the client or to us. */
  get awaits(): boolean {
    return this.ground === 'server' && ((this.busy && this.commands.whole) || this.own.pending);
  }

  /** True when the client has given a command whose numbers are those of before what it was not told yet. */
  get numbered(): boolean {
    return this.open.others(undefined).some(byNumber);
  }

  /** True when something is under way that may take a good server minutes. */
  get slow(): boolean {
    return this.open.others(undefined).some(isSlow);
  }

  /** True while the client's IDLE is open and the server is not in it. */
  get suspended(): boolean {
    return this.suspendedIdle && this.idling && this.ground === 'server';
  }
}
