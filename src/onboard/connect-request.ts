/** What connecting a mailbox asks for. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { DevicePrompt } from '../oauth/engine.ts';
import type { Emit } from '../oauth/events.ts';
import type { Application, Flow, Store } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import type { Vault } from '../vault/types.ts';
import type { Redirect } from './redirect.ts';

export interface ConnectDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log: Log;
  readonly emit?: Emit;
}

export interface ConnectRequest {
  readonly application: Application;
  readonly address: string;
  readonly protocols: readonly Protocol[];
  readonly flow: Flow;
  /** The mailbox is shared: this declared delegate signs in instead of its owner. */
  readonly sharedWith?: string | undefined;
  /** Needed by the authorization-code flow. The caller closes it. */
  readonly redirect?: Redirect | undefined;
  /** Needed by the device-code flow: shows the code to the person. */
  readonly device?: (prompt: DevicePrompt) => void;
  /** Asked right before anything is stored: throws when what the sign-in was begun by, such as a link, no longer holds. */
  confirm?(): Promise<void>;
  readonly signal?: AbortSignal;
}
