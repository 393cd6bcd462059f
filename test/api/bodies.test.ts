/** Bodies of requests: who may send one, how large, how long, and what room they take. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { type ApiBed, HERE, openApiBed, problem, SHOP } from '../bed/api.ts';

let bed: ApiBed;
before(async () => {
  bed = await openApiBed();
});
after(() => bed.stop());

const hello = { from: SHOP, to: 'bob@x.test', subject: 'Hello', text: 'Hi Bob' };

test('a body that is too large is refused, with and without a length', async () => {
  const client = await bed.key();
  const headers = { authorization: `Bearer ${client.key.reveal()}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ ...hello, text: 'x'.repeat(11 * 1024 * 1024) });
  const length = String(body.length);
  const known = await bed.ask('/v1/messages', {
    method: 'POST',
    headers: { ...headers, 'content-length': length },
    body,
  });
  const told = await problem(known);
  assert.deepEqual([known.status, told.code], [413, 'api.too-large']);
  for (const way of ['POST /v1/uploads?filename=NAME', '{"upload": "ID"}', 'Content-Type: message/rfc822'])
    assert.ok(told.hint.includes(way), way);
  const chunked = { ...headers, 'transfer-encoding': 'chunked' };
  const unknown = await bed.ask('/v1/messages', { method: 'POST', headers: chunked, body });
  assert.deepEqual([unknown.status, (await problem(unknown)).code], [413, 'api.too-large']);
});

test('S4: a request whose body has no room waits some seconds and is told when to come again', async () => {
  const key = await bed.key();
  const { octets } = bed.budget;
  assert.ok(bed.budget.take(octets));
  const answered = key.call('sendMessage', { json: { ...hello, text: 'x'.repeat(20_000) } });
  for (let ms = 0; ms <= 5000; ms += 50) {
    await bed.clock.advance(50);
    await new Promise((turn) => setImmediate(turn));
  }
  const { status, body, headers } = await answered;
  assert.deepEqual([status, body.code, headers.get('retry-after')], [503, 'api.busy', '2']);
  // What has no body, or a short one, is answered all the same.
  await key.ok('sendMessage', { json: hello });
  await key.ok('listMessages');
  bed.budget.give(octets);
  await key.ok('sendMessage', { json: hello });
  assert.equal(bed.budget.held, 0);
});

test('A33: what a key may not do is refused before anything of its body is read', async () => {
  const { key } = await bed.key({ actions: ['mailboxes:read'] });
  let read = 0;
  const body = async function* (): AsyncGenerator<Buffer> {
    read += 1;
    yield Buffer.from('{');
    await new Promise(() => {});
  };
  const headers = {
    authorization: `Bearer ${key.reveal()}`,
    'content-type': 'application/json',
    'content-length': '10485760',
  };
  const paths = Object.entries(bed.document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { requestBody }]) => requestBody !== undefined)
      .map(([method]) => [method.toUpperCase(), path.replace(/\{\w+\}/g, 'x')] as const),
  );
  assert.ok(paths.length > 10);
  for (const [method, path] of paths) {
    const request = new Request(new URL(path, 'http://localhost'), { method, headers });
    const response = await bed.api.fetch(request, HERE, body(), () => {});
    assert.deepEqual([response.status, (await problem(response)).code], [403, 'api.forbidden'], `${method} ${path}`);
  }
  assert.deepEqual([read, bed.budget.held], [0, 0]);
});

test('A33: room is taken for octets that have come, and one key has its share of it', async () => {
  const [greedy, other] = [await bed.key(), await bed.key()];
  const ends: (() => void)[] = [];
  const open = (octets: number): Promise<Response> => {
    const over = Promise.withResolvers<void>();
    ends.push(over.resolve);
    const body = async function* (): AsyncGenerator<Buffer> {
      for (let sent = 0; sent < octets; sent += 65_536) yield Buffer.alloc(Math.min(65_536, octets - sent), 0x20);
      await over.promise;
    };
    const headers = {
      authorization: `Bearer ${greedy.key.reveal()}`,
      'content-type': 'application/json',
      'content-length': '10485760',
    };
    const request = new Request('http://localhost/v1/suppressions', { method: 'POST', headers });
    return bed.api.fetch(request, HERE, body(), () => {});
  };
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 300; n++) await new Promise((turn) => setImmediate(turn));
  };
  // Announced is not come: each holds one octet, and nothing is counted.
  const small = Array.from({ length: 40 }, () => open(1));
  await turns();
  assert.equal(bed.budget.held, 0);
  const large = Array.from({ length: 3 }, () => open(7 * 1024 * 1024));
  await turns();
  const quarter = bed.budget.octets / 4;
  assert.ok(bed.budget.held > 0 && bed.budget.held <= quarter, `${bed.budget.held} of ${quarter}`);
  // Another key finds room for a body of a megabyte.
  await other.ok('sendMessage', { json: { ...hello, text: 'x'.repeat(1_000_000) } });
  for (let ms = 0; ms <= 5000; ms += 50) {
    await bed.clock.advance(50);
    await new Promise((turn) => setImmediate(turn));
  }
  for (const end of ends) end();
  const statuses = (await Promise.all([...small, ...large])).map(({ status }) => status).toSorted();
  assert.deepEqual([...new Set(statuses)], [400, 503]);
  assert.equal(bed.budget.held, 0);
});

test('A32: a stream whose body nobody reads gives its place back when its request is over', async () => {
  const { key } = await bed.key();
  const head = async (authorization: string): Promise<{ status: number; end: () => void }> => {
    const dones: (() => void)[] = [];
    const request = new Request('http://localhost/v1/events', {
      method: 'HEAD',
      headers: { authorization, accept: 'text/event-stream' },
    });
    const { status } = await bed.api.fetch(request, HERE, Readable.from([]), (done) => void dones.push(done));
    return { status, end: () => dones.forEach((done) => done()) };
  };
  const mine = `Bearer ${key.reveal()}`;
  const open = [];
  for (let n = 0; n < 100; n++) open.push(await head(mine));
  assert.ok(open.every(({ status }) => status === 200));
  // One key has a fifth of the places; others find theirs.
  assert.equal((await head(mine)).status, 429);
  const another = await head(`Bearer ${(await bed.key()).key.reveal()}`);
  assert.equal(another.status, 200);
  for (const { end } of [...open, another]) end();
  const again = await head(mine);
  assert.equal(again.status, 200);
  again.end();
});

/** A request whose body stops in the middle, until it is told to go on. */
function slow(path: string, key: string, type: string, body: string) {
  const begun = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<void>();
  async function* octets(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(body.slice(0, 50));
    begun.resolve();
    await rest.promise;
    yield Buffer.from(body.slice(50));
  }
  const headers = { authorization: `Bearer ${key}`, 'content-type': type, 'content-length': String(body.length) };
  const request = new Request(new URL(path, 'http://localhost'), { method: 'POST', headers });
  const answer = bed.api.fetch(request, HERE, octets(), () => {});
  return { answer, begun: begun.promise, goOn: rest.resolve };
}

const MAIL = `From: ${SHOP}\r\nTo: bob@x.test\r\nSubject: after the end of the key\r\n\r\n${'hello\r\n'.repeat(10)}`;
const WAYS = [
  ['a finished message', '/v1/messages', 'message/rfc822', MAIL],
  ['a message in JSON', '/v1/messages', 'application/json', JSON.stringify({ ...hello, text: 'x'.repeat(100) })],
  ['an upload', '/v1/uploads?filename=a', 'application/octet-stream', 'x'.repeat(100)],
  [
    'a suppression',
    '/v1/suppressions',
    'application/json',
    JSON.stringify({ items: [{ address: `${'x'.repeat(60)}@x.test` }] }),
  ],
] as const;
for (const [what, path, type, body] of WAYS)
  test(`A25: ${what} under way ends with its key, and is not taken`, async () => {
    const { store, clock } = bed;
    const count = async () => [
      (await store.outbox.list({}, { limit: 500 })).length,
      (await store.suppressions.list({ limit: 500 })).length,
    ];
    const before = await count();
    for (const how of ['revoked', 'ended'] as const) {
      const label = `${what}, ${how}`;
      const { key } = await bed.key({ label, ...(how === 'ended' ? { expiresAt: clock.now() + 60_000 } : {}) });
      const { answer, begun } = slow(path, key.reveal(), type, body);
      await begun;
      const { id } = (await store.apiKeys.list()).find((one) => one.label === label)!;
      if (how === 'revoked') await store.apiKeys.revoke(id, clock.now());
      else await clock.advance(60_000);
      // The rest never comes.
      const response = await answer;
      assert.equal(response.status, 401, how);
      assert.match((await problem(response)).detail, /revoked or has ended/);
    }
    assert.deepEqual(await count(), before);
    const { key } = await bed.key();
    const good = slow(path, key.reveal(), type, body);
    await good.begun;
    good.goOn();
    assert.ok((await good.answer).ok);
  });
