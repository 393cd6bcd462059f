/** What a relay of octets is given, and what it can be told. */
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { Account } from '../protocol/wire/budget.ts';

export interface RelayEnd {
  readonly bytesToClient: number;
  readonly bytesToServer: number;
  readonly reason: 'client-closed' | 'server-closed' | 'error' | 'idle' | 'cut';
}

export interface RelayOptions {
  /** Milliseconds without a byte in either direction after which both sides are closed. */
  readonly idleMs: number;
  /** The client's last line when that happens, where the protocol has one. */
  readonly idleGoodbye?: string;
  readonly clock: Clock;
  readonly tap?: Tap;
  /** What waits for a side that does not read counts there, and what the tap holds. */
  readonly account?: Account;
  onEnd(end: RelayEnd): void;
  /** Something threw that must not: this session ends, with the line that this gives, and `onEnd` follows. Without it, it is thrown on. */
  onFault?(error: unknown): string | undefined;
}

/** Sees everything before it is passed on. Each function gives what the other side gets: mostly the very same buffer. */
export interface Tap {
  attach(relay: RunningRelay): void;
  fromClient(bytes: Buffer): Buffer;
  fromServer(bytes: Buffer): Buffer;
  /** What one of them gave has been passed on: what can wait until then is done now. */
  passed?(): void;
  /** Octets of memory that it holds for the client: what is not whole, what is not answered. */
  readonly held?: number;
  /**
   * Something the client sent is kept back for a later moment, or has no answer yet. What will never be whole does not count. While
   * it is so the server is not told that the client has ended.
   */
  readonly owing?: boolean;
  /** True when the server has said that it goes; the rest of what it says does not count. */
  readonly serverEnding: boolean;
  /** The server has gone. `replace`: the client stays, and `Relay.replaceServer` follows, or `cut`. */
  serverGone(): 'end' | 'replace';
  /** Silence is no reason to end the session just now. */
  readonly mayBeSilent: boolean;
  /** What is under way: nothing, because the client waits for news; nothing, between two commands; or something, or nobody knows. */
  readonly rest?: 'waiting' | 'between' | 'none';
}

export interface RunningRelay {
  /** Nothing is under way, and has not been since this was asked last: ending it now interrupts no work. */
  rests(): boolean;
  /** Ends it from outside, with a last line for the client where the protocol has one. */
  cut(goodbye?: string, reason?: RelayEnd['reason']): void;
  /** Something threw in the middle of work for this session, which ends. Never throws. */
  fault(error: unknown): void;
  toClient(text: string): void;
  toServer(bytes: Buffer): void;
  /** Another server takes over; the old one's socket is ended with these last words. */
  replaceServer(next: RelaySide, lastWords?: string): void;
  /** The server is left alone with what it has, and another one follows by `replaceServer`, or `cut`. */
  dropServer(): void;
  /** What it had said before that, when that is for the client. */
  heard(bytes: Buffer): void;
  /** Ends it as the client asked, with these last words; the server's side is the caller's, who must be sure that it is silent. */
  releaseServer(lastWords: string): Socket;
  /** The server is taken for gone, though its connection does not say so. */
  loseServer(): void;
  /** Octets that went through in either direction. */
  readonly octets: number;
  /** The one or the other does not take what was sent to it. */
  readonly clientStuck: boolean;
  readonly serverStuck: boolean;
  /** Reads nothing more from the client for a while. */
  pauseClient(paused: boolean): void;
}

/** One side of a relay: a socket without listeners, and bytes already read from it. */
export interface RelaySide {
  readonly socket: Socket;
  readonly rest: Buffer;
}
