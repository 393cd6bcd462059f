/** What is written down of a webhook's receiver that gave no answer. */
import assert from 'node:assert/strict';
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
