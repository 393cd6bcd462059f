/** A program's TLS handshake with the gateway's certificate; a failure is counted and told of. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { asError } from '../base/error.ts';
import { secureServer } from '../protocol/tls/server.ts';
import type { Protocol } from '../store/types.ts';
import type { Surroundings } from './surroundings.ts';

/** Handshakes with somebody who does not speak TLS end after this. */
const HANDSHAKE_MS = 15_000;

/** @throws tls.failed */
export async function handshake(
  { handshakes, roomy, tls }: Surroundings,
  protocol: Protocol,
  remoteAddress: string,
  plain: Socket,
): Promise<TLSSocket> {
  try {
    return await secureServer(plain, tls, { timeoutMs: HANDSHAKE_MS, roomy: roomy() });
  } catch (error) {
    handshakes.note(protocol, remoteAddress, asError(error));
    throw error;
  }
}
