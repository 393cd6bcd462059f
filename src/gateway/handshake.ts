/** A program's TLS handshake with the gateway's certificate; a failure is counted and told of. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { asError } from '../base/error.ts';
import { secureServer } from '../protocol/tls/server.ts';
import type { Protocol } from '../store/protocols.ts';
import type { Surroundings } from './surroundings.ts';

/** @throws tls.program */
export async function handshake(
  { handshakes, limits, roomy, tls }: Surroundings,
  protocol: Protocol,
  remoteAddress: string,
  plain: Socket,
): Promise<TLSSocket> {
  try {
    // No shorter: Alpine asks its user about the certificate within the handshake.
    return await secureServer(plain, tls, { timeoutMs: limits.signInMs, roomy: roomy() });
  } catch (error) {
    handshakes.note(protocol, remoteAddress, asError(error));
    throw error;
  }
}
