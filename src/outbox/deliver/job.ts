/** One attempt at a message as its routes see it, and what is written down of it while it is under way. */
import type { Clock } from '../../base/clock.ts';
import type { Mailbox } from '../../store/types.ts';
import type { NewMessageEvent, OutboxMessage, OutboxTable, Recipient } from '../../store/types-outbox.ts';
import { outboxError } from '../errors.ts';
import type { Outbox } from '../types.ts';
import { mayHaveIt } from './doubt.ts';
import { type DeliveryMarks, MARK_OCTETS } from './proof.ts';
import type { RecipientOutcome, SendJob } from './types.ts';

export interface JobDeps {
  readonly outbox: Pick<Outbox, 'body'>;
  readonly clock: Clock;
  /** Proves attempts, by a key of this installation. */
  readonly marks: DeliveryMarks;
  readonly change: OutboxTable['change'];
}

/** This process's right to a claimed message; it ends with the claim. */
export interface Hold {
  readonly lasts: boolean;
}

export class Job implements SendJob {
  readonly mailbox: Mailbox;
  readonly markOctets = MARK_OCTETS;
  readonly #deps: JobDeps;
  readonly #hold: Hold;
  #message: OutboxMessage;

  constructor(deps: JobDeps, message: OutboxMessage, mailbox: Mailbox, hold: Hold) {
    this.#deps = deps;
    this.#message = message;
    this.mailbox = mailbox;
    this.#hold = hold;
  }

  /** As it is written down now. */
  get message(): OutboxMessage {
    return this.#message;
  }

  get recipients(): readonly Recipient[] {
    return this.#message.recipients.filter(({ state }) => state === 'pending');
  }

  get envelopeId(): string {
    return this.#deps.marks.envelopeId(this.#message);
  }

  readonly body = (): AsyncIterable<Uint8Array> => this.#deps.outbox.body(this.#message);

  readonly mark = (recipients: readonly Recipient[]): string => this.#deps.marks.field(this.#message, recipients);

  readonly named = async (outcomes: readonly RecipientOutcome[]): Promise<void> => {
    const { attempts, fence, id } = this.#message;
    const of = new Map(outcomes.map((one) => [one.address, one]));
    const recipients = this.#message.recipients.map((one): Recipient => {
      const found = of.get(one.address);
      if (one.state !== 'pending' || !found || found.outcome === 'later') return one;
      if (found.outcome === 'refused') return { ...one, state: 'refused', reply: found.reply };
      return { ...one, attempt: attempts };
    });
    const refused = outcomes.filter(({ outcome }) => outcome === 'refused');
    const events: NewMessageEvent[] =
      refused.length === 0
        ? []
        : [
            {
              at: this.#deps.clock.now(),
              type: 'refused',
              data: { recipients: refused, ...mayHaveIt(recipients, refused) },
            },
          ];
    const changed = await this.#deps.change(id, fence, { recipients }, events);
    if (!changed) throw claimLost(this.#message);
    this.#message = changed;
  };

  readonly mayFinish = (): void => {
    if (!this.#hold.lasts) throw claimLost(this.#message);
  };
}

function claimLost({ id }: OutboxMessage): Error {
  return outboxError('outbox.claim-lost', `the claim to message ${id} ended before its last octet was sent`);
}
