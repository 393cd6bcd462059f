/**
 * An IMAP session passes from its server to a successor: at a moment at which nothing is under way, when the old server has said
 * all it has to say, and with what its client has to know.
 */
import type { Clock } from '../../base/clock.ts';
import { upstreamError } from '../../upstream/errors.ts';
import { type Changes, changesFor } from './changes.ts';
import { Hopeless, type Moments } from './moments.ts';
import type { Cause } from './session-keeper.ts';
import type { Place, Successor } from './successor.ts';
import type { ImapTap } from './tap.ts';

/** A server that still serves a session after its token's end is not kept beside its successor for longer than this. */
const POSTPONED_MS = 60_000;
/** A hand-over that could not be is tried again when something happened, or after this long. */
const LATER_MS = 5_000;
/** Mail that arrives while the old server is asked makes us ask again, but not for ever. */
const MAX_TURNS = 5;

/** The session, and its server of until now. */
export interface HandedOver {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly tap: ImapTap;
  readonly moments: Moments;
  /** End of the token that the server was given. */
  readonly expiresAt: number;
  /** The server went away by itself. */
  gone(): boolean;
  replace(successor: Successor, changes: Changes): Promise<void>;
  /** The client is not held any more. */
  released(): void;
}

/** @param until when to give up, as long as the server is there @throws Hopeless, wire.*, gateway.provider-unreachable */
export async function handOver(session: HandedOver, successor: Successor, until: number): Promise<Cause | 'postponed'> {
  const { clock, signal, tap, moments } = session;
  let place: Place | undefined;
  for (;;) {
    if (place !== undefined && tap.isIn(place)) await successor.refresh(signal);
    else {
      place = tap.place;
      if ((await successor.enter(place, signal)) === 'changed')
        throw new Hopeless('the mailbox has changed at the provider; connect again');
    }
    await moments.until(() => session.gone() || tap.quiet);
    if (!tap.movable) throw new Hopeless('this session has state that cannot be given to another; connect again');
    if (!successor.alive) throw upstreamError('gateway.provider-unreachable', 'the new session ended again');
    if (!tap.isIn(place)) continue;
    tap.hold();
    try {
      const left = !session.gone() && (await leave(tap));
      if (!left && !session.gone()) continue;
      const mayExpunge = tap.idling || !left || clock.now() > session.expiresAt + POSTPONED_MS;
      const changes = await changesFor(tap, successor, left, mayExpunge, signal);
      // While the successor was asked the old server went away, or the client is about to leave the mailbox.
      if ((session.gone() && left) || !tap.isIn(place)) continue;
      if (changes === 'unknown' && !left)
        throw new Hopeless('it is not known what changed while the provider was away; connect again');
      if (typeof changes === 'object' && changes.expunging && !left && tap.numbered)
        throw new Hopeless('messages were expunged while the provider was away; connect again');
      if (typeof changes === 'object') {
        await session.replace(successor, changes);
        return left ? 'token-ends' : 'server-gone';
      }
      if (!left) throw upstreamError('gateway.provider-unreachable', 'the new session is not up to date yet');
    } finally {
      tap.unmute();
      if (tap.suspended) await tap.resumeIdle();
      tap.release();
      session.released();
    }
    if (clock.now() > until) return 'postponed';
    await moments.next(LATER_MS);
  }
}

/** Has the old server say everything it has to say, and listens no more. @returns false when it has gone */
async function leave(tap: ImapTap): Promise<boolean> {
  if (tap.idling && (await tap.suspendIdle()) === 'gone') return false;
  if (tap.place.selection === undefined) return true;
  if (!tap.idling && (await tap.number()) === 'gone') return false;
  // NOOP comes last, so that what is gone and what is new are told together.
  for (let turn = 0; tap.idling && (turn === 0 || (tap.unnumbered && turn < MAX_TURNS)); turn++) {
    if (tap.unnumbered && (await tap.number()) === 'gone') return false;
    if ((await tap.ask('NOOP')) === 'gone') return false;
  }
  tap.mute();
  return true;
}
