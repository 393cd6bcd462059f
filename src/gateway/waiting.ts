/** A program that is signed in to send mail while its provider, a token or a limit is in the way. */
import { asError, type PosternError } from '../base/error.ts';
import { serveWaiting } from '../protocol/smtp/waiting.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import { extensionsBefore } from './extensions-before.ts';
import type { Surroundings } from './surroundings.ts';
import { outward } from './verdict.ts';

/** What was in the way just now need not be asked again for the MAIL that follows. */
const RETRY_MS = 5_000;

/**
 * Refuses its mail, each time after another try.
 * @param again throws what is in the way
 * @returns false when the program left. @throws wire.*, the signal's reason
 */
export async function waitForProvider(
  conn: Conn,
  around: Surroundings,
  signal: AbortSignal,
  failure: PosternError,
  again: () => Promise<void>,
): Promise<boolean> {
  const { hostname, limits, wall } = around;
  conn.setIdle(limits.idleMs.smtp);
  let inTheWay = failure;
  let tried = wall.now();
  const retry = async (): Promise<PosternError | undefined> => {
    if (wall.now() - tried < RETRY_MS) return inTheWay;
    try {
      await again();
      return undefined;
    } catch (error) {
      inTheWay = outward(asError(error));
      return inTheWay;
    } finally {
      tried = wall.now();
    }
  };
  const { lineOctets } = limits;
  const extensions = (): Promise<readonly string[]> => extensionsBefore(around, 'smtp');
  return (await serveWaiting(conn, failure, { hostname, lineOctets, signal, extensions, retry })) === 'taken';
}
