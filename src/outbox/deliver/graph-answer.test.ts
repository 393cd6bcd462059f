/** What Graph is given, and what its answers mean. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressToAll } from './graph-recipients.ts';
import { outcomeOfAnswer } from './graph-route.ts';
import type { Outcome } from './types.ts';

const to = (...addresses: string[]) => addresses.map((address) => ({ address }));

test('an answer without a known code is judged by its status', () => {
  const asked = { mailbox: { address: 'alice@x.test', access: 'own' as const }, from: 'alice@x.test' };
  const recipients = [{ address: 'bob@x.test', state: 'pending' as const }];
  const outcome = (status: number): Outcome =>
    outcomeOfAnswer(
      { status, code: undefined, text: 'x', requestId: 'r1', retryAfterMs: undefined, json: {} },
      recipients,
      asked,
    );
  const seen = [202, 400, 401, 403, 404, 408, 409, 413, 423, 429, 500, 503].map((status) => {
    const one = outcome(status);
    return [status, one.type, 'rest' in one ? one.rest?.scope : undefined];
  });
  assert.deepEqual(seen, [
    [202, 'sent', undefined],
    [400, 'refused', undefined],
    [401, 'later', 'mailbox'],
    [403, 'closed', 'route'],
    [404, 'closed', 'route'],
    [408, 'later', 'route'],
    [409, 'refused', undefined],
    [413, 'unfit', undefined],
    [423, 'later', 'route'],
    [429, 'later', 'mailbox'],
    [500, 'later', 'route'],
    [503, 'later', 'route'],
  ]);
  assert.equal(outcome(202).reply.text, '202 Accepted [request r1]');
});

test('Bcc names those whom To and Cc do not, and nobody twice; a stranger in the header stops it', () => {
  const octets = Buffer.from('From: a@x.test\r\nTo: B@x.test\r\nCc: c@x.test\r\nBcc: old@x.test\r\n\r\nhi\r\n');
  const some = addressToAll(octets, to('b@x.test', 'c@x.test', 'd@x.test'));
  assert.ok(some.type === 'addressed');
  assert.equal(some.raw.toString(), 'From: a@x.test\r\nTo: B@x.test\r\nCc: c@x.test\r\nBcc: <d@x.test>\r\n\r\nhi\r\n');
  assert.deepEqual(
    some.named.bcc.map(({ address }) => address),
    ['d@x.test'],
  );
  const all = addressToAll(octets, to('b@x.test', 'c@x.test'));
  assert.ok(all.type === 'addressed' && !/^Bcc:/m.test(all.raw.toString()));
  const stranger = addressToAll(octets, to('b@x.test'));
  assert.match(stranger.type === 'misaddressed' ? stranger.reason : '', /c@x\.test is not to get this message/);
});
