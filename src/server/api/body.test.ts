/** Bodies that come slowly, over a real connection. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { isError } from '../../base/error.ts';
import { octetsOf } from './body.ts';

async function withBody(
  first: string,
  judge: (incoming: IncomingMessage, more: (text: string) => void) => Promise<void>,
): Promise<void> {
  const came = Promise.withResolvers<IncomingMessage>();
  const server = createServer((incoming) => came.resolve(incoming));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n${first}`);
  try {
    await judge(await came.promise, (text) => client.write(text));
  } finally {
    client.destroy();
    server.close();
    server.closeAllConnections();
  }
}

const isSlow = (error: unknown): boolean => isError(error, 'api.slow');
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('A33: a body that stands still is given up after ten seconds', () =>
  withBody('{', async (incoming) => {
    const clock = new ManualClock();
    const octets = octetsOf(incoming, clock);
    assert.equal((await octets.next())?.toString(), '{');
    const refused = assert.rejects(octets.next(), isSlow);
    await turn();
    await clock.advance(10_002);
    await refused;
  }));

test('A33: a body that drips one octet at a time is given up as well, one at the least pace is not', () =>
  withBody('{', async (incoming, more) => {
    const clock = new ManualClock();
    const octets = octetsOf(incoming, clock);
    await octets.next();
    const piece = async (text: string, ms: number): Promise<void> => {
      const next = octets.next();
      await turn();
      await clock.advance(ms);
      more(text);
      await next;
    };
    for (let n = 0; n < 10; n++) await piece('x'.repeat(2000), 1900);
    for (let n = 0; n < 5; n++) await piece('x', 1900);
    const refused = assert.rejects(octets.next(), isSlow);
    await turn();
    await clock.advance(1900);
    await refused;
  }));
