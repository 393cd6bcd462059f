/** The sandbox's own HTTP: what a test does to the tenant from another process. Loopback only, no TLS, no sign-in. */
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { HTTPException } from 'hono/http-exception';
import { z } from 'zod';
// The language of its issues.
import '../base/schema-words.ts';
import { isError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { addSecret, changePassword, removeSecret, revokeSessions } from './authority/credentials.ts';
import type { Platform } from './authority/platform.ts';
import type { SandboxClock } from './clock.ts';
import { readDuration } from './duration.ts';
import { sandboxError } from './errors.ts';
import type { FaultBoard } from './faults/board.ts';
import { faults as catalogue, places } from './faults/catalogue.ts';
import type { TenantLimits } from './limits.ts';
import { createHttpServer } from './http-door.ts';
import { closeNow, LOOPBACK, listen } from './listen.ts';
import { messageIdOf } from './mail/submission.ts';
import type { Mailbox, MailStore, Message } from './mail/store.ts';

export interface Controlled {
  readonly platform: Platform;
  readonly clock: SandboxClock;
  readonly faults: FaultBoard;
  readonly limits: TenantLimits;
  readonly mailStore: MailStore;
  readonly log: Log;
  /** What `GET /sandbox` shows besides. */
  readonly facts: () => Readonly<Record<string, unknown>>;
}

export interface ControlServer {
  /** `http://127.0.0.1:PORT/sandbox`. */
  readonly url: string;
  close(): Promise<void>;
}

/** @throws sandbox.port-taken */
export async function startControl(controlled: Controlled, port: number): Promise<ControlServer> {
  const app = createControl(controlled);
  const server = createHttpServer(() => app, controlled.clock);
  const found = await listen(server, port, 'the control endpoint');
  return { url: `http://${LOOPBACK}:${found}/sandbox`, close: () => closeNow(server) };
}

const order = z.strictObject({
  fault: z.string(),
  times: z.number().optional(),
  protocol: z.enum(places as [string, ...string[]]).optional(),
  mailbox: z.string().optional(),
  probability: z.number().optional(),
  value: z.number().optional(),
});
const move = z.strictObject({ advance: z.union([z.number(), z.string()]), jump: z.boolean().default(false) });
const MAX_BODY_OCTETS = 64 * 1024 * 1024;

function createControl(tenant: Controlled): Hono {
  const { platform, clock, faults, limits, mailStore, log } = tenant;
  const app = new Hono().basePath('/sandbox');
  app.use(bodyLimit({ maxSize: MAX_BODY_OCTETS }));
  // A web page must not play with the tenant: browsers say where they come from, and names that were bent are told by Host.
  app.use(async (c, next) => {
    const host = (c.req.header('host') ?? '').replace(/:\d+$/, '');
    if (c.req.header('origin') !== undefined || !['127.0.0.1', 'localhost', '[::1]'].includes(host))
      return c.json({ error: { code: 'sandbox.foreign', message: 'only for programs on this machine' } }, 403);
    return next();
  });

  app.get('/', (c) => c.json({ ...tenant.facts(), clock: time(clock), limits, faults: faults.active }));

  app.get('/faults', (c) => c.json({ faults: catalogue, active: faults.active }));
  app.post('/faults', async (c) => {
    const { fault, ...given } = read(order, await jsonOf(c));
    const set = faults.set(fault, { ...given, protocol: places.find((place) => place === given.protocol) });
    return c.json(set, 201);
  });
  app.delete('/faults', (c) => c.json({ cleared: faults.clear() }));
  app.delete('/faults/:which', (c) => c.json({ cleared: faults.clear(c.req.param('which')) }));

  app.get('/clock', (c) => c.json(time(clock)));
  app.post('/clock', async (c) => {
    const { advance, jump } = read(move, await jsonOf(c));
    await clock.advance(readDuration(advance), { jump });
    return c.json(time(clock));
  });

  app.get('/limits', (c) => c.json(limits));
  app.patch('/limits', async (c) => {
    const names = Object.keys(limits).map((name) => [name, z.int().min(0).optional()] as const);
    Object.assign(limits, read(z.strictObject(Object.fromEntries(names)), await jsonOf(c)));
    return c.json(limits);
  });

  app.get('/requests', (c) => c.json(platform.requests));
  app.post('/people/:address/revoke', (c) => {
    revokeSessions(platform, c.req.param('address'));
    return c.body(null, 204);
  });
  app.post('/people/:address/password', (c) => {
    changePassword(platform, c.req.param('address'));
    return c.body(null, 204);
  });
  app.post('/applications/:client/secrets', async (c) => {
    const { days } = read(z.strictObject({ days: z.number().min(0).optional() }), await jsonOf(c));
    return c.json(addSecret(platform, c.req.param('client'), days), 201);
  });
  app.delete('/applications/:client/secrets/:key', (c) => {
    removeSecret(platform, c.req.param('client'), c.req.param('key'));
    return c.body(null, 204);
  });

  app.get('/mailboxes/:address', (c) => {
    const mailbox = requireMailbox(mailStore, c.req.param('address'));
    const name = c.req.query('folder') ?? 'INBOX';
    const folder = mailbox.find(name);
    if (!folder) throw sandboxError('sandbox.request', `${mailbox.address} has no folder ${name}`);
    return c.json({ messages: folder.messages.map(shown) });
  });
  app.post('/mailboxes/:address', async (c) => {
    const mailbox = requireMailbox(mailStore, c.req.param('address'));
    const text = Buffer.from(await c.req.arrayBuffer()).toString('latin1');
    const raw = Buffer.from(text.replaceAll(/\r\n|\r|\n/g, '\r\n'), 'latin1');
    return c.json(shown(mailStore.deliver(mailbox.address, raw)!), 201);
  });
  app.get('/outside', (c) =>
    c.json({ messages: mailStore.outside.map(({ raw, ...each }) => ({ ...each, raw: raw.toString() })) }),
  );

  app.notFound((c) => {
    const message = `there is no ${c.req.method} ${c.req.path}`;
    return c.json(
      { error: sandboxError('sandbox.request', message, { hint: 'docs/sandbox.md lists what there is' }) },
      404,
    );
  });
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    if (isError(error)) return c.json({ error }, error.code === 'sandbox.no-such-fault' ? 404 : 400);
    log.error({ error: error.message, stack: error.stack, path: c.req.path }, 'the sandbox’s control failed');
    return c.json({ error: { code: 'base.bug', message: 'the sandbox failed; its log says why' } }, 500);
  });
  return app;
}

function time(clock: SandboxClock): { readonly now: string; readonly aheadMs: number } {
  return { now: new Date(clock.now()).toISOString(), aheadMs: clock.ahead };
}

function shown(message: Message): object {
  return {
    uid: message.uid,
    flags: [...message.flags],
    receivedAt: new Date(message.internalDate).toISOString(),
    messageId: messageIdOf(message.raw) ?? null,
    raw: message.raw.toString(),
  };
}

function requireMailbox(mail: MailStore, address: string): Mailbox {
  const mailbox = mail.find(address);
  if (!mailbox) throw sandboxError('sandbox.request', `there is no mailbox ${address}`);
  return mailbox;
}

function read<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const said = result.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  );
  throw sandboxError('sandbox.request', said.join('; '));
}

/** An empty body is an empty object. */
async function jsonOf(c: Context): Promise<unknown> {
  const text = await c.req.text();
  if (text === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw sandboxError('sandbox.request', 'the body is not JSON');
  }
}
