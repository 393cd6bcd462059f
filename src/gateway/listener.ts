/** One listening socket, and plain words when there cannot be one. */
import { lookup } from 'node:dns/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { listenFailure } from '../base/listen-failure.ts';
import { gatewayError } from './errors.ts';
import type { ListenerConfig } from './types.ts';

/** 2,000 programs that start at the same moment must all get in; the kernel cuts this to net.core.somaxconn (4,096). */
const BACKLOG = 4096;
/** A peer that vanished without a word is noticed by TCP keep-alive, long before NATs forget a mail program in IDLE. */
const KEEP_ALIVE_MS = 120_000;

/**
 * Listens.
 * @param own listeners that this process has already
 * @throws gateway.plain-beyond-loopback, gateway.port-taken, gateway.cannot-listen
 */
export async function listen(
  config: ListenerConfig,
  accept: (socket: Socket) => void,
  own: readonly ListenerConfig[] = [],
): Promise<Server> {
  const host = await numeric(config);
  if (config.tls === 'none' && !isLoopback(host)) {
    throw gatewayError(
      'gateway.plain-beyond-loopback',
      `${config.protocol} on ${config.host} would take passwords without TLS beyond this machine`,
    );
  }
  const server = createServer(
    // Half-open: a program may end its side and still wait for the last replies.
    { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
    accept,
  );
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => reject(explain(error, config, own));
    server.once('error', failed);
    server.listen(
      { host, port: config.port, backlog: BACKLOG, ...(config.shared === true ? { reusePort: true } : {}) },
      () => {
        server.off('error', failed);
        resolve();
      },
    );
  });
  return server;
}

/** True for addresses that never leave the machine. */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./i.test(address);
}

async function numeric(config: ListenerConfig): Promise<string> {
  try {
    return (await lookup(config.host)).address;
  } catch (error) {
    throw gatewayError('gateway.cannot-listen', `cannot listen on ${config.host}: no such host`, { cause: error });
  }
}

function explain(error: unknown, { host, port, protocol }: ListenerConfig, own: readonly ListenerConfig[]): Error {
  const to = { host, port, what: protocol };
  const others = own.map((one) => ({ host: one.host, port: one.port, what: one.protocol }));
  const { taken, why, hint } = listenFailure(error, to, others);
  return gatewayError(
    taken ? 'gateway.port-taken' : 'gateway.cannot-listen',
    `cannot listen on ${host} port ${port} for ${protocol}: ${why}`,
    { detail: { protocol, host, port }, cause: error, ...(hint === undefined ? {} : { hint }) },
  );
}
