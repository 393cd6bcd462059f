/** The ways a notice goes out. */
import type { NoticeBody } from './notice-body.ts';

/** What a channel is given; the same for every channel. */
export interface OutgoingNotice {
  /** The same for the notice and for the word that it is over. */
  readonly id: string;
  readonly status: 'raised' | 'resolved';
  /** When it was raised or resolved; milliseconds since the epoch. */
  readonly at: number;
  readonly body: NoticeBody;
}

export interface NoticeChannel {
  readonly name: 'mail' | 'webhook' | 'command';
  /** Resolves when it has arrived. @throws server.notice-undeliverable (refused: not again), server.notice-delayed (later) */
  deliver(notice: OutgoingNotice, signal: AbortSignal): Promise<void>;
}

/** JSON as receivers see it, on standard input of a command and as the payload of a webhook. */
export function payloadOf({ id, status, at, body }: OutgoingNotice): string {
  const { type, ...data } = body;
  return JSON.stringify({
    type: `${type}.${status}`,
    timestamp: new Date(at).toISOString(),
    data: { notice: id, status, kind: type, ...data },
  });
}
