/**
 * One circuit per authorization server, shared by all who ask it for tokens in this process. When the server is down the
 * circuit opens: mail programs are told so at once instead of waiting for a time-out each, and the server is not flooded while
 * it recovers. It closes as soon as a probe is answered.
 */
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import { oauthError } from './errors.ts';

export type CircuitState =
  | { readonly type: 'closed' }
  /** Nobody is let through before `retryAt`; then one request, the probe, is. */
  | {
      readonly type: 'open';
      readonly since: number;
      readonly retryAt: number;
      readonly probing: boolean;
      readonly reason: string;
    };

/** Leave to make one request. Exactly one of the three is to be called when it is over. */
export interface Passage {
  /** The server answered, whatever it said. */
  answered(): void;
  /** @param error what the request failed with; only a server that is unreachable or talks nonsense counts */
  failed(error: PosternError): void;
  /** Nothing was asked after all. */
  unused(): void;
}

export interface Circuits {
  /** @throws oauth.provider-unreachable while the circuit is open */
  enter(authority: string): Passage;
  state(authority: string): CircuitState;
  /** Every authority that was asked so far. */
  all(): ReadonlyMap<string, CircuitState>;
  /** The clock jumped, so waiting times mean nothing any more: probe now. */
  wake(): void;
}

export type CircuitEvent =
  | {
      readonly type: 'provider.unreachable';
      readonly authority: string;
      readonly since: number;
      readonly reason: string;
    }
  | { readonly type: 'provider.recovered'; readonly authority: string; readonly downMs: number };

/** This many failures in a row, with no answer in between, and the server counts as down. */
const FAILURES = 5;
const PROBES = { baseMs: 5000, maxMs: 60_000 };

export function openCircuits(clock: Clock, tell: (event: CircuitEvent) => void = () => undefined): Circuits {
  const circuits = new Map<string, Circuit>();
  const of = (authority: string): Circuit => {
    const known = circuits.get(authority) ?? new Circuit(authority, clock, tell);
    circuits.set(authority, known);
    return known;
  };
  return {
    enter: (authority) => of(authority).enter(),
    state: (authority) => circuits.get(authority)?.state ?? { type: 'closed' },
    all: () => new Map([...circuits].map(([authority, circuit]) => [authority, circuit.state])),
    wake() {
      for (const circuit of circuits.values()) circuit.wake();
    },
  };
}

class Circuit {
  readonly #authority: string;
  readonly #clock: Clock;
  readonly #tell: (event: CircuitEvent) => void;
  state: CircuitState = { type: 'closed' };
  #failures = 0;
  #firstFailureAt = 0;
  #probes = 0;

  constructor(authority: string, clock: Clock, tell: (event: CircuitEvent) => void) {
    this.#authority = authority;
    this.#clock = clock;
    this.#tell = tell;
  }

  enter(): Passage {
    const { state } = this;
    if (state.type === 'closed') return this.#passage(false);
    if (state.probing || this.#clock.now() < state.retryAt) throw this.#closed(state);
    this.state = { ...state, probing: true };
    return this.#passage(true);
  }

  wake(): void {
    if (this.state.type === 'open') this.state = { ...this.state, retryAt: this.#clock.now() };
  }

  #passage(probe: boolean): Passage {
    return {
      answered: () => this.#answered(),
      failed: (error) => {
        if (!COUNTED.has(error.code)) this.#answered();
        else this.#failed(error, probe);
      },
      unused: () => {
        if (probe && this.state.type === 'open') this.state = { ...this.state, probing: false };
      },
    };
  }

  #answered(): void {
    const { state } = this;
    this.#failures = 0;
    this.#probes = 0;
    this.state = { type: 'closed' };
    if (state.type === 'closed') return;
    this.#tell({
      type: 'provider.recovered',
      authority: this.#authority,
      downMs: Math.max(0, this.#clock.now() - state.since),
    });
  }

  #failed(error: PosternError, probe: boolean): void {
    const now = this.#clock.now();
    if (this.state.type === 'closed') {
      if (this.#failures === 0) this.#firstFailureAt = now;
      this.#failures += 1;
      if (this.#failures < FAILURES) return;
      this.#open(this.#firstFailureAt, error);
      this.#tell({
        type: 'provider.unreachable',
        authority: this.#authority,
        since: this.#firstFailureAt,
        reason: error.message,
      });
      return;
    }
    // Requests that were under way when it opened say nothing new.
    if (probe) this.#open(this.state.since, error);
  }

  #open(since: number, error: PosternError): void {
    const retryAt = Math.max(
      this.#clock.now() + backoffMs(this.#probes, PROBES),
      Math.min(error.retryAt?.getTime() ?? 0, this.#clock.now() + LONGEST_MS),
    );
    this.#probes += 1;
    this.state = { type: 'open', since, retryAt, probing: false, reason: error.message };
  }

  #closed(state: Extract<CircuitState, { type: 'open' }>): PosternError {
    const since = new Date(state.since).toISOString().slice(0, 16).replace('T', ' ');
    return oauthError(
      'oauth.provider-unreachable',
      `${this.#authority} has given no token since ${since} UTC: ${state.reason}`,
      {
        detail: { authority: this.#authority, since: state.since },
        hint: 'this is an outage at the provider or on the way to it; Postern asks again every minute and goes on by itself',
        retryAt: new Date(Math.max(state.retryAt, this.#clock.now())),
      },
    );
  }
}

const COUNTED = new Set(['oauth.provider-unreachable', 'oauth.provider-garbled']);
/** A server that is down may ask for patience, but not for so much that its return goes unnoticed. */
const LONGEST_MS = 10 * 60_000;
