/** What the oauth room tells the audit log and the metrics. A closed union, without secrets. */
import type { CircuitEvent } from './circuit.ts';
import type { Flow, GrantState } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';

interface Consent {
  readonly address: string;
  readonly applicationId: string;
  readonly flow: Flow;
}

export type OAuthEvent =
  | {
      readonly type: 'token.requested';
      readonly grantId: string | undefined;
      readonly applicationId: string;
      readonly flow: Flow;
      /** `initial`: the first tokens of a consent. `renewal`: refresh, or a new app-only token. */
      readonly purpose: 'initial' | 'renewal';
      readonly outcome: 'ok' | 'failed';
      /** Our error code when failed. */
      readonly code: string | undefined;
      /** The provider's own word for it: OAuth `error`, AADSTS numbers. */
      readonly providerCode: string | undefined;
      readonly durationMs: number;
    }
  | (Consent & { readonly type: 'consent.started'; readonly protocols: readonly Protocol[] })
  | (Consent & {
      readonly type: 'consent.granted';
      readonly grantId: string;
      readonly identity: string;
      readonly scopes: readonly string[];
    })
  | (Consent & { readonly type: 'consent.refused'; readonly code: string })
  | {
      readonly type: 'grant.changed';
      readonly grantId: string;
      readonly from: GrantState['type'];
      readonly to: GrantState['type'];
      readonly reason: string | undefined;
    }
  | {
      /** One mailbox was closed or opened on purpose; its grant and the grant's other mailboxes are as they were. */
      readonly type: 'mailbox.suspended' | 'mailbox.resumed';
      readonly address: string;
      readonly reason: string | undefined;
    }
  | {
      readonly type: 'scopes.broader';
      readonly grantId: string | undefined;
      readonly applicationId: string;
      readonly extra: readonly string[];
    }
  | CircuitEvent
  | {
      /** The time of day moved by itself: the machine was suspended, or its clock was set. */
      readonly type: 'clock.jumped';
      readonly byMs: number;
    }
  | {
      /** The provider no longer takes a client credential that we thought good. */
      readonly type: 'credential.refused';
      readonly applicationId: string;
      readonly credentialId: string;
      readonly reason: string;
    };

/** Called for every event. A promise is awaited where the event must be on record before the work goes on. */
export type Emit = (event: OAuthEvent) => void | Promise<void>;
