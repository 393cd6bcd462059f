/** What a fault is. The rows are data: commands, documents and tests are made from them. */
import type { AadstsCode } from '../authority/aadsts.ts';

/** Where it goes wrong. */
export type FaultStage = 'authority' | 'imap' | 'pop3' | 'smtp' | 'graph' | 'network';

/** The doors of the tenant; a network fault can be limited to one of them. */
export type Place = 'authority' | 'graph' | 'imap' | 'pop3' | 'smtp';

/** The moments of getting a token. `sign-in` is a person at the pages, the rest are requests at the token endpoint. */
export type TokenStep = 'sign-in' | 'code' | 'device' | 'refresh' | 'app-only';

/** The moments of an SMTP session at which a reply can be something else. `done` is the end of the message. */
export type SmtpMoment = 'connect' | 'auth' | 'mail' | 'recipient' | 'data' | 'done';

export type Effect =
  /** Microsoft's error body. `claims` adds the claims challenge of a policy. */
  | {
      readonly type: 'refusal';
      readonly at: readonly TokenStep[];
      readonly aadsts: AadstsCode;
      readonly error?: string;
      readonly claims?: boolean;
    }
  /** An answer of the authority that is no OAuth answer, or one with a Retry-After. */
  | {
      readonly type: 'answer';
      readonly status: number;
      readonly retryAfter?: boolean;
      readonly contentType: string;
      readonly body: string;
    }
  /** Tokens are issued, but not as they should be. */
  | { readonly type: 'token'; readonly how: 'short-lived' | 'wrong-audience' | 'no-roles' | 'no-scopes' }
  /** An SMTP reply. `{value}` and `{sender}` are filled in; `close` ends the connection after it. */
  | { readonly type: 'reply'; readonly at: SmtpMoment; readonly text: string; readonly close?: boolean }
  /** Graph's error body. */
  | {
      readonly type: 'graph';
      readonly status: number;
      readonly code: string;
      readonly message: string;
      readonly retryAfter?: boolean;
      readonly challenge?: string;
    }
  /** Written out in the server that it concerns. */
  | { readonly type: 'behaviour' };

/** The number an order may carry, for example seconds to wait. */
export interface FaultValue {
  readonly means: string;
  readonly default: number;
}

export interface FaultRow {
  /** What somebody would call it. */
  readonly title: string;
  /** Where and when it bites. */
  readonly bites: string;
  /** What happens then, with the words on the wire. */
  readonly does: string;
  /** Where the behaviour and its words are known from. */
  readonly source: string;
  readonly value?: FaultValue;
  /** The doors a network fault can bite at; all unless given. Any other fault bites at its stage. */
  readonly doors?: readonly Place[];
  /** False where an address cannot mean it, as no mailbox is known at that moment. */
  readonly byAddress?: false;
  /** True when setting it is all: it acts once, on what is open then. */
  readonly momentary?: true;
  /** True where no reply is another than otherwise: only what is kept or arrives afterwards differs. */
  readonly unseen?: true;
  /** `behaviour` unless given. */
  readonly effect?: Effect;
}
