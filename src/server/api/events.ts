/** `/v1/events`: everything that happens to mail, in order, resumable: pages, long polls and server-sent events. */
import { findOpened } from '../../admin/find.ts';
import { z } from '@hono/zod-openapi';
import { text, time } from '../../admin/schema.ts';
import { asError } from '../../base/error.ts';
import { withoutPaths } from '../../base/outside.ts';
import { opens } from '../../access/api-sign-in.ts';
import type { ApiKey } from '../../store/types-api.ts';
import { MESSAGE_EVENTS, type MessageEvent } from '../../store/types-outbox.ts';
import { apiError } from './errors.ts';
import { type ApiApp, actorOf, type ApiContext, type ApiDeps, type ApiEnv } from './request.ts';
import { iso, operation } from './schema.ts';

const TYPES = MESSAGE_EVENTS.map((type) => `message.${type}` as const);
export const eventSchema = z
  .object({
    id: z
      .string()
      .openapi({ description: 'position in the stream: give it as `after` or Last-Event-ID to go on from here' }),
    type: z.enum(TYPES),
    at: time,
    messageId: z.string(),
    mailbox: z.string(),
    data: z.record(z.string(), z.unknown()).openapi({ description: 'route, reply, recipients, reason' }),
  })
  .openapi('Event');
const query = z.object({
  after: text(20)
    .regex(/^(?:\d{1,15}|latest)$/, 'is an id of an event, or latest')
    .optional()
    .openapi({ description: 'events after this one; `latest`: from now on; missing: from the oldest that is kept' }),
  types: text(1000).optional().openapi({ description: 'separated by commas', example: 'message.sent,message.failed' }),
  mailbox: text(320).optional(),
  messageId: text(60).optional().openapi({ description: 'id of one message' }),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  wait: z.coerce
    .number()
    .int()
    .min(0)
    .max(60)
    .default(0)
    .openapi({ description: 'seconds to wait for the first event when there is none yet' }),
});
type Query = z.infer<typeof query>;

/** Keeps proxies and clients from taking silence for death. */
const HEARTBEAT_MS = 15_000;
/** A stream looks at the store this often even if word of a change got lost. */
const LOOK_EVERY_MS = 5000;
const AT_ONCE = 200;
/** Streams and polls waiting at once, of all keys and of one: each holds a socket. */
const MAX_WAITING = 500;
const MAX_WAITING_PER_KEY = 100;

type Filter = Omit<Parameters<ApiDeps['outbox']['events']>[0], 'after' | 'limit'>;
/** What the key that asked may hear now, of what was asked for; undefined once that is nothing. */
type Hear = () => Promise<{ readonly key: ApiKey; readonly filter: Filter } | undefined>;

export function events(app: ApiApp, deps: ApiDeps): void {
  const waiting = new Places(deps);
  app.openapi(
    operation('get', '/v1/events', 'events:read', {
      operationId: 'listEvents',
      summary: 'What happened, oldest first; with Accept: text/event-stream, as it happens',
      request: { query, headers: z.object({ 'last-event-id': text(20).optional() }) },
      responses: {
        200: {
          description: 'events; `next` is the position to go on from',
          content: {
            'application/json': { schema: z.object({ items: z.array(eventSchema), next: z.string() }) },
            'text/event-stream': { schema: z.string().openapi({ description: 'id, event and data as above' }) },
          },
        },
      },
    }),
    async (c) => {
      const asked = c.req.valid('query');
      const hear = await hearOf(c, deps, asked);
      const from = await positionOf(c, deps, asked);
      const isStream = (c.req.header('accept') ?? '').includes('text/event-stream');
      const key = c.get('key').id;
      const ended = AbortSignal.any([c.req.raw.signal, deps.stopping]);
      if (isStream) {
        const leave = waiting.enter(key, c);
        return stream(deps, hear, from, ended, c.env.onClose, leave);
      }
      const look = async () => {
        const heard = await hear();
        if (!heard) throw apiError('api.key', 'the key was revoked or has ended, or lost the mailbox');
        return deps.outbox.events({ ...heard.filter, after: from, limit: asked.limit });
      };
      let items = asked.wait > 0 ? [] : await look();
      if (asked.wait > 0) {
        const leave = waiting.enter(key, c);
        const bell = new Bell(deps);
        try {
          const until = deps.clock.now() + asked.wait * 1000;
          for (;;) {
            items = await look();
            const left = until - deps.clock.now();
            if (items.length > 0 || left <= 0 || ended.aborted) break;
            await bell.wait(Math.min(LOOK_EVERY_MS, left), ended);
          }
        } finally {
          leave();
          bell.stop();
        }
      }
      return c.json({ items: items.map(shownEvent), next: String(items.at(-1)?.seq ?? from) }, 200);
    },
  );
}

/** @throws api.request, admin.not-found */
async function hearOf(c: ApiContext, deps: ApiDeps, { types, mailbox, messageId }: Query): Promise<Hear> {
  const names = types?.split(',').map((name) => name.trim());
  const wanted = names?.map((name) => {
    const found = MESSAGE_EVENTS.find((type) => `message.${type}` === name);
    if (found === undefined) throw apiError('api.request', `there is no event ${name.slice(0, 60)}`);
    return found;
  });
  const named = mailbox === undefined ? undefined : (await findOpened(deps, mailbox, actorOf(c))).address;
  const { id } = c.get('key');
  // Asked for before each look: a key can be revoked, or lose a mailbox, while a request waits.
  return async () => {
    const key = await deps.signIn.current(id);
    if (!key || (named !== undefined && !opens(key, named))) return undefined;
    const own = key.mailboxes.includes('*') ? undefined : key.mailboxes;
    const mailboxes = named === undefined ? own : [named];
    const filter = {
      ...(wanted ? { types: wanted } : {}),
      ...(mailboxes ? { mailboxes } : {}),
      ...(messageId === undefined ? {} : { messageId }),
    };
    return { key, filter };
  };
}

/** Last-Event-ID wins: it is what a client sends that was cut off and goes on. */
async function positionOf(c: ApiContext, deps: ApiDeps, { after }: Query): Promise<number> {
  const last = c.req.header('last-event-id');
  if (last !== undefined && last !== '') {
    if (/^\d{1,15}$/.test(last)) return Number(last);
    throw apiError('api.request', 'Last-Event-ID is no id of an event');
  }
  return after === 'latest' ? deps.store.outbox.lastEvent() : Number(after ?? 0);
}

/** Server-sent events (HTML Living Standard §9.2). A client that reads slowly is waited for, not buffered for. */
function stream(
  deps: ApiDeps,
  hear: Hear,
  from: number,
  ended: AbortSignal,
  onClose: ApiEnv['Bindings']['onClose'],
  done: () => void,
): Response {
  const encoder = new TextEncoder();
  const stop = new AbortController();
  const over = AbortSignal.any([ended, stop.signal]);
  const bell = new Bell(deps);
  const pieces = (async function* (): AsyncGenerator<string> {
    let after = from;
    let quietSince = deps.clock.now();
    yield `retry: 2000\n\n`;
    for (let heard = await hear(); heard && !over.aborted; heard = await hear()) {
      const found = await deps.outbox.events({ ...heard.filter, after, limit: AT_ONCE });
      for (const event of found) {
        // Whoever reads slowly gets them one by one, and may have lost the right to the rest meanwhile.
        const now = await hear();
        if (!now) return;
        after = event.seq;
        if (!opens(now.key, event.mailbox)) continue;
        const shown = shownEvent(event);
        yield `id: ${shown.id}\nevent: ${shown.type}\ndata: ${JSON.stringify(shown)}\n\n`;
      }
      if (found.length > 0) quietSince = deps.clock.now();
      else if (deps.clock.now() - quietSince >= HEARTBEAT_MS) {
        quietSince = deps.clock.now();
        yield `: still here\n\n`;
      }
      if (found.length < AT_ONCE) await bell.wait(LOOK_EVERY_MS, over);
    }
  })();
  let isOver = false;
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    stop.abort();
    bell.stop();
    done();
  };
  // A body is not always read, that of HEAD never: what it holds ends with its request.
  onClose(end);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { value, done: last } = await pieces.next();
          // Whoever listened has gone: the stream is closed already.
          if (isOver) return;
          if (value !== undefined && last !== true) return controller.enqueue(encoder.encode(value));
          controller.close();
        } catch (error) {
          if (isOver) return;
          deps.log.warn({ error: asError(error) }, 'a stream of events ended early');
          controller.close();
        }
        end();
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    },
  });
}

/** Who waits for events. A place ends with its request, whatever becomes of the answer. */
class Places {
  readonly #clock: ApiDeps['clock'];
  readonly #byKey = new Map<string, number>();
  #all = 0;

  constructor({ clock }: Pick<ApiDeps, 'clock'>) {
    this.#clock = clock;
  }

  /** Gives how to leave earlier. @throws api.rate */
  enter(key: string, { env }: ApiContext): () => void {
    const own = this.#byKey.get(key) ?? 0;
    if (this.#all >= MAX_WAITING || own >= MAX_WAITING_PER_KEY) {
      const who =
        own >= MAX_WAITING_PER_KEY
          ? `${MAX_WAITING_PER_KEY} requests of this key wait`
          : `${MAX_WAITING} requests wait`;
      throw apiError('api.rate', `${who} for events already`, {
        retryAt: new Date(this.#clock.now() + LOOK_EVERY_MS),
      });
    }
    this.#all += 1;
    this.#byKey.set(key, own + 1);
    let isIn = true;
    const leave = (): void => {
      if (!isIn) return;
      isIn = false;
      this.#all -= 1;
      const left = this.#byKey.get(key)! - 1;
      if (left > 0) this.#byKey.set(key, left);
      else this.#byKey.delete(key);
    };
    env.onClose(leave);
    return leave;
  }
}

/** Rings when something changed; what changed while nobody listened is not missed. */
class Bell {
  readonly #clock: ApiDeps['clock'];
  readonly #watch: { stop(): void };
  #rung = false;
  #hear: (() => void) | undefined;

  constructor({ store, clock }: ApiDeps) {
    this.#clock = clock;
    this.#watch = store.watch('outbox', () => {
      this.#rung = true;
      this.#hear?.();
    });
  }

  /** Resolves when it rings, after `ms`, or when it is over. */
  async wait(ms: number, over: AbortSignal): Promise<void> {
    if (!this.#rung && !over.aborted) {
      await new Promise<void>((resolve) => {
        const settle = (): void => {
          timer.cancel();
          over.removeEventListener('abort', settle);
          this.#hear = undefined;
          resolve();
        };
        const timer = this.#clock.after(Math.max(ms, 1), settle);
        this.#hear = settle;
        over.addEventListener('abort', settle, { once: true });
      });
    }
    this.#rung = false;
  }

  stop(): void {
    this.#watch.stop();
  }
}

export function shownEvent({ seq, type, at, messageId, mailbox, data }: MessageEvent) {
  const { reason } = data;
  const said = typeof reason === 'string' ? { reason: withoutPaths(reason) } : {};
  return {
    id: String(seq),
    type: `message.${type}` as const,
    at: iso(at),
    messageId,
    mailbox,
    data: { ...data, ...said },
  };
}
