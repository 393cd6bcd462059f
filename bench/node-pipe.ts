/**
 * The runtime's own limit: TLS ended and re-encrypted by two Node sockets piped into each other, nothing else.
 *
 *   node bench/node-pipe.ts HOST CERTS-DIR PORT…     every port goes to the same port on 127.0.0.1
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { connect, createSecureContext, createServer } from 'node:tls';

const [host, certs, ...ports] = process.argv.slice(2) as [string, string, ...string[]];
const read = (name: string): string => readFileSync(join(certs, name), 'utf8');
const secureContext = createSecureContext({ ca: read('ca.pem') });
const pair = { cert: read('chain.pem'), key: read('server.key') };

for (const port of ports.map(Number)) {
  createServer(pair, (client) => {
    const upstream = connect({ host: '127.0.0.1', port, servername: 'localhost', secureContext });
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.pipe(upstream).pipe(client);
  }).listen({ host, port, backlog: 4096 });
}
