/** What a running server on this machine says at `/metrics`, asked by a command in another process. */
import type { IncomingMessage } from 'node:http';
import { request as requestSecure } from 'node:https';
import { text } from 'node:stream/consumers';
import { existsSync, readFileSync } from 'node:fs';
import { filesOf } from './certificate.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import { request as requestPlain } from './plain-http.ts';

const PATIENCE_MS = 3000;
/** Listens on all addresses: any of this machine's own will do. */
const EVERYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/**
 * Metrics in Prometheus's text format. With `console.tls` whoever answers must hold the very certificate this installation uses,
 * whatever names are on it.
 * @throws server.no-metrics, server.config
 */
export async function readOwnMetrics(config: Pick<Config, 'console' | 'tls' | 'home'>): Promise<string> {
  const { host, port, tls } = config.console;
  if (port === 0) throw serverError('server.no-metrics', 'the console listens on a free port, which is not known here');
  const target = { host: EVERYWHERE[host] ?? host, port, path: '/metrics', timeout: PATIENCE_MS, agent: false };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = tls ? requestSecure({ ...target, ...pinned(filesOf(config).cert) }) : requestPlain(target);
    request.once('response', resolve);
    request.once('timeout', () => request.destroy(new Error(`no answer within ${PATIENCE_MS / 1000} s`)));
    request.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.message || cause.code || cause.name;
      reject(serverError('server.no-metrics', `the console on ${host}:${port} gives no metrics: ${why}`, { cause }));
    });
    request.end();
  });
  const body = await text(answer);
  if (answer.statusCode === 200) return body;
  throw serverError(
    'server.no-metrics',
    `the console on ${host}:${port} answered ${answer.statusCode}: ${body.trim()}`,
  );
}

function pinned(certificate: string) {
  if (!existsSync(certificate)) throw serverError('server.no-metrics', `there is no certificate ${certificate} yet`);
  return {
    ca: readFileSync(certificate, 'utf8'),
    allowPartialTrustChain: true,
    checkServerIdentity: () => undefined,
  };
}
