/** The outbox: takes mail, keeps it, tells what became of it. Delivery is `deliver/`. */
import { foldCase } from '../base/case.ts';
import { createHash, type Hash } from 'node:crypto';
import { editMailbox } from '../store/edit.ts';
import type { Clock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import type { Mailbox, Store } from '../store/types.ts';
import type { MessageChange, MessageEventType, NewMessageEvent, OutboxMessage } from '../store/types-outbox.ts';
import type { Vault } from '../vault/types.ts';
import { checkAddress } from './address.ts';
import { Arriving, takeIn } from './arrival.ts';
import { readBody } from './body.ts';
import { ClaimTime } from './claim-time.ts';
import { GroupCommit } from './commit.ts';
import { outboxError } from './errors.ts';
import { DEADLINE_MS, doubtOf, factsOf, fingerprintOf, messageOf, pending } from './new-message.ts';
import { authorsOf, requireSender, Rights } from './rights.ts';
import type { Accepted, AcceptRequest, Edit, Envelope, Outbox } from './types.ts';

export interface OutboxDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
  /** Most octets of a message. */
  readonly maxOctets?: number;
  /** Domain of names without one, `outbox.localDomain`. */
  readonly localDomain?: string | undefined;
  /** Finished messages are kept this many milliseconds. */
  readonly keepMs?: number;
  /** Throws when the database is not the one that will be read later; asked before mail is acknowledged. */
  readonly confirm?: (() => void) | undefined;
  /** A message is about to be taken, which makes many objects for a moment. */
  readonly onArrival?: () => void;
  /** Which of these addresses nothing may be sent to, from this mailbox or at all, with the reason. */
  suppressed?(addresses: readonly string[], mailbox?: string): Promise<ReadonlyMap<string, string>>;
}

/** Exchange takes 150 MB over SMTP AUTH where the tenant allows it. */
const MAX_OCTETS = 150 * 1_000_000;
/** RFC 5321 §4.5.3.1.8 asks for 100; Exchange takes 1,000 at most. */
const MAX_RECIPIENTS = 1000;
const IDEMPOTENCY_MS = 86_400_000;
const KEEP_MS = 30 * 86_400_000;
/** What arrives for longer than this is not arriving any more. */
const ARRIVING_MS = 6 * 3_600_000;
const TIDY_AT_ONCE = 500;
/** Characters; the HTTP draft names no bound, 255 is what services that have one take. */
const MAX_KEY = 255;

export function openOutbox(deps: OutboxDeps): Outbox {
  return new StoredOutbox(deps);
}

class StoredOutbox implements Outbox {
  readonly maxOctets: number;
  readonly localDomain: string | undefined;
  readonly #deps: OutboxDeps;
  readonly #commit: GroupCommit;
  readonly #rights: Rights;
  readonly #claimTime: ClaimTime;
  /** Idempotency keys of messages that are being taken, by principal and key. */
  readonly #arriving = new Set<string>();

  constructor(deps: OutboxDeps) {
    this.#deps = deps;
    this.maxOctets = deps.maxOctets ?? MAX_OCTETS;
    this.localDomain = deps.localDomain;
    this.#rights = new Rights(deps);
    this.#claimTime = new ClaimTime(deps.store, deps.clock);
    this.#commit = new GroupCommit((messages) => deps.store.outbox.insert(messages), deps.confirm);
  }

  async accept(request: AcceptRequest, body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Accepted> {
    const { envelope, principal } = request;
    const mailbox = await this.#mailboxOf(request);
    if (request.checked !== true) this.checkSender(mailbox, envelope.from, request.onlySender);
    if (envelope.recipients.length === 0) throw outboxError('outbox.no-recipients', 'the message has no recipient');
    if (request.checked !== true) await this.#checkRecipients(envelope.recipients, mailbox.address);
    const { clock, store, vault } = this.#deps;
    const now = clock.now();
    this.#deps.onArrival?.();
    let hash: Hash | undefined;
    let key: string | undefined;
    const arriving = new Arriving(store.outbox);
    try {
      const arrival = await takeIn(
        vault,
        arriving,
        {
          mailbox: mailbox.address,
          maxOctets: this.maxOctets,
          now,
          dropBcc: request.dropBcc === true,
          sender: envelope.from,
          reporter: mailbox.address,
          mayBe: authorsOf(mailbox, request),
          authorName: request.authorName,
          mayResend: request.source === 'sendmail',
          localDomain: this.localDomain,
          localHosts: request.localHosts,
        },
        body,
        (header) => {
          const name = request.idempotencyKey ?? header.idempotencyKey;
          if (name === undefined) return undefined;
          this.#claimKey(principal, name);
          // Only what this request claimed is given back by it.
          key = name;
          if (request.fingerprint === undefined) hash = createHash('sha256').update(fingerprintOf(request));
          return hash;
        },
      );
      const at = key === undefined ? 0 : await this.#claimTime.now();
      // What was withdrawn while the octets came is not used any more.
      this.checkSender(await this.#mailboxOf(request), envelope.from, request.onlySender);
      await request.confirm?.();
      const message = messageOf(request, arrival, now);
      const fingerprint = request.fingerprint ?? hash?.digest('hex') ?? '';
      const insertion = await this.#commit.add({
        message,
        chunks: [arrival.rest],
        events: [{ at: now, type: 'accepted', data: factsOf(request, message) }],
        ...(key === undefined
          ? {}
          : {
              idempotency: {
                scope: principal,
                key,
                fingerprint,
                at,
                keepMs: IDEMPOTENCY_MS,
              },
            }),
      });
      if (insertion.type === 'inserted') {
        arriving.taken();
        return {
          message: { ...message, seq: insertion.seq, attempts: 0, fence: 1, finishedAt: undefined },
          replayed: false,
        };
      }
      if (insertion.fingerprint !== fingerprint)
        throw outboxError('outbox.idempotency-mismatch', 'the Idempotency-Key was used for another message before');
      return { message: await this.#get(insertion.messageId), replayed: true };
    } finally {
      await arriving.drop();
      if (key !== undefined) this.#arriving.delete(keyName(principal, key));
    }
  }

  checkSender(mailbox: Mailbox, from: string, only?: string): void {
    requireSender(mailbox, from, only);
  }

  async checkOpen(mailbox: Mailbox): Promise<void> {
    await this.#rights.open(mailbox.address);
  }

  checkRecipient(mailbox: Mailbox, address: string, count: number): Promise<void> {
    return this.#checkRecipients([{ address }], mailbox.address, count);
  }

  async knows(principal: string, key: string): Promise<boolean> {
    return this.#deps.store.outbox.knows(principal, key, await this.#claimTime.now());
  }

  find(id: string): Promise<OutboxMessage | undefined> {
    return this.#deps.store.outbox.find(id);
  }

  list(...[filter, page]: Parameters<Outbox['list']>): ReturnType<Outbox['list']> {
    return this.#deps.store.outbox.list(filter, page);
  }

  body(message: Parameters<Outbox['body']>[0]): AsyncIterable<Uint8Array> {
    return readBody(this.#deps.vault, this.#deps.store.outbox, message);
  }

  events(filter: Parameters<Outbox['events']>[0]): ReturnType<Outbox['events']> {
    return this.#deps.store.outbox.events(filter);
  }

  stats(mailbox?: string): ReturnType<Outbox['stats']> {
    return this.#deps.store.outbox.stats(this.#deps.clock.now(), mailbox);
  }

  cancel(id: string, by: string): Promise<OutboxMessage> {
    return this.#change(id, ['queued', 'held'], 'cancelled', { by }, (now) => ({
      state: { type: 'cancelled', at: now },
    }));
  }

  hold(id: string, by: string, reason: string): Promise<OutboxMessage> {
    return this.#change(id, ['queued'], 'held', { by, reason }, (now) => ({
      state: { type: 'held', since: now, reason },
    }));
  }

  retry(id: string, by: string): Promise<OutboxMessage> {
    return this.#change(id, ['queued', 'held', 'failed'], 'released', { by }, (now, message) => ({
      state: { type: 'queued', nextAt: now },
      ...(message.deadline > now ? {} : { deadline: now + DEADLINE_MS }),
      // Those who have it must not get it again.
      recipients: message.recipients.map((one) => (one.state === 'refused' ? { ...one, state: 'pending' } : one)),
    }));
  }

  async edit(id: string, by: string, edit: Edit): Promise<OutboxMessage> {
    const { notBefore, deadline, lane, content } = edit;
    const { recipients } = content ?? {};
    const before = await this.#get(id);
    // Other words or other recipients are another message: only what would be taken now may take its place.
    if (content) await this.#rights.open(before.mailbox);
    if (recipients) await this.#checkRecipients(recipients, before.mailbox);
    if (recipients?.length === 0) throw outboxError('outbox.no-recipients', 'the message has no recipient');
    const { source, principal } = before;
    const data = {
      by,
      fields: Object.keys({ ...edit, ...content }).filter((name) => name !== 'content' && name !== 'writer'),
      // The message names its writer alone, so its story keeps who handed over what was there.
      ...(content && { insteadOf: { source, principal } }),
    };
    const arriving = new Arriving(this.#deps.store.outbox);
    try {
      const octets = content && (await this.#rewrite(before, content, arriving));
      const changed = await this.#change(id, EDITABLE, 'edited', data, (now, message) => ({
        ...(notBefore === undefined || message.state.type === 'held'
          ? {}
          : { state: { type: 'queued', nextAt: Math.max(now, notBefore) }, notBefore: Math.max(now, notBefore) }),
        ...(deadline === undefined ? {} : { deadline }),
        ...(lane === undefined ? {} : { lane }),
        ...(recipients === undefined
          ? {}
          : { recipients: recipients.map((one) => ({ ...pending(one), ...doubtOf(message, one.address) })) }),
        ...octets,
      }));
      arriving.taken();
      return changed;
    } finally {
      await arriving.drop();
    }
  }

  async holdMailbox(address: string, by: string, reason: string): Promise<void> {
    await this.#setHeld(address, { since: this.#deps.clock.now(), by, reason });
  }

  async releaseMailbox(address: string): Promise<void> {
    await this.#setHeld(address, undefined);
  }

  async tidy(): Promise<{ readonly orphans: number; readonly forgotten: number }> {
    const { clock, keepMs = KEEP_MS, store } = this.#deps;
    const now = clock.now();
    const orphans = await store.outbox.dropOrphans(now - ARRIVING_MS);
    const at = await this.#claimTime.now();
    await this.#claimTime.keep();
    let forgotten = 0;
    for (;;) {
      const gone = await store.outbox.prune({ finishedBefore: now - keepMs, at, limit: TIDY_AT_ONCE });
      forgotten += gone;
      if (gone === 0) return { orphans, forgotten };
    }
  }

  async close(): Promise<void> {
    this.#rights.stop();
    await this.#commit.idle();
  }

  async #checkRecipients(
    recipients: Envelope['recipients'],
    mailbox: string,
    count = recipients.length,
  ): Promise<void> {
    if (count > MAX_RECIPIENTS)
      throw outboxError('outbox.too-many-recipients', `a message may have ${MAX_RECIPIENTS} recipients`);
    for (const { address } of recipients) checkAddress(address);
    const addresses = recipients.map(({ address }) => address);
    const suppressed = await this.#deps.suppressed?.(addresses, mailbox);
    for (const { address } of recipients) {
      const reason = suppressed?.get(foldCase(address));
      if (reason !== undefined)
        throw outboxError('outbox.suppressed', `nothing is sent to ${address}: ${reason}`, { detail: { address } });
    }
  }

  #claimKey(principal: string, key: string): void {
    if (key.length > MAX_KEY || !/^[\x20-\x7e]+$/.test(key))
      throw outboxError('outbox.header', `an Idempotency-Key has at most ${MAX_KEY} printable ASCII characters`);
    const name = keyName(principal, key);
    if (this.#arriving.has(name))
      throw outboxError('outbox.idempotency-busy', 'a message with this Idempotency-Key is just being accepted', {
        retryAt: new Date(this.#deps.clock.now() + 1000),
      });
    this.#arriving.add(name);
  }

  /** Other octets for a waiting message, under a key of their own; judged as if they came now, from who writes them. */
  async #rewrite(
    message: OutboxMessage,
    { body, writer }: NonNullable<Edit['content']>,
    arriving: Arriving,
  ): Promise<MessageChange> {
    const { clock, vault } = this.#deps;
    if (!EDITABLE.includes(message.state.type)) throw tooLate(message, 'edited');
    const { envelopeFrom: sender } = message;
    if (message.source === 'report' || sender === '')
      throw outboxError('outbox.sender', 'a report has no sender who could write something else instead', {
        hint: 'cancel it, and hand over another message',
      });
    const mailbox = await this.#rights.open(message.mailbox);
    this.checkSender(mailbox, sender);
    const now = clock.now();
    const arrival = await takeIn(
      vault,
      arriving,
      {
        mailbox: message.mailbox,
        maxOctets: this.maxOctets,
        now,
        dropBcc: false,
        sender,
        reporter: message.mailbox,
        mayBe: authorsOf(mailbox, writer),
        localDomain: this.localDomain,
      },
      body,
    );
    // As in accept: what was withdrawn while the octets came is not used any more.
    this.checkSender(await this.#rights.open(message.mailbox), sender);
    const { bodyId, chunks, eightBit, header, rest, sealed, size } = arrival;
    await arriving.addChunks(bodyId, now, [rest]);
    return { messageId: header.messageId, writer, body: { bodyId, key: sealed, chunks, size, eightBit } };
  }

  /** Whose mail it is, as it is set up now. Reports of ours are kept for a mailbox that is closed. @throws oauth.suspended */
  async #mailboxOf({ mailbox, source }: AcceptRequest): Promise<Mailbox> {
    if (source === 'report') return (await this.#rights.mailbox(mailbox.address)) ?? mailbox;
    return this.#rights.open(mailbox.address);
  }

  /** Changes a message in one of these states, again when it changed meanwhile but is still in one of them. */
  async #change(
    id: string,
    from: readonly OutboxMessage['state']['type'][],
    type: MessageEventType,
    data: NewMessageEvent['data'],
    change: (now: number, message: OutboxMessage) => MessageChange,
  ): Promise<OutboxMessage> {
    for (;;) {
      const message = await this.#get(id);
      if (!from.includes(message.state.type)) throw tooLate(message, type);
      const now = this.#deps.clock.now();
      const changed = await this.#deps.store.outbox.change(id, message.fence, change(now, message), [
        { at: now, type, data },
      ]);
      if (changed) return changed;
    }
  }

  async #get(id: string): Promise<OutboxMessage> {
    const message = await this.#deps.store.outbox.find(id);
    if (!message) throw outboxError('outbox.not-found', `there is no message ${id.slice(0, 60)}`);
    return message;
  }

  async #setHeld(address: string, held: Mailbox['settings']['outboxHeld']): Promise<void> {
    const edited = await editMailbox(this.#deps.store, address, (now) => {
      const { outboxHeld: _, ...settings } = now;
      return held === undefined ? settings : { ...settings, outboxHeld: held };
    });
    if (!edited) throw outboxError('outbox.not-found', `there is no mailbox ${address}`);
  }
}

const EDITABLE: readonly OutboxMessage['state']['type'][] = ['queued', 'held'];

const keyName = (principal: string, key: string): string => `${principal}\n${key}`;

function tooLate(message: OutboxMessage, wish: string): PosternError {
  const states: Readonly<Record<OutboxMessage['state']['type'], string>> = {
    queued: 'it waits in the queue',
    sending: 'it is being sent right now',
    held: 'it is held',
    sent: 'it was sent',
    failed: 'it failed',
    cancelled: 'it was cancelled',
  };
  return outboxError('outbox.too-late', `message ${message.id} cannot be ${wish}: ${states[message.state.type]}`, {
    detail: { id: message.id, state: message.state.type },
  });
}
