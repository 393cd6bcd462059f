/** Our side of TLS towards mail programs: one context for all listeners, replaced without a restart. */
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { systemClock } from '../../base/clock.ts';
import { protocolError } from '../errors.ts';
import { TLS_PARAMETERS } from './parameters.ts';

/** A certificate chain (leaf first) and its key, PEM. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
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

/** Does the server's handshake on an accepted connection. @throws tls.failed */
export function secureServer(
  plain: Socket,
  context: ServerContext,
  options: { readonly timeoutMs: number },
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = new TLSSocket(plain, { isServer: true, secureContext: context.current, requestCert: false });
    const done = (problem?: string, cause?: unknown): void => {
      timer.cancel();
      socket.off('secure', ready);
      socket.off('error', failed);
      socket.off('close', closed);
      if (problem === undefined) return resolve(socket);
      socket.on('error', ignore);
      socket.destroy();
      plain.destroy();
      reject(protocolError('tls.failed', problem, { cause }));
    };
    const ready = (): void => done();
    const failed = (error: Error): void => done(`the client’s TLS handshake failed: ${error.message}`, error);
    const closed = (): void => done('the client left during the TLS handshake');
    const timer = systemClock.after(options.timeoutMs, () =>
      done('the client did not finish the TLS handshake in time'),
    );
    socket.once('secure', ready);
    socket.once('error', failed);
    socket.once('close', closed);
  });
}

function contextOf({ cert, key }: CertificatePair): SecureContext {
  try {
    return createSecureContext({ ...TLS_PARAMETERS, cert, key, honorCipherOrder: true });
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
