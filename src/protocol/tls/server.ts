/** Our side of TLS towards mail programs: one context for all listeners, replaced without a restart. */
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { systemClock } from '../../base/clock.ts';
import { protocolError } from '../errors.ts';
import { reasonOf } from './handshake-failure.ts';
import { TLS_PARAMETERS } from './parameters.ts';

/** A certificate chain (leaf first) and its key, PEM. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
  /** A second pair with a key of another kind (RSA beside ECDSA), for programs that do not know the first. */
  readonly also?: { readonly cert: string; readonly key: string };
}

export interface ServerContext {
  /** The context for new handshakes. */
  readonly current: SecureContext;
  /** From now on new handshakes use this pair; open sessions go on. @throws tls.certificate, leaving the old one in use */
  replace(pair: CertificatePair): void;
}

/** @throws tls.certificate (not PEM, or the key does not fit) */
export function serverContext(pair: CertificatePair): ServerContext {
  let current = contextOf(pair);
  return {
    get current() {
      return current;
    },
    replace(next) {
      current = contextOf(next);
    },
  };
}

/**
 * Does the server's handshake on an accepted connection. @throws tls.program, its `reason` in the detail
 *
 * The TLS socket is made when the client's first octets are there: handed over as already read, they get a buffer of their
 * own size. A TLS socket that reads first itself keeps 64 KiB for as long as the connection lives, and an upload then costs a
 * sixth less CPU: `roomy`.
 */
export function secureServer(
  plain: Socket,
  context: ServerContext,
  options: { readonly timeoutMs: number; readonly roomy?: boolean },
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    let socket: TLSSocket | undefined;
    const done = (problem?: string, cause?: unknown): void => {
      timer.cancel();
      const current: Socket = socket ?? plain;
      for (const [event, listener] of Object.entries({ ...waiting, ...handshake })) current.off(event, listener);
      if (problem === undefined && socket) return resolve(socket);
      current.on('error', ignore);
      current.destroy();
      plain.destroy();
      const reason = reasonOf((cause as NodeJS.ErrnoException | undefined)?.code);
      // What it said it can do at most, for which OpenSSL looked before it refused.
      const offered = reason === 'old-version' ? VERSIONS[socket?.getProtocol() ?? ''] : undefined;
      const detail = { reason, ...(offered === undefined ? {} : { offered }) };
      reject(protocolError('tls.program', problem ?? 'the client left', { detail, cause }));
    };
    const failed = (error: Error): void => done(`the client’s TLS handshake failed: ${error.message}`, error);
    const closed = (): void => done('the client left during the TLS handshake');
    const start = (): void => {
      if (plain.readableLength === 0 && options.roomy !== true) {
        // Of a side that ended only a reader is told.
        plain.read(0);
        return;
      }
      for (const [event, listener] of Object.entries(waiting)) plain.off(event, listener);
      socket = new TLSSocket(plain, { isServer: true, secureContext: context.current, requestCert: false });
      for (const [event, listener] of Object.entries(handshake)) socket.once(event, listener);
    };
    const waiting = { readable: start, end: closed, error: failed, close: closed };
    const handshake = { secure: (): void => done(), end: closed, error: failed, close: closed };
    const timer = systemClock.after(options.timeoutMs, () =>
      done('the client did not finish the TLS handshake in time'),
    );
    for (const [event, listener] of Object.entries(waiting)) plain.on(event, listener);
    if (plain.destroyed || plain.readableEnded) closed();
    else start();
  });
}

const VERSIONS: Readonly<Record<string, string>> = { SSLv3: 'SSL 3.0', TLSv1: 'TLS 1.0', 'TLSv1.1': 'TLS 1.1' };

/** What Node wants of it: OpenSSL chooses the pair that the other side knows. */
export function keysOf({ also, cert, key }: CertificatePair): { readonly cert: string[]; readonly key: string[] } {
  return { cert: [cert, ...(also ? [also.cert] : [])], key: [key, ...(also ? [also.key] : [])] };
}

function contextOf(pair: CertificatePair): SecureContext {
  try {
    return createSecureContext({ ...TLS_PARAMETERS, ...keysOf(pair), honorCipherOrder: true });
  } catch (error) {
    throw protocolError('tls.certificate', 'the certificate and key cannot be used together', {
      detail: { reason: (error as NodeJS.ErrnoException).code ?? '' },
      cause: error,
    });
  }
}

function ignore(): void {
  // The failure was reported when the socket was dropped.
}
