/** Bodies of many members or deep nesting are refused before they are read, in every operation; what is honest is not. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { type ApiBed, type ApiClient, openApiBed, SHOP } from '../bed/api.ts';

let bed: ApiBed;
let client: ApiClient;
before(async () => {
  bed = await openApiBed();
  client = await bed.key();
  await client.ok('putTemplate', {
    params: { name: 'list' },
    json: { subject: 'Hi', text: '{{#rows}}{{a}}{{/rows}}' },
  });
});
after(() => bed.stop());

const keys = (count: number): string => Array.from({ length: count }, (_, at) => `"X-${at}":"1"`).join();
const FLOODS = {
  depth: ['{"a":'.repeat(100_000), '['.repeat(100_000)],
  members: [`{"headers":{${keys(100_000)}}}`, `{${keys(100_000)}}`],
  elements: [`{"references":[${'1,'.repeat(600_000)}1]}`],
  values: [`{"cc":[${'{},'.repeat(100_000)}{}]}`, `[${`[${'{},'.repeat(999)}{}],`.repeat(100)}1]`],
};

test('A59, A60: every operation with a JSON body refuses too many members and too deep nesting, and says which bound', async () => {
  const operations = Object.entries(bed.document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { requestBody }]) => requestBody?.content['application/json'] !== undefined)
      .map(([method]) => [method.toUpperCase(), path.replace(/\{\w+\}/g, 'x')] as const),
  );
  assert.ok(operations.length > 10);
  const headers = { authorization: `Bearer ${client.key.reveal()}`, 'content-type': 'application/json' };
  for (const [method, path] of operations)
    for (const [limit, bodies] of Object.entries(FLOODS))
      for (const body of bodies) {
        const request = new Request(new URL(path, 'http://localhost'), { method, headers });
        const octets = Readable.from([Buffer.from(body)]);
        const response = await bed.api.fetch(request, { address: '127.0.0.1', isPrivate: true }, octets, () => {});
        const { code, facts } = (await response.json()) as { code: string; facts: { limit: string } };
        assert.deepEqual([response.status, code, facts.limit], [400, 'api.request', limit], `${method} ${path}`);
      }
  assert.equal(bed.budget.held, 0);
});

test('A60: template data of the deepest nesting, with an Idempotency-Key, is taken; one level more is the sender’s mistake', async () => {
  const sending = (depth: number) => ({
    headers: { 'idempotency-key': `deep-${depth}` },
    json: {
      from: SHOP,
      to: 'bob@x.test',
      template: { name: 'list', data: { a: JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown } },
    },
  });
  await client.ok('sendMessage', sending(61));
  await client.fails('sendMessage', sending(62), 400, 'api.request');
});

test('A59: the largest honest requests are taken', async () => {
  const row = { a: 'Zoë', price: '1.00', count: 2, text: 'x'.repeat(50) };
  const rows = Array.from({ length: 15 }, () => row);
  const merge = Array.from({ length: 500 }, (_, at) => ({ to: `a${at}@x.test`, data: { name: 'Bob', rows } }));
  const { items } = await client.ok('sendMerge', { json: { from: SHOP, template: { name: 'list' }, merge } });
  assert.equal(items.length, 500);
  const to = Array.from({ length: 1000 }, (_, at) => ({ name: `A ${at}`, address: `a${at}@x.test` }));
  await client.ok('sendMessage', { json: { from: SHOP, to, subject: 'x', text: '[{,'.repeat(100_000) } });
  const suppressed = to.map(({ address }) => ({ address: `s${address}`, reason: 'manual', note: 'x', mailbox: '*' }));
  await client.ok('addSuppressions', { json: { items: suppressed } });
});
