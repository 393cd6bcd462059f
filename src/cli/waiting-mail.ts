/** Mail that was handed over with a right that has ended. */
import { shellWord } from '../base/shell.ts';
import type { Context } from './context.ts';

/** What was accepted is sent; whoever takes a right away because it was stolen has to know. */
export function sayWaiting(context: Context, principal: string, waiting: number): void {
  if (waiting === 0) return;
  const what =
    waiting === 1 ? '1 message that it handed over still waits' : `${waiting} messages that it handed over still wait`;
  context.say(
    `${what}, and will be sent: postern outbox list --password ${shellWord(principal)} shows what it handed over, postern outbox cancel ID ends what is not to be sent`,
  );
}
