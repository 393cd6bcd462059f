/** Another SMTP server as a way out, signed in to with a user name and a password of its own, or without. */
import type { Clock } from '../../base/clock.ts';
import type { Secret } from '../../base/secret.ts';
import type { TlsPolicy } from '../../base/tls-policy.ts';
import { signInWithPassword } from '../../protocol/smtp/client.ts';
import { connect, secureClient } from '../../protocol/tls/connect.ts';
import { timeLimit } from '../../protocol/wire/time-limit.ts';
import { SmtpRoute } from './smtp-route.ts';

export interface Relay {
  readonly host: string;
  readonly port: number;
  /** `none` never together with a password, but on loopback. */
  readonly tls: 'implicit' | 'starttls' | 'none';
  readonly trust: TlsPolicy;
  readonly user?: string | undefined;
  readonly password?: Secret | undefined;
}

const CONNECT_MS = 45_000;

/** @param ehloName our full domain name, where we have one */
export function relayRoute(relay: Relay, clock: Clock, ehloName: string | undefined): SmtpRoute {
  const { host, port, tls, trust } = relay;
  return new SmtpRoute(
    async (_, __, signal) => {
      using limit = timeLimit(`${host}:${port}`, CONNECT_MS, signal, clock);
      const stop = limit.signal;
      const conn = await connect({ host, port, tls, trust, timeoutMs: CONNECT_MS, signal: stop });
      try {
        const { capabilities } = await signInWithPassword(conn, {
          ...relay,
          secure: (plain) => secureClient(plain, { host, trust, timeoutMs: CONNECT_MS, signal: stop }),
          ...(ehloName === undefined ? {} : { ehloName }),
          signal: stop,
        });
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
