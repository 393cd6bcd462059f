/** Another SMTP server as a way out, signed in to with a user name and a password of its own, or without. */
import type { Clock } from '../../base/clock.ts';
import type { Secret } from '../../base/secret.ts';
import { timeLimit } from '../../protocol/wire/time-limit.ts';
import { connectTo, type MailServer, signInWithPassword } from '../../upstream/sign-in.ts';
import { SmtpRoute } from './smtp-route.ts';

/** `tls: 'none'` never together with a password, but on loopback. */
export interface Relay extends MailServer {
  readonly user?: string | undefined;
  readonly password?: Secret | undefined;
}

const CONNECT_MS = 45_000;

/** @param ehloName our full domain name, where we have one */
export function relayRoute(relay: Relay, clock: Clock, ehloName: string | undefined): SmtpRoute {
  const { host, port } = relay;
  return new SmtpRoute(
    async (_, __, signal) => {
      using limit = timeLimit(`${host}:${port}`, CONNECT_MS, signal, clock);
      const limits = { timeoutMs: CONNECT_MS, signal: limit.signal, ehloName };
      const conn = await connectTo(relay, limits);
      try {
        const capabilities = await signInWithPassword(conn, relay, limits);
        return { conn, endpoint: { host }, capabilities, expiresAt: Number.POSITIVE_INFINITY };
      } catch (error) {
        conn.destroy();
        throw error;
      }
    },
    clock,
    () => Promise.resolve(`${host}:${port}`),
    'relay',
  );
}
