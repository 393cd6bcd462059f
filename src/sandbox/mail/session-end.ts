/** What ends an IMAP session from the server's side: its access token's expiry, and faults that say so. */
import type { Timer } from '../../base/clock.ts';
import type { Admitted } from './admission.ts';
import type { MailSite } from './site.ts';

/** `between`: nothing is under way. `idle`: in IDLE. */
export type Waiting = 'between' | 'idle';

/** Tokens live for hours; a test's that never expires must not overflow a timer. */
const LONGEST_MS = 24 * 3_600_000;
/** Faults that bite only whoever signs in: a session that rests between two programs would keep them from being met. */
const OF_SIGN_IN = ['imap-disabled', 'imap-not-connected', 'imap4rev2'] as const;
const EXPIRED = 'Session invalidated - AccessTokenExpired';

/**
 * Exchange ends a session whose token has expired in IDLE at once, and otherwise when the next command comes; a session
 * that the server closes for its own reasons is closed at once.
 */
export class SessionEnd {
  readonly #site: MailSite;
  readonly #admitted: Admitted;
  readonly #selected: () => boolean;
  readonly #stop: () => void;
  readonly #expiry: Timer;
  /** Those of its sign-in that were set when it began: it has met them, or was spared. */
  readonly #known: ReadonlySet<string>;
  #waiting: { readonly how: Waiting; readonly cut: (bye: string) => void } | undefined;

  /** @param selected whether a mailbox is selected now: faults spare a session that has only just begun */
  constructor(site: MailSite, admitted: Admitted, selected: () => boolean) {
    this.#site = site;
    this.#admitted = admitted;
    this.#selected = selected;
    const spot = { place: 'imap', addresses: [admitted.mailbox.address] } as const;
    this.#known = new Set(OF_SIGN_IN.filter((fault) => site.faults.has(fault, spot)));
    this.#stop = site.faults.observe(() => this.#look());
    const left = Math.min(admitted.verdict.expiresAt - site.clock.now(), LONGEST_MS);
    this.#expiry = site.clock.after(left, () => this.#look());
  }

  /** The text after BYE if a command that has just come finds the session ended. */
  atCommand(): string | undefined {
    return this.#expired() ?? this.#bitten('access-token-expired') ?? this.#bitten('imap-connection-closed');
  }

  /** Calls back, at once or later, when the session ends while it waits. Gives what stops the watch. */
  watch(how: Waiting, cut: (bye: string) => void): () => void {
    this.#waiting = { how, cut };
    this.#look();
    return () => void (this.#waiting = undefined);
  }

  close(): void {
    this.#stop();
    this.#expiry.cancel();
  }

  #look(): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    const bye =
      (waiting.how === 'between' ? this.#resting() : undefined) ??
      (waiting.how === 'idle' ? (this.#expired() ?? this.#bitten('access-token-expired')) : undefined) ??
      this.#bitten('imap-connection-closed');
    if (bye === undefined) return;
    this.#waiting = undefined;
    waiting.cut(bye);
  }

  /** A fault of sign-in was set, and nothing is selected. */
  #resting(): string | undefined {
    if (this.#selected()) return undefined;
    const spot = { place: 'imap', addresses: [this.#admitted.mailbox.address] } as const;
    const set = OF_SIGN_IN.some((fault) => this.#site.faults.has(fault, spot) && !this.#known.has(fault));
    return set ? 'Connection is closed. 13' : undefined;
  }

  #expired(): string | undefined {
    return this.#admitted.verdict.expiresAt <= this.#site.clock.now() ? EXPIRED : undefined;
  }

  #bitten(fault: 'access-token-expired' | 'imap-connection-closed'): string | undefined {
    if (!this.#selected()) return undefined;
    const bite = this.#site.faults.bite(fault, { place: 'imap', addresses: [this.#admitted.mailbox.address] });
    if (!bite) return undefined;
    return fault === 'access-token-expired' ? EXPIRED : `Connection is closed. ${bite.value}`;
  }
}
