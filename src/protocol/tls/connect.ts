/** Connections to mail servers: TCP, verified TLS, session resumption, and failures in plain words. */
import { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  getCACertificates,
  type ConnectionOptions,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { systemClock } from '../../base/clock.ts';
import { PosternError } from '../../base/error.ts';
import type { TlsPolicy } from '../../base/tls-policy.ts';
import { protocolError } from '../errors.ts';
import { Conn } from '../wire/conn.ts';
import { Intake } from '../wire/intake.ts';
import { lookup } from './lookup.ts';
import { TLS_PARAMETERS } from './parameters.ts';

export interface SecureClientOptions {
  /** The name the certificate must carry. */
  readonly host: string;
  readonly trust: TlsPolicy;
  /** Milliseconds for TCP and TLS together. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface ConnectOptions extends SecureClientOptions {
  readonly port: number;
  /** `implicit`: TLS from the first byte. `starttls` and `none`: the connection is plain when it is handed out. */
  readonly tls: 'implicit' | 'starttls' | 'none';
  /** With implicit TLS: read into places of the reader's choice (`intake.ts`), for connections through which bulk data flows. */
  readonly intake?: boolean;
}

/**
 * Opens a connection.
 * @throws wire.unreachable, tls.untrusted, tls.failed, or the signal's reason
 */
export async function connect(options: ConnectOptions): Promise<Conn> {
  const { host, port, trust } = options;
  const intake = options.intake === true && options.tls === 'implicit' ? new Intake() : undefined;
  const reading = intake === undefined ? {} : { onread: intake.onread };
  const socket =
    options.tls === 'implicit'
      ? connectTls({ host, port, lookup, ...reading, ...securityOf(host, trust, `${host}:${port}`) })
      : connectTcp({ host, port, lookup });
  intake?.belongTo(socket);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  const key = `${host}:${port}`;
  await settled(socket, options.tls === 'implicit' ? 'secureConnect' : 'connect', { ...options, key });
  return new Conn(socket);
}

/** Turns a plain connection to TLS after STARTTLS. @throws tls.untrusted, tls.failed, or the signal's reason */
export async function secureClient(plain: Socket, options: SecureClientOptions): Promise<TLSSocket> {
  const key = `${options.host}:${plain.remotePort ?? 0}`;
  const socket = connectTls({ socket: plain, ...securityOf(options.host, options.trust, key) });
  await settled(socket, 'secureConnect', { ...options, key });
  return socket;
}

/** A provider's load balancer drops silent connections after minutes; probes keep them and find dead ones. */
const KEEP_ALIVE_MS = 60_000;

/** One context per policy: building one with a CA of its own reads some 150 system certificates. */
const contexts = new Map<string, SecureContext>();

/** TLS sessions by host, port and policy, so that a new connection skips the certificates (RFC 8446 §2.2). */
const sessions = new Map<string, Buffer>();
const MAX_SESSIONS = 1000;

function securityOf(host: string, trust: TlsPolicy, key: string): ConnectionOptions {
  const pinned = trust.fingerprints !== undefined && trust.fingerprints.length > 0;
  const session = sessions.get(key + policyKey(trust));
  return {
    secureContext: contextOf(trust),
    // SNI carries names only (RFC 6066 §3); an address is still checked against the certificate.
    ...(isIP(host) ? {} : { servername: host }),
    ...(session === undefined ? {} : { session }),
    // A pinned certificate is judged by its fingerprint alone, in `verify`.
    rejectUnauthorized: !pinned,
    checkServerIdentity: (_, certificate) => (pinned ? undefined : checkServerIdentity(host, certificate)),
  };
}

function contextOf({ ca }: TlsPolicy): SecureContext {
  const key = ca ?? '';
  let context = contexts.get(key);
  if (!context) {
    try {
      if (ca) void new X509Certificate(ca); // a context takes no notice of what it cannot read
      context = createSecureContext({
        ...TLS_PARAMETERS,
        ...(ca ? { ca: [...getCACertificates('default'), ca] } : {}),
      });
    } catch (error) {
      throw protocolError('tls.untrusted', 'the configured CA is not a PEM certificate', {
        hint: 'give a file that starts with -----BEGIN CERTIFICATE-----',
        cause: error,
      });
    }
    contexts.set(key, context);
  }
  return context;
}

const policyKey = (trust: TlsPolicy): string => `\n${trust.fingerprints?.join() ?? ''}\n${trust.ca ?? ''}`;

/**
 * The last check of a finished handshake. A resumed session carries no certificate: who knows its key is the server that was
 * verified, under the same policy, when it was stored.
 * @throws tls.untrusted
 */
function verify(socket: TLSSocket, { host, trust }: Attempt): void {
  const pins = trust.fingerprints ?? [];
  if (pins.length === 0 || socket.isSessionReused()) return;
  const seen = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase() ?? '';
  if (pins.some((pin) => pin.replaceAll(':', '').toLowerCase() === seen)) return;
  throw protocolError('tls.untrusted', `the certificate of ${host} does not have a pinned fingerprint`, {
    detail: { host, fingerprint: seen },
    hint: `if the server’s certificate was changed on purpose, pin sha256 ${seen}`,
  });
}

function remember(full: string, session: Buffer): void {
  if (sessions.size >= MAX_SESSIONS) sessions.delete(sessions.keys().next().value!);
  sessions.set(full, session);
}

interface Attempt extends SecureClientOptions {
  /** Host and port. */
  readonly key: string;
}

/** Waits for the event that says the socket is ready, or destroys it. */
function settled(socket: Socket, event: 'connect' | 'secureConnect', attempt: Attempt): Promise<void> {
  const { host, key, signal, timeoutMs, trust } = attempt;
  return new Promise((resolve, reject) => {
    let tcp = event === 'secureConnect' && !socket.connecting;
    const done = (error?: unknown): void => {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
      socket.off(event, ready);
      socket.off('error', failed);
      socket.off('close', closed);
      socket.off('connect', connected);
      if (error === undefined) return resolve();
      // A late error of a dropped socket must not be unhandled.
      socket.on('error', ignore);
      socket.destroy();
      // A session the server no longer likes must not spoil every later connection.
      sessions.delete(key + policyKey(trust));
      reject(error);
    };
    const connected = (): void => void (tcp = true);
    // TLS 1.2 hands its session out right after `secureConnect` and only to who listened before the handshake; TLS 1.3 with
    // the first octets after it. Only that of a verified server is worth keeping.
    let trusted = false;
    const session = (data: Buffer): void => {
      if (trusted) remember(key + policyKey(trust), data);
    };
    const ready = (): void => {
      if (event === 'secureConnect') {
        try {
          verify(socket as TLSSocket, attempt);
        } catch (error) {
          return done(error);
        }
        trusted = true;
        if ((socket as TLSSocket).isSessionReused()) socket.off('session', session);
      }
      done();
    };
    const abort = (): void => done(signal!.reason);
    const failed = (error: NodeJS.ErrnoException): void => done(explain(error, host, key, tcp));
    const closed = (): void => done(explain(new Error('closed'), host, key, tcp));
    const timer = systemClock.after(timeoutMs, () => {
      const what = tcp ? 'finish the TLS handshake' : 'answer';
      const text = `${key} did not ${what} within ${Math.round(timeoutMs / 1000)} seconds`;
      done(protocolError(tcp ? 'tls.failed' : 'wire.unreachable', text, { detail: { host, reason: 'ETIMEDOUT' } }));
    });
    socket.once('connect', connected);
    socket.once(event, ready);
    if (event === 'secureConnect') socket.once('session', session);
    socket.once('error', failed);
    socket.once('close', closed);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}

function ignore(): void {
  // The failure was reported when the socket was dropped.
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there (connection refused)',
  ENOTFOUND: 'the name does not exist in DNS',
  EAI_AGAIN: 'the name could not be looked up just now (DNS did not answer)',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to its network',
  ETIMEDOUT: 'it did not answer',
};

/** OpenSSL verification failures that people can do something about (openssl-verification-options(1)). */
const UNTRUSTED: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet; check this machine’s clock',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'comes from an unknown CA',
  UNABLE_TO_GET_ISSUER_CERT: 'comes from an unknown CA',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'comes from an unknown CA',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'comes from an unknown CA, or the server does not send its whole chain',
  ERR_TLS_CERT_ALTNAME_INVALID: 'is for another name',
  HOSTNAME_MISMATCH: 'is for another name',
  CERT_REVOKED: 'has been revoked',
};

function explain(error: NodeJS.ErrnoException, host: string, key: string, tcp: boolean): PosternError {
  if (error instanceof PosternError) return error;
  // Several addresses were tried (RFC 8305): the first one's reason stands for all.
  const first = error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException) : error;
  const code = first.code ?? '';
  const why = { detail: { host, reason: code }, cause: error };
  const untrusted = UNTRUSTED[code];
  if (untrusted !== undefined) return protocolError('tls.untrusted', `the certificate of ${host} ${untrusted}`, why);
  if (!tcp)
    return protocolError('wire.unreachable', `${key} cannot be reached: ${UNREACHABLE[code] ?? first.message}`, why);
  if (/wrong version number|packet length too long|unexpected message/i.test(first.message))
    return protocolError('tls.failed', `${key} does not speak TLS from the first byte`, {
      ...why,
      hint: 'this port may want STARTTLS: check port and TLS mode',
    });
  return protocolError('tls.failed', `the TLS handshake with ${key} failed: ${code || first.message}`, why);
}
