/** A session before its relay. */
import type { Socket } from 'node:net';
import type { PosternError } from '../base/error.ts';
import type { Timer } from '../base/clock.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import type { AppPassword } from '../store/types-access.ts';
import type { UpstreamConnection } from '../upstream/upstream.ts';

/** Why the mail of a program that is signed in goes nowhere. */
export interface InTheWay {
  readonly failure: PosternError;
  readonly appPassword: AppPassword;
}

/** What exists only until the relay runs, so that an idle session keeps none of it. */
export interface SigningIn {
  readonly plain: Socket;
  readonly reading: AbortController;
  /** Aborted when the program is gone or may no longer come in; ends the work at the provider. */
  readonly gone: AbortController;
  conn: Conn | undefined;
  provider: UpstreamConnection | undefined;
  /** Mail of this program goes to the outbox: who brings it. */
  submitter: AppPassword | undefined;
  /** The app password was right, but its mail can go nowhere just now (SMTP). */
  inTheWay: InTheWay | undefined;
  verifying: boolean;
  timer: Timer | undefined;
  leftMs: number;
}

export function beginSigningIn(plain: Socket, leftMs: number): SigningIn {
  return {
    plain,
    reading: new AbortController(),
    gone: new AbortController(),
    conn: undefined,
    provider: undefined,
    submitter: undefined,
    inTheWay: undefined,
    verifying: false,
    timer: undefined,
    leftMs,
  };
}
