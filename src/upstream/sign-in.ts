/** Connections to mail servers: opened by the TLS policy of the endpoint, signed in to with a token, or with a password at a relay. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Secret } from '../base/secret.ts';
import type { MailEndpoint } from '../oauth/types.ts';
import type { BearerSignedIn } from '../protocol/bearer-sign-in.ts';
import * as imap from '../protocol/imap/client.ts';
import * as pop3 from '../protocol/pop3/client.ts';
import * as smtp from '../protocol/smtp/client.ts';
import { connect, type ConnectOptions, secureClient } from '../protocol/tls/connect.ts';
import type { Conn } from '../protocol/wire/conn.ts';

export type MailServer = Pick<ConnectOptions, 'host' | 'port' | 'tls' | 'trust'>;

export interface SignInLimits {
  /** Milliseconds for a connection, and again for a TLS handshake. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Our full domain name for EHLO; an address literal is used without one. */
  readonly ehloName?: string | undefined;
}

const clients = { imap, pop3, smtp };

/** @throws wire.unreachable, tls.untrusted, tls.failed, or the signal's reason */
export function connectTo(
  { host, port, tls, trust }: MailServer,
  { timeoutMs, signal }: Pick<SignInLimits, 'timeoutMs' | 'signal'>,
): Promise<Conn> {
  return connect({ host, port, tls, trust, intake: true, timeoutMs, ...(signal ? { signal } : {}) });
}

/**
 * Greeting, STARTTLS where the endpoint says so, and a bearer mechanism that both sides know.
 * @throws sasl.refused, sasl.unavailable, sasl.no-mechanism, tls.*, wire.*, or the signal's reason
 */
export function signInWithToken(
  conn: Conn,
  endpoint: MailEndpoint,
  token: Secret,
  limits: SignInLimits,
): Promise<BearerSignedIn> {
  const { protocol, port, user, mechanisms } = endpoint;
  return clients[protocol].signIn(conn, { ...greeted(conn, endpoint, limits), port, user, token, mechanisms });
}

/**
 * The same at a server that relays: PLAIN or LOGIN, or nothing where it wants no password.
 * @returns its EHLO lines. @throws as {@link signInWithToken}
 */
export async function signInWithPassword(
  conn: Conn,
  relay: MailServer & { readonly user?: string | undefined; readonly password?: Secret | undefined },
  limits: SignInLimits,
): Promise<readonly string[]> {
  const { user, password } = relay;
  return smtp.signInWithPassword(conn, { ...greeted(conn, relay, limits), user, password });
}

/** The extensions an SMTP or POP3 server announces to anybody. @throws wire.*, tls.*, or the signal's reason */
export async function probeExtensions(
  server: MailServer,
  protocol: 'smtp' | 'pop3',
  limits: SignInLimits,
): Promise<readonly string[]> {
  const conn = await connectTo(server, limits);
  try {
    return await clients[protocol].probeExtensions(conn, greeted(conn, server, limits));
  } finally {
    conn.end();
  }
}

function greeted(conn: Conn, { host, tls, trust }: MailServer, { timeoutMs, signal, ehloName }: SignInLimits) {
  const stop = signal ? { signal } : {};
  const secure = (plain: Socket): Promise<TLSSocket> => secureClient(plain, { host, trust, timeoutMs, ...stop });
  return { host, tls, secure, ehloName: ehloName ?? addressLiteral(conn), ...stop };
}

/** RFC 5321 §4.1.3, §4.1.4: without a full domain name, the address we come from. */
function addressLiteral(conn: Conn): string {
  const address = conn.socket.localAddress ?? '127.0.0.1';
  return address.includes(':') ? `[IPv6:${address}]` : `[${address}]`;
}
