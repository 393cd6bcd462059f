/**
 * What a mailbox may do just now. A right counts when it is used: it is asked for when mail is taken, when it is changed and when it is
 * handed over, always of the mailbox as it is set up then.
 */
import { foldCase } from '../base/case.ts';
import { maySendAs } from '../access/senders.ts';
import type { Clock } from '../base/clock.ts';
import { oauthError } from '../oauth/errors.ts';
import { requireOpen } from '../oauth/suspension.ts';
import { type Remembered, remember } from '../store/remembered.ts';
import { isCatchAll } from '../store/table/mailboxes.ts';
import type { Grant, Mailbox, Store } from '../store/types.ts';
import type { MessageSource } from '../store/types-outbox.ts';
import { checkAddress, sameAddress } from './address.ts';
import { foreignSender, outboxError, patternAsSender } from './errors.ts';

interface Rows {
  readonly mailboxes: Remembered<Mailbox>;
  readonly grants: Remembered<Grant>;
}

export class Rights {
  readonly #deps: { readonly store: Store; readonly clock: Clock };
  #rows: Rows | undefined;

  constructor(deps: { readonly store: Store; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** A mailbox as it is set up now; undefined once it is removed. @throws store.unavailable */
  mailbox(address: string): Promise<Mailbox | undefined> {
    return this.#known().mailboxes.find(foldCase(address));
  }

  /** The same, and open. @throws outbox.not-found, oauth.suspended, store.unavailable */
  async open(address: string): Promise<Mailbox> {
    const mailbox = await this.mailbox(address);
    if (!mailbox)
      throw outboxError('outbox.not-found', `there is no mailbox ${address}`, {
        hint: 'see which there are: postern mailbox list',
      });
    await this.requireOpen(mailbox);
    return mailbox;
  }

  /** Neither the mailbox nor its grant is closed on purpose. @throws oauth.suspended, store.unavailable */
  async requireOpen(mailbox: Mailbox): Promise<void> {
    requireOpen(mailbox);
    const { state } = (await this.#known().grants.find(mailbox.grantId)) ?? {};
    if (state?.type === 'suspended')
      throw oauthError('oauth.suspended', `${mailbox.address} is suspended: ${state.reason}`);
  }

  stop(): void {
    this.#rows?.mailboxes.stop();
    this.#rows?.grants.stop();
    this.#rows = undefined;
  }

  /** Whoever asks nothing follows nothing. */
  #known(): Rows {
    const { clock, store } = this.#deps;
    return (this.#rows ??= {
      mailboxes: remember(store, clock, 'mailboxes', (address) => store.mailboxes.opened(address)),
      grants: remember(store, clock, 'grants', (id) => store.grants.find(id)),
    });
  }
}

/** @param only the one sender allowed, for who did not sign in @throws outbox.address, outbox.sender */
export function requireSender(mailbox: Mailbox, from: string, only: string | undefined): void {
  if (isCatchAll(mailbox.address)) throw patternAsSender(mailbox, from);
  if (from !== '') checkAddress(from);
  if (only !== undefined && !sameAddress(only, from))
    throw outboxError('outbox.sender', `the only sender allowed here is ${only}`, {
      detail: { mailbox: mailbox.address, from },
      hint: `set the device’s sender address to ${only}`,
    });
  if (from === '' || maySendAs(mailbox, from)) return;
  throw foreignSender(mailbox, from);
}

/** As whom the header of a message may speak. Reports are our own: they come from the mail system. */
export function authorsOf(
  mailbox: Mailbox,
  { onlySender, source }: { readonly onlySender?: string | undefined; readonly source: MessageSource },
): ((address: string) => boolean) | undefined {
  if (source === 'report') return undefined;
  if (onlySender !== undefined) return (address) => sameAddress(address, onlySender) && maySendAs(mailbox, address);
  return (address) => maySendAs(mailbox, address);
}
