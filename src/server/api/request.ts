/** What every operation knows of the request it answers, and what it may assume of the key that came with it. */
import type { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { Audit } from '../../audit/types.ts';
import type { ApiSignIn } from '../../access/api-sign-in.ts';
import { type Actor, requirePermission } from '../../admin/actor.ts';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Outbox } from '../../outbox/types.ts';
import type { Budget } from '../../protocol/wire/budget.ts';
import type { EgressPolicy } from '../../outbox/webhook/egress.ts';
import type { ApiAction, ApiKey } from '../../store/types-api.ts';
import type { Store } from '../../store/types.ts';
import type { Vault } from '../../vault/types.ts';
import { badRequest } from './errors.ts';
import type { KeyHold } from './key-hold.ts';
import type { ApiMeter } from './meter.ts';
import type { Room } from './room.ts';

export interface ApiDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  readonly outbox: Outbox;
  readonly signIn: ApiSignIn;
  /** Where webhooks may go. */
  readonly egress: EgressPolicy;
  readonly version: string;
  /** Where the bodies of requests that are read whole are counted. */
  readonly budget?: Pick<Budget, 'take' | 'give' | 'octets'>;
  readonly meter?: Pick<ApiMeter, 'request'>;
  /** Ends what waits: event streams, long polls. */
  readonly stopping: AbortSignal;
}

/** Where a request came from: what the listener knows and the request cannot say of itself. */
export interface Peer {
  /** Numeric address of the client. */
  readonly address: string;
  /** It came by TLS, over loopback, or through a proxy that is trusted to say so. */
  readonly isPrivate: boolean;
}

export interface ApiEnv {
  Bindings: {
    readonly peer: Peer;
    /** The body, for what is taken in as it arrives; {@link streamedBody} gives it. */
    readonly octets: AsyncIterable<Uint8Array>;
    /** Calls back when the request is over: answered, or its connection closed. */
    readonly onClose: (done: () => void) => void;
  };
  /**
   * `hold`: of requests that change something. `room`: of requests whose body was read. `refusal`: why a key is not valid, which its
   * bearer is not told.
   */
  Variables: { requestId: string; key: ApiKey; hold: KeyHold; room?: Room; refusal?: string };
}
export type ApiContext = Context<ApiEnv>;

/** The key of this request, which has to allow an action. @throws api.forbidden */
export function allowed(c: ApiContext, action: ApiAction): ApiKey {
  requirePermission(actorOf(c), action);
  return c.get('key');
}

/** The body as it arrives, for as long as the key is good. */
export function streamedBody(c: ApiContext): AsyncIterable<Uint8Array> {
  return c.get('hold').octets(c.env.octets);
}

/** The key of a request, as acts know it. */
export function actorOf(c: ApiContext): Actor {
  const { address } = c.env.peer;
  const hold = c.get('hold') as KeyHold | undefined;
  return {
    type: 'api-key',
    key: c.get('key'),
    requestId: c.get('requestId'),
    remoteAddress: address,
    ...(hold && { confirm: async () => void (await hold.confirm()) }),
  };
}

export type ApiApp = OpenAPIHono<ApiEnv>;

/** The query, with what is given several times as a list. */
export function queryOf(c: ApiContext): Record<string, string | string[]> {
  const given = Object.entries(c.req.queries());
  return Object.fromEntries(given.map(([name, values]) => [name, values.length === 1 ? values[0]! : values]));
}

/** @throws api.request */
export function valid<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input);
  if (!result.success) throw badRequest(result.error.issues);
  return result.data;
}
