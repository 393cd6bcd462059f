/** The API on a real port, with the programs that docs/api.md shows. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { OpenAPIClientAxios } from 'openapi-client-axios';
import { Registry } from 'prom-client';
import { Agent, fetch } from 'undici';
import { createApiKey, revokeApiKey } from '../../src/access/api-key.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type ApiListener, openApi } from '../../src/server/api/listener.ts';
import { certificateFiles } from '../../src/server/certificate.ts';
import { GivenCertificate, readCertificate } from '../../src/server/certificate-in-use.ts';
import { readConfig } from '../../src/server/config.ts';
import { homeOf } from '../../src/server/home.ts';
import { type Console, startConsole } from '../../src/server/http.ts';
import { ensureKey, type Instance, openInstance } from '../../src/server/instance.ts';
import { addMailboxes, SHOP } from '../bed/api.ts';
import { without } from '../bed/need.ts';
import { privateFolder } from '../bed/process.ts';

const run = promisify(execFile);
const folder = privateFolder();
const docs = readFileSync(resolve(import.meta.dirname, '../../docs/api.md'), 'utf8');
const registry = new Registry();
let instance: Instance;
let api: ApiListener;
let console: Console;
let encrypted: Console;
let base: string;
let key: string;
let ca: string;

before(async () => {
  const home = homeOf({}, folder.path);
  writeFileSync(
    home.config,
    JSON.stringify({ console: { port: 0, trustedProxies: ['127.0.0.0/8'] }, webhooks: { allow: ['127.0.0.0/8'] } }),
  );
  const config = readConfig(home, {});
  await ensureKey(config);
  instance = await openInstance({ config });
  await addMailboxes(instance.store, Date.now());
  api = await openApi(instance, registry);
  const files = await certificateFiles(config, systemClock);
  ca = readFileSync(files.ca!, 'utf8');
  const rest = { host: '127.0.0.1', port: 0, api, metrics: () => registry.metrics(), ready: async () => [] };
  console = await startConsole(rest);
  encrypted = await startConsole({ ...rest, tls: new GivenCertificate(readCertificate(files)) });
  base = `http://127.0.0.1:${console.port}`;
  key = await keyFor(['*']);
});
after(async () => {
  await api?.close();
  await console?.close();
  await encrypted?.close();
  await instance?.close();
  folder.remove();
});

async function keyFor(actions: readonly string[]): Promise<string> {
  const made = await createApiKey(instance, { label: 'test', actions, mailboxes: ['*'], networks: [] });
  return made.key.reveal();
}
const authorized = () => ({ authorization: `Bearer ${key}` });
/** An example of docs/api.md, made to fit this server. */
const example = (language: string, marker: string): string => {
  const blocks = [...docs.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map((match) => match[1]!);
  const found = blocks.find((block) => block.includes(marker));
  assert.ok(found, `docs/api.md has a ${language} example with ${marker}`);
  return found.replaceAll('http://127.0.0.1:7993', base).replaceAll('shop@example.com', SHOP);
};
const shell = async (script: string, by = key): Promise<string> =>
  (await run('sh', ['-ec', script], { cwd: folder.path, env: { PATH: process.env.PATH, POSTERN_KEY: by } })).stdout;
const send = async (json: object): Promise<{ id: string }> => {
  const headers = { ...authorized(), 'content-type': 'application/json' };
  const response = await fetch(`${base}/v1/messages`, { method: 'POST', headers, body: JSON.stringify(json) });
  assert.equal(response.status, 202);
  return (await response.json()) as { id: string };
};
const hello = { from: SHOP, to: 'bob@x.test', subject: 'Hello', text: 'Hi' };

test('curl and Python send, as the documentation shows', { skip: without('curl') }, async () => {
  const sent = JSON.parse(await shell(example('sh', 'order-4711'))) as { id: string; state: { type: string } };
  assert.equal(sent.state.type, 'queued');
  writeFileSync(join(folder.path, 'message.eml'), `From: ${SHOP}\nTo: bob@x.test\nSubject: file\n\nHello\n`);
  const raw = JSON.parse(await shell(example('sh', '@message.eml'))) as { recipients: object[] };
  assert.equal(raw.recipients.length, 1);
  writeFileSync(join(folder.path, 'plan.pdf'), 'plan');
  const upload = JSON.parse(await shell(example('sh', '/v1/uploads'))) as { size: number };
  assert.equal(upload.size, 4);
  writeFileSync(join(folder.path, 'send.py'), example('python', 'urllib'));
  const id = (await shell('python3 send.py')).trim();
  assert.equal((await instance.outbox.find(id))?.mailbox, SHOP);
});

test('a client made from the document by another language sends and follows', async () => {
  const script = join(import.meta.dirname, 'client.py');
  const story = (await shell(`python3 ${script} ${base} ${SHOP}`)).trim();
  assert.equal(story, 'message.accepted message.cancelled');
});

test('a client that a library makes from the document sends, reads, follows and cancels', async () => {
  const definition = `${base}/openapi.json`;
  const made = new OpenAPIClientAxios({ definition, axiosConfigDefaults: { baseURL: base, headers: authorized() } });
  const client = await made.init();
  const { status, data } = await client['sendMessage']!({ 'idempotency-key': 'made-1' }, hello);
  assert.equal(status, 202);
  const { data: found } = await client['getMessage']!({ id: data.id });
  assert.deepEqual([found.state.type, found.recipients[0].address], ['queued', 'bob@x.test']);
  const again = await client['sendMessage']!({ 'idempotency-key': 'made-1' }, hello);
  assert.deepEqual([again.data.id, again.data.replayed], [data.id, true]);
  const finished = `From: ${SHOP}\r\nTo: bob@x.test\r\nSubject: whole\r\n\r\nHello\r\n`;
  const raw = await client['sendMessage']!({}, finished, { headers: { 'content-type': 'message/rfc822' } });
  assert.equal(raw.status, 202);
  assert.equal((await client['cancelMessage']!({ id: data.id })).data.state.type, 'cancelled');
  const { data: story } = await client['listMessageEvents']!({ id: data.id });
  assert.deepEqual(
    story.items.map(({ type }: { type: string }) => type),
    ['message.accepted', 'message.cancelled'],
  );
  await assert.rejects(client['getMessage']!({ id: 'msg_none' }), /404/);
});

test('events arrive as they happen, and go on where a stream was cut', async () => {
  const read = async (headers: Record<string, string>, count: number, opened = () => {}): Promise<string[]> => {
    const stop = new AbortController();
    const response = await fetch(`${base}/v1/events?after=latest`, {
      headers: { ...authorized(), accept: 'text/event-stream', ...headers },
      signal: stop.signal,
    });
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    opened();
    let text = '';
    const decoder = new TextDecoder();
    for await (const piece of response.body!) {
      text += decoder.decode(piece, { stream: true });
      if (text.split('\n\n').filter((event) => event.startsWith('id:')).length >= count) break;
    }
    stop.abort();
    return text.split('\n\n').filter((event) => event.startsWith('id:'));
  };
  const open = Promise.withResolvers<void>();
  const first = read({}, 2, open.resolve);
  await open.promise;
  for (let n = 0; n < 2; n++) await send(hello);
  const events = await first;
  const id = /^id: (\d+)$/m.exec(events[0]!)![1]!;
  assert.match(events[0]!, /^event: message\.accepted$/m);
  const again = await read({ 'last-event-id': id }, 1);
  assert.equal(again[0], events[1]);
});

test('D9: the key of the page’s first command can do what the page’s next commands need', async () => {
  const actions = /--allow ([\w:,]+)/.exec(example('sh', 'apikey add'))![1]!.split(',');
  const made = await createApiKey(instance, { label: 'page', actions, mailboxes: [SHOP], networks: [] });
  const by = made.key.reveal();
  writeFileSync(join(folder.path, 'message.eml'), `From: ${SHOP}\nTo: bob@x.test\nSubject: file\n\nHello\n`);
  writeFileSync(join(folder.path, 'plan.pdf'), 'plan');
  for (const marker of ['order-4711', '@message.eml', '/v1/uploads']) {
    const answer = JSON.parse(await shell(example('sh', marker).replaceAll('order-4711', 'order-4712'), by)) as object;
    assert.ok('id' in answer, JSON.stringify(answer));
  }
  const events = await fetch(`${base}/v1/events?after=0`, { headers: { authorization: `Bearer ${by}` } });
  assert.equal(events.status, 200);
});

test('A3: a stream ends when its key is revoked, and a long poll gets no more either', async () => {
  const revoked = await createApiKey(instance, {
    label: 'listener',
    actions: ['events:read'],
    mailboxes: ['*'],
    networks: [],
  });
  const headers = { authorization: `Bearer ${revoked.key.reveal()}` };
  const response = await fetch(`${base}/v1/events?after=latest`, {
    headers: { ...headers, accept: 'text/event-stream' },
  });
  const poll = fetch(`${base}/v1/events?after=latest&wait=20`, { headers });
  const reader = response.body!.getReader();
  await reader.read();
  await revokeApiKey(instance, revoked.row.id);
  await send(hello);
  let text = '';
  for (let piece = await reader.read(); !piece.done; piece = await reader.read())
    text += Buffer.from(piece.value).toString();
  assert.doesNotMatch(text, /message\.accepted/);
  assert.equal((await poll).status, 401);
});

test('A32: HEAD for a stream of events keeps no place', async () => {
  const agent = new Agent({ connections: 1 });
  for (let n = 0; n < 105; n++) {
    const response = await fetch(`${base}/v1/events`, {
      method: 'HEAD',
      headers: { ...authorized(), accept: 'text/event-stream' },
      dispatcher: agent,
    });
    assert.equal(response.status, 200, `request ${n}`);
    await response.text();
  }
  await agent.close();
});

test('a large message passes, a broken off one leaves nothing', async () => {
  const header = `From: ${SHOP}\r\nTo: bob@x.test\r\n\r\n`;
  const line = `${'x'.repeat(76)}\r\n`;
  const count = 100_000;
  async function* body() {
    yield Buffer.from(header);
    for (let n = 0; n < count; n += 1000) yield Buffer.from(line.repeat(1000));
  }
  const headers = { ...authorized(), 'content-type': 'message/rfc822' };
  const response = await fetch(`${base}/v1/messages`, { method: 'POST', headers, body: body(), duplex: 'half' });
  const { id, size } = (await response.json()) as { id: string; size: number };
  assert.ok(size >= header.length + count * line.length);
  const back = await fetch(`${base}/v1/messages/${id}/body`, { headers: authorized() });
  assert.equal((await back.bytes()).length, size);
  const before = (await instance.outbox.list({}, { limit: 100 })).length;
  // The body is read only while it is taken in: this is the moment to go away, and that is how it ends.
  const { outbox } = instance;
  const accept = outbox.accept.bind(outbox);
  const taken = Promise.withResolvers<ReturnType<typeof accept>>();
  Object.assign(outbox, {
    accept: (...given: Parameters<typeof accept>) => {
      const accepting = accept(...given);
      taken.resolve(accepting);
      socket.destroy();
      return accepting;
    },
  });
  const socket = connect(console.port, '127.0.0.1');
  socket.write(
    `POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: message/rfc822\r\nContent-Length: 900000\r\n\r\n${header}${line.repeat(5000)}`,
  );
  await assert.rejects(taken.promise, /went away|aborted/);
  Object.assign(outbox, { accept });
  assert.equal((await instance.outbox.list({}, { limit: 100 })).length, before);
});

test('TLS on the port, and metrics beyond this machine for keys only', async () => {
  const dispatcher = new Agent({ connect: { ca } });
  const secure = `https://localhost:${encrypted.port}`;
  try {
    const response = await fetch(`${secure}/v1/mailboxes`, { headers: authorized(), dispatcher });
    assert.equal(response.status, 200);
    const far = { 'x-forwarded-for': '10.9.9.9, 203.0.113.5' };
    const metrics = (headers: Record<string, string>) => fetch(`${base}/metrics`, { headers: { ...headers } });
    const own = await metrics({});
    assert.equal(own.status, 200, 'this machine');
    assert.match(await own.text(), /^postern_api_requests_total\{method="POST",status="202"\} [1-9]/m);
    assert.equal((await metrics(far)).status, 401);
    const allowed = { authorization: `Bearer ${await keyFor(['metrics:read'])}`, 'x-forwarded-proto': 'https' };
    assert.equal((await metrics({ ...far, ...allowed })).status, 200);
    assert.equal((await metrics({ ...far, ...allowed, 'x-forwarded-proto': 'http' })).status, 401);
    const other = { authorization: `Bearer ${await keyFor(['events:read'])}`, 'x-forwarded-proto': 'https' };
    assert.equal((await metrics({ ...far, ...other })).status, 401);
    const plain = await fetch(`${base}/v1/mailboxes`, { headers: { ...authorized(), ...far } });
    assert.equal(plain.status, 403);
    const https = { ...authorized(), ...far, 'x-forwarded-proto': 'https' };
    assert.equal((await fetch(`${base}/v1/mailboxes`, { headers: https })).status, 200);
    assert.equal((await fetch(`${base}/healthz`, { headers: far })).status, 200);
  } finally {
    await dispatcher.close();
  }
});

test('a webhook arrives, and the Python of the documentation verifies it', async () => {
  const { createServer } = await import('node:http');
  const heard = new Promise<{ headers: Record<string, unknown>; body: string }>((resolve) => {
    const receiver = createServer((request, response) => {
      let body = '';
      request.on('data', (piece: Buffer) => void (body += piece.toString()));
      request.on('end', () => {
        response.writeHead(204).end();
        receiver.close();
        resolve({ headers: request.headers, body });
      });
    }).listen(0, '127.0.0.1', () => {
      const { port } = receiver.address() as { port: number };
      const json = JSON.stringify({ url: `http://127.0.0.1:${port}/`, types: ['message.accepted'] });
      const headers = { ...authorized(), 'content-type': 'application/json' };
      void fetch(`${base}/v1/webhooks`, { method: 'POST', headers, body: json })
        .then((answer) => answer.json())
        .then((made) => {
          secret = (made as { secret: string }).secret;
          return send(hello);
        });
    });
  });
  let secret = '';
  const { headers, body } = await heard;
  const script = `${example('python', 'def verify')}\nimport json, sys\ngiven = json.load(sys.stdin)\nprint(verify(given["secret"], given["headers"], given["body"].encode()))\n`;
  const file = join(folder.path, 'verify.py');
  writeFileSync(file, script);
  const verify = async (given: object): Promise<string> => {
    writeFileSync(join(folder.path, 'given.json'), JSON.stringify(given));
    return (await shell(`python3 ${file} < given.json`)).trim();
  };
  assert.equal(await verify({ secret, headers, body }), 'True');
  assert.equal(await verify({ secret, headers, body: `${body} ` }), 'False');
  const forged = createHmac('sha256', 'x').update('x').digest('base64');
  assert.equal(await verify({ secret, headers: { ...headers, 'webhook-signature': `v1,${forged}` }, body }), 'False');
});
