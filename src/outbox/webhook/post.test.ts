/** What is written down of a webhook's receiver that gave no answer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Agent } from 'undici';
import { Egress } from './egress.ts';
import { postEvent } from './post.ts';

test('silence is told from other ends of a try', async (t) => {
  const agent = new Agent();
  t.after(() => agent.close());
  const problemOf = async (name: string): Promise<unknown> => {
    const egress = new Egress({ allow: [] });
    // What fetch is rejected with when its time is over, before anything is sent.
    const over = AbortSignal.abort(new DOMException('words of the engine', name));
    return postEvent(egress, { 'http:': agent, 'https:': agent }, 'https://example.com/', {}, '{}', over);
  };
  const failed = { type: 'failed', status: undefined, retryAfterMs: undefined };
  assert.deepEqual(await problemOf('TimeoutError'), { ...failed, problem: 'no answer within 15 seconds' });
  assert.deepEqual(await problemOf('AbortError'), { ...failed, problem: 'words of the engine' });
});

test('an answer without an end is read for its first words, and no further', async (t) => {
  const server = createServer((_, response) => {
    response.writeHead(500);
    const more = (): void => void (response.destroyed || response.write('x'.repeat(1000), () => setTimeout(more, 5)));
    more();
  }).listen(0, '127.0.0.1');
  const agent = new Agent();
  t.after(async () => {
    await agent.destroy();
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const egress = new Egress({ allow: ['127.0.0.0/8'] });
  const outcome = await postEvent(
    egress,
    { 'http:': agent, 'https:': agent },
    url,
    {},
    '{}',
    AbortSignal.timeout(5000),
  );
  assert.ok(outcome.type === 'failed' && outcome.status === 500, JSON.stringify(outcome));
});
