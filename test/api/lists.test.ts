/** Pages of lists, while what they list goes away; what requests fit no operation are told. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiBed, type ApiClient, type Call, type Json, openApiBed, SHOP } from '../bed/api.ts';

let bed: ApiBed;
let client: ApiClient;
before(async () => {
  bed = await openApiBed();
  client = await bed.key();
});
after(() => bed.stop());

interface List {
  readonly call?: Call;
  /** Makes three entries. */
  make(): Promise<unknown>;
  key(item: Json): string;
  /** Removes the entry the page ended with; missing where entries go only together. */
  remove?(item: Json): Promise<unknown>;
}

const hello = { from: SHOP, to: 'bob@x.test', subject: 'Hello', text: 'Hi' };
/** Forgets everything that is finished, as time does. */
const forget = () => bed.store.outbox.prune({ finishedBefore: bed.clock.now() + 1, at: bed.clock.now(), limit: 100 });
const thrice = async (work: (at: number) => Promise<unknown>): Promise<void> => {
  for (const at of [1, 2, 3]) await work(at);
};

test('L19: a page goes on where the one before ended, also when the entry that stood there is gone', async () => {
  const hook = await client.ok('createWebhook', { json: { url: 'https://127.0.0.1/log' } });
  const lists: Readonly<Record<string, List>> = {
    listMessages: {
      make: () => thrice((at) => client.ok('sendMessage', { json: { ...hello, subject: `m${at}` } })),
      key: ({ id }) => id,
      async remove({ id }) {
        await client.ok('cancelMessage', { params: { id } });
        assert.equal(await forget(), 1);
      },
    },
    listMailboxes: {
      make: () =>
        thrice(async (at) => {
          const row = (await bed.store.mailboxes.find(SHOP))!;
          await bed.store.mailboxes.insert({ ...row, address: `a${at}@contoso.test`, settings: {} });
        }),
      key: ({ address }) => address,
      remove: ({ address }) => bed.store.mailboxes.remove(address),
    },
    listTemplates: {
      make: () =>
        thrice((at) => client.ok('putTemplate', { params: { name: `t${at}` }, json: { subject: 's', text: 't' } })),
      key: ({ name }) => name,
      remove: ({ name }) => client.ok('deleteTemplate', { params: { name } }),
    },
    listTemplateVersions: {
      call: { params: { name: 'many' } },
      make: () =>
        thrice((at) => client.ok('putTemplate', { params: { name: 'many' }, json: { subject: `s${at}`, text: 't' } })),
      key: ({ version }) => String(version),
    },
    listSuppressions: {
      make: () =>
        client.ok('addSuppressions', { json: { items: [1, 2, 3].map((at) => ({ address: `s${at}@x.test` })) } }),
      key: ({ address }) => address,
      remove: ({ address }) => client.ok('removeSuppression', { params: { address } }),
    },
    listWebhookDeliveries: {
      call: { params: { id: hook.id } },
      make: () => thrice(() => client.ok('testWebhook', { params: { id: hook.id } })),
      key: ({ id }) => id,
    },
    listWebhooks: {
      make: () => thrice((at) => client.ok('createWebhook', { json: { url: `https://127.0.0.1/${at}` } })),
      key: ({ id }) => id,
      remove: ({ id }) => client.ok('deleteWebhook', { params: { id } }),
    },
    listMessageEvents: {
      call: {},
      make: () => Promise.resolve(),
      key: ({ id }) => id,
    },
  };
  const paged = Object.values(bed.document.paths)
    .flatMap((methods) => Object.values(methods))
    .filter(({ parameters }) => parameters?.some(({ name }) => name === 'cursor'))
    .map(({ operationId }) => operationId);
  assert.deepEqual(paged.toSorted(), Object.keys(lists).toSorted());
  for (const [operation, { call = {}, make, key, remove }] of Object.entries(lists)) {
    if (operation === 'listMessageEvents') continue; // go with their message
    await make();
    const all = (await client.ok(operation, call)).items.map(key) as string[];
    assert.ok(all.length >= 3, operation);
    const seen: string[] = [];
    let cursor: string | undefined;
    for (;;) {
      const query = { limit: '1', ...(cursor === undefined ? {} : { cursor }) };
      const { items, next } = await client.ok(operation, { ...call, query });
      seen.push(...items.map(key));
      if (next === null) break;
      await remove?.(items.at(-1));
      cursor = next;
    }
    assert.deepEqual(seen, all, operation);
  }
});

test('D8: an unknown query parameter, a wrong method and a wrong path are told by name', async () => {
  const headers = { authorization: `Bearer ${client.key.reveal()}` };
  const ask = async (method: string, path: string) => {
    const request = new Request(new URL(path, 'http://localhost'), { method, headers });
    const response = await bed.api.fetch(
      request,
      { address: '127.0.0.1', isPrivate: true },
      (async function* () {})(),
      () => {},
    );
    const text = await response.text();
    return {
      status: response.status,
      allow: response.headers.get('allow'),
      body: text === '' ? {} : JSON.parse(text),
    } as {
      readonly status: number;
      readonly allow: string | null;
      readonly body: Json;
    };
  };
  for (const [path, methods] of Object.entries(bed.document.paths)) {
    const real = path.replaceAll(/\{\w+\}/g, 'some@x.test');
    for (const method of Object.keys(methods)) {
      const { status, body } = await ask(method.toUpperCase(), `${real}?stat=failed&limit=1`);
      assert.deepEqual([status, body.code], [422, 'api.unknown-parameter'], `${method} ${path}`);
      assert.equal(body.violations[0].path, 'stat');
    }
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const one = method.toLowerCase();
      // `/v1/messages/merge` is also a message of that name, by its form.
      if (
        Object.entries(bed.document.paths).some(
          ([other, known]) => one in known && new RegExp(`^${other.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(real),
        )
      )
        continue;
      const { status, allow, body } = await ask(method, real);
      assert.deepEqual([status, body.code], [405, 'api.method'], `${method} ${path}`);
      assert.ok(
        Object.keys(methods).every((each) => allow!.split(', ').includes(each.toUpperCase())),
        `${path}: ${allow}`,
      );
    }
  }
  assert.equal((await ask('GET', '/v1/nothing')).status, 404);
  assert.deepEqual(await ask('POST', '/openapi.json').then(({ status, allow }) => [status, allow]), [405, 'GET, HEAD']);
});
