/** What every operation knows of the request it answers, and what it may assume of the key that came with it. */
import type { Context } from 'hono';
import type { Audit } from '../../audit/types.ts';
import { allows, type ApiSignIn, opens } from '../../access/api-sign-in.ts';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Outbox } from '../../outbox/types.ts';
import type { Budget } from '../../protocol/wire/budget.ts';
import type { EgressPolicy } from '../../outbox/webhook/egress.ts';
import type { ApiAction, ApiKey } from '../../store/types-api.ts';
import type { Mailbox, Store } from '../../store/types.ts';
import type { Vault } from '../../vault/types.ts';
import { apiError } from './errors.ts';
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

/** Whence a request came: what the listener knows and the request cannot say of itself. */
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
  const key = c.get('key');
  if (allows(key, action)) return key;
  throw apiError('api.forbidden', `the key ${key.id} does not allow ${action}`, { detail: { action } });
}

/** The body as it arrives, for as long as the key is good. */
export function streamedBody(c: ApiContext): AsyncIterable<Uint8Array> {
  return c.get('hold').octets(c.env.octets);
}

/** Whether the key of this request opens a mailbox. */
export function mayUse(c: ApiContext, mailbox: string): boolean {
  return opens(c.get('key'), mailbox);
}

/** Mailboxes the key opens, as a filter: undefined is every one. */
export function mailboxesOf(c: ApiContext): readonly string[] | undefined {
  const { mailboxes } = c.get('key');
  return mailboxes.includes('*') ? undefined : mailboxes;
}

/**
 * A mailbox the key opens. One that it does not open is answered as one that is not there, so that a key cannot find out
 * who else has mail here. @throws api.not-found
 */
export async function mailboxFor(c: ApiContext, store: Store, address: string): Promise<Mailbox> {
  const mailbox = mayUse(c, address) ? await store.mailboxes.opened(address) : undefined;
  if (mailbox) return mailbox;
  throw apiError('api.not-found', `there is no mailbox ${address} for this key`, { detail: { mailbox: address } });
}

/** For what is not of one mailbox: templates, suppressions for all. @throws api.forbidden */
export function needEveryMailbox(c: ApiContext, what: string): void {
  if (mailboxesOf(c) === undefined) return;
  throw apiError('api.forbidden', `${what} concern every mailbox, and this key opens only some`);
}

/** An administrative act, put on the audit log with the request it came by. */
export function recordChange(
  c: ApiContext,
  audit: Audit,
  what: string,
  data: Readonly<Record<string, unknown>>,
  mailbox?: string,
): Promise<void> {
  return audit.record({
    type: 'api.changed',
    outcome: 'ok',
    sessionId: c.get('requestId'),
    ...(mailbox === undefined ? {} : { mailbox }),
    data: { ...data, what, apiKeyId: c.get('key').id, remoteAddress: c.env.peer.address },
  });
}
