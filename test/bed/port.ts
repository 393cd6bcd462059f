/** The port that a server listens on. */
import assert from 'node:assert/strict';
import type { Server } from 'node:net';

export function portOf(server: Pick<Server, 'address'>): number {
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null, 'it listens on a port');
  return address.port;
}
