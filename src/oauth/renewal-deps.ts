/** What renewal works with. */
import type { Circuits } from './circuit.ts';
import type { Client } from './engines.ts';
import type { Clock } from '../base/clock.ts';
import type { Emit } from './events.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';

export interface RenewalDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log: Log;
  readonly emit: Emit;
  /** Names this process in leases; unique. */
  readonly owner: string;
  /** The engines of an application. */
  client(applicationId: string): Promise<Client>;
  readonly circuits: Circuits;
  /** Told of every step, for tests that die there. */
  readonly atStep?: ((step: RenewalStep) => void) | undefined;
}

export const RENEWAL_STEPS = ['leased', 'marked', 'answered', 'committed', 'released'] as const;

export type RenewalStep = (typeof RENEWAL_STEPS)[number];
