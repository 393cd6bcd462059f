/** A kept session that loses its server. */
import assert from 'node:assert/strict';
import { type KeptSession, SessionOver, settle } from './kept-session.ts';

/** Nobody knows what became of a command: the program hears no verdict on it, and has to connect again. */
export async function assertLost(session: KeptSession, answer: Promise<string>): Promise<void> {
  await assert.rejects(answer, (error) => {
    assert.ok(error instanceof SessionOver);
    assert.match(error.message, /^\* BYE \[UNAVAILABLE\] the connection to the provider was lost\b.*connect again$/);
    return true;
  });
  await settle();
  assert.ok(session.ended);
}

/** The server's side falls silent without closing: nothing reaches it any more, nothing comes from it. */
export async function fallSilent(session: KeptSession): Promise<void> {
  session.silence();
  await settle();
}
