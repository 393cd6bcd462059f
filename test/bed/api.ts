/** The HTTP API over memory, and a client that is made from its OpenAPI document and holds every answer against it. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { createApiKey, type NewApiKey } from '../../src/access/api-key.ts';
import { type ApiSignIn, openApiSignIn } from '../../src/access/api-sign-in.ts';
import type { Audit, AuditEntry } from '../../src/audit/types.ts';
import { ManualClock } from './manual-clock.ts';
import { nullLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { openOutbox } from '../../src/outbox/open.ts';
import { Budget } from '../../src/protocol/wire/budget.ts';
import type { Outbox } from '../../src/outbox/types.ts';
import { type Api, createApi } from '../../src/server/api/app.ts';
import type { Peer } from '../../src/server/api/request.ts';
import { openSuppressed } from '../../src/outbox/suppressed.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/types.ts';
import { environmentKey } from '../../src/vault/key-source.ts';
import { openVault } from '../../src/vault/open.ts';
import type { Vault } from '../../src/vault/types.ts';

export const SHOP = 'shop@contoso.test';
export const ALICE = 'alice@contoso.test';
export const HERE: Peer = { address: '127.0.0.1', isPrivate: true };

export interface ApiBed {
  readonly api: Api;
  readonly store: Store;
  readonly vault: Vault;
  readonly outbox: Outbox;
  readonly clock: ManualClock;
  readonly audit: Audit;
  readonly audited: AuditEntry[];
  readonly budget: Budget;
  /** Operations of the document that were answered as they say. */
  readonly exercised: Set<string>;
  readonly document: OpenApi;
  key(change?: Partial<NewApiKey>): Promise<ApiClient>;
  /** Asks for anything, also what the document does not know. */
  ask(path: string, init?: RequestInit, peer?: Peer): Promise<Response>;
  stop(): Promise<void>;
}

export async function openApiBed(): Promise<ApiBed> {
  const clock = new ManualClock();
  const store = await openStore('sqlite::memory:', { clock });
  const vault = await openVault(store.settings, environmentKey(new Secret(randomBytes(32).toString('base64url'))));
  const audited: AuditEntry[] = [];
  const budget = new Budget();
  const audit: Audit = {
    record: (entry) => Promise.resolve(void audited.push(entry)),
    note: (entry) => void audited.push(entry),
    along: async (entry, work) => {
      const result = await work();
      if (result !== false) audited.push(entry);
      return result;
    },
    ready: () => Promise.resolve(),
    flush: () => Promise.resolve(),
  };
  await addMailboxes(store, clock.now());
  const suppressed = openSuppressed(store);
  const outbox = openOutbox({ store, vault, clock, suppressed });
  const signIn: ApiSignIn = await openApiSignIn({ store, vault, clock });
  const stopping = new AbortController();
  const api = createApi({
    store,
    vault,
    audit,
    clock,
    log: nullLog,
    outbox,
    budget,
    signIn,
    egress: { allow: ['127.0.0.0/8'] },
    version: '0.0.0',
    stopping: stopping.signal,
  });
  const document = api.document() as OpenApi;
  const exercised = new Set<string>();
  return {
    api,
    store,
    vault,
    outbox,
    clock,
    audit,
    audited,
    budget,
    exercised,
    document,
    async key(change = {}) {
      const asked = { label: 'test', actions: ['*'], mailboxes: ['*'], networks: [], ...change };
      const { key, row } = await createApiKey({ store, vault, audit, clock }, asked);
      return new ApiClient(api, document, exercised, key, row.id);
    },
    ask: (path, init = {}, peer = HERE) =>
      api.fetch(
        new Request(new URL(path, 'http://localhost'), init),
        peer,
        Readable.from(typeof init.body === 'string' ? [Buffer.from(init.body)] : []),
        () => {},
      ),
    async stop() {
      stopping.abort();
      signIn.close();
      await outbox.close();
      await store.close();
    },
  };
}

/** What a refused request is told. */
export async function problem(
  response: Response,
): Promise<{ readonly code: string; readonly detail: string; readonly hint: string; readonly requestId: string }> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  return (await response.json()) as { code: string; detail: string; hint: string; requestId: string };
}

export async function addMailboxes(store: Store, createdAt: number): Promise<void> {
  await store.applications.insert({
    id: 'app_1',
    name: 'work',
    provider: 'microsoft',
    clientId: 'client',
    tenant: 'contoso.test',
    settings: {},
    credential: undefined,
    createdAt,
  });
  await store.grants.insert({
    id: 'grt_1',
    applicationId: 'app_1',
    flow: 'authorization-code',
    identity: SHOP,
    subject: undefined,
    scopes: [],
    state: { type: 'active', since: createdAt, accessExpiresAt: createdAt + 3_600_000 },
    tokens: undefined,
    generation: 0,
    createdAt,
  });
  for (const [address, settings] of [
    [SHOP, { sendAs: ['info@contoso.test'] }],
    [ALICE, {}],
  ] as const) {
    const row = { address, grantId: 'grt_1', access: 'own', protocols: ['imap', 'smtp'], settings, createdAt } as const;
    await store.mailboxes.insert(row);
  }
}

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> };
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly content?: Readonly<Record<string, { readonly schema: object }>>;
        readonly headers?: Readonly<Record<string, { readonly required?: boolean; readonly schema: object }>>;
      }
    >
  >;
}
export interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

export interface Call {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | readonly string[]>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly octets?: { readonly type: string; readonly body: string | Uint8Array };
}
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
  readonly text: string;
}
/** JSON whose shape was held against the document. */
// oxlint-disable-next-line typescript/no-explicit-any -- asserting on it is what the tests do
export type Json = any;

export class ApiClient {
  readonly #api: Api;
  readonly #document: OpenApi;
  readonly #exercised: Set<string>;
  readonly key: Secret;
  readonly id: string;

  constructor(api: Api, document: OpenApi, exercised: Set<string>, key: Secret, id: string) {
    this.#api = api;
    this.#document = document;
    this.#exercised = exercised;
    this.key = key;
    this.id = id;
  }

  /** Asks for a documented operation; what the document does not know cannot be asked for. */
  async call(operationId: string, call: Call = {}): Promise<Answer> {
    const { path, method, operation } = this.#find(operationId);
    const declared = new Set(operation.parameters?.map(({ name, in: where }) => `${where} ${name}`));
    const known = (where: string, values: object = {}): void => {
      for (const name of Object.keys(values))
        assert.ok(declared.has(`${where} ${name}`), `${operationId}: ${where} ${name}`);
    };
    known('path', call.params);
    known('query', call.query);
    known('header', call.headers);
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(call.params?.[name] ?? ''));
    const url = new URL(filled, 'http://localhost');
    for (const [name, value] of Object.entries(call.query ?? {}))
      for (const one of [value].flat()) url.searchParams.append(name, one);
    const type = call.octets?.type ?? (call.json === undefined ? undefined : 'application/json');
    const payload = call.octets?.body ?? (call.json === undefined ? undefined : JSON.stringify(call.json));
    if (call.json !== undefined) assert.ok(operation.requestBody?.content['application/json'], `${operationId}: JSON`);
    const request = new Request(url, {
      method: method.toUpperCase(),
      headers: {
        authorization: `Bearer ${this.key.reveal()}`,
        ...(type === undefined ? {} : { 'content-type': type }),
        ...(payload === undefined ? {} : { 'content-length': String(Buffer.byteLength(payload)) }),
        ...call.headers,
      },
      ...(payload === undefined ? {} : { body: payload }),
    });
    const octets = Readable.from(payload === undefined ? [] : [Buffer.from(payload)]);
    const whenOver: (() => void)[] = [];
    const onClose = (done: () => void): void => void whenOver.push(done);
    const response = await this.#api.fetch(request, HERE, octets, onClose);
    const text = await response.text();
    for (const done of whenOver) done();
    const body = this.#check(operation, response, text);
    if (response.status < 400) this.#exercised.add(operationId);
    return { status: response.status, headers: response.headers, body, text };
  }

  /** As {@link call}, for one that has to succeed. */
  async ok(operationId: string, call: Call = {}): Promise<Json> {
    const answer = await this.call(operationId, call);
    assert.ok(answer.status < 300, `${operationId}: ${answer.status} ${answer.text}`);
    return answer.body;
  }

  /** As {@link call}, for one that has to fail with this status and code. */
  async fails(operationId: string, call: Call, status: number, code: string): Promise<Json> {
    const { status: got, body, text } = await this.call(operationId, call);
    assert.deepEqual([got, body.code], [status, code], `${operationId}: ${text}`);
    return body;
  }

  #find(operationId: string) {
    for (const [path, methods] of Object.entries(this.#document.paths))
      for (const [method, operation] of Object.entries(methods))
        if (operation.operationId === operationId) return { path, method, operation };
    throw new Error(`the document has no operation ${operationId}`);
  }

  #check(operation: Operation, response: Response, text: string): Json {
    const { status } = response;
    const what = `${operation.operationId} ${status}`;
    assert.match(response.headers.get('request-id') ?? '', /^req_/, what);
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff', what);
    // Only what is Postern's own trouble may be left to `default`.
    const documented =
      operation.responses[String(status)] ?? (status >= 500 ? operation.responses['default'] : undefined);
    assert.ok(documented, `${what} is not documented: ${text}`);
    const described = new Map(Object.entries(documented.headers ?? {}).map(([name, one]) => [name.toLowerCase(), one]));
    for (const [name, { required, schema }] of described) {
      const value = response.headers.get(name);
      assert.ok(value !== null || required !== true, `${what}: ${name} is missing`);
      if (value === null) continue;
      const typed = (schema as { type: string }).type === 'integer' ? Number(value) : value;
      assert.ok(this.#schema(schema).safeParse(typed).success, `${what}: ${name}: ${value}`);
    }
    for (const name of ['location', 'retry-after', 'idempotency-replayed', 'www-authenticate', 'allow'])
      assert.ok(described.has(name) || !response.headers.has(name), `${what}: ${name} is not documented`);
    if (status >= 400) {
      const { violations, hint } = JSON.parse(text) as { violations?: unknown; hint: string };
      assert.equal(/violations/.test(hint) && violations === undefined, false, `${what}: ${hint}`);
    }
    const type = response.headers.get('content-type')?.split(';')[0] ?? '';
    if (documented.content === undefined) return assert.equal(text, '', what);
    const content = documented.content[type];
    assert.ok(content, `${what}: ${type} is not documented`);
    if (!type.endsWith('json')) return text;
    const body: unknown = JSON.parse(text);
    const parsed = this.#schema(content.schema).safeParse(body);
    assert.ok(parsed.success, `${what} is not as documented: ${parsed.error?.message ?? ''} in ${text}`);
    return body;
  }

  #schema(schema: object): z.ZodType {
    const definitions = this.#document.components.schemas;
    const text = JSON.stringify({ ...schema, $defs: definitions }).replaceAll('#/components/schemas/', '#/$defs/');
    return z.fromJSONSchema(JSON.parse(text) as z.core.JSONSchema.JSONSchema);
  }
}
