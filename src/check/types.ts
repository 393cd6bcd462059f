/** What a check says. The shape of `postern check --json` is made of these and stays stable. */
import type { Clock } from '../base/clock.ts';
import type { Kind } from '../base/error.ts';
import type { Diagnosis } from '../oauth/catalogue/diagnose.ts';
import type { RenewalDeps } from '../oauth/renewal-deps.ts';
import type { TokenSource } from '../oauth/types.ts';
import type { AuditKey, Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';

/** `skipped`: not tried because something before it failed or does not apply; `says` has the reason. */
export type FindingOutcome = 'ok' | 'warning' | 'failed' | 'skipped';

/** One step. */
export interface Finding {
  /** Stable name: `token`, `imap.sign-in`, `home.key`. */
  readonly step: string;
  /** For people: `IMAP sign-in`. */
  readonly title: string;
  readonly outcome: FindingOutcome;
  /** One line: what was seen, without a full stop. */
  readonly says: string;
  /** More lines, where one is not enough. */
  readonly notes?: readonly string[];
  /** With `warning` and `failed`. */
  readonly diagnosis?: Diagnosis;
  /** With `failed`: our code and its kind, which decides the exit code. */
  readonly error?: { readonly code: string; readonly kind: Kind };
  /** Facts for programs: addresses, versions, dates. Never a secret. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly milliseconds: number;
}

export type Subject =
  | { readonly type: 'mailbox'; readonly address: string }
  | { readonly type: 'installation'; readonly home: string };

/** What is wrong first, in one sentence, and what to do. */
export interface FirstCause {
  readonly step: string;
  readonly sentence: string;
  readonly blame: Diagnosis['blame'];
  readonly passesWhen?: string;
  readonly remedy: Diagnosis['remedy'];
}

export interface CheckReport {
  /** Grows when a member changes its meaning; new members may appear any time. */
  readonly format: 1;
  readonly subject: Subject;
  /** ISO 8601. */
  readonly at: string;
  readonly outcome: 'ok' | 'warnings' | 'failed';
  /** The first failure; without one the first warning. */
  readonly first?: FirstCause;
  readonly findings: readonly Finding[];
}

/** What a check works with; the server's instance has all of it. */
export interface CheckDeps {
  /** Asks for tokens that nobody keeps. */
  readonly renewal: RenewalDeps;
  readonly store: Store;
  readonly vault: Vault;
  /** What the audit log is signed with. */
  readonly auditKey: AuditKey;
  readonly tokens: TokenSource;
  readonly clock: Clock;
}

export interface CheckOptions {
  /** Told what begins, for a progress line. */
  readonly onStart?: (title: string) => void;
  readonly signal?: AbortSignal;
  /** Also fetch the newest message; Exchange may send a read receipt for it. */
  readonly fetch?: boolean;
  /** Milliseconds for one connection. Default 45,000: Exchange may take half a minute. */
  readonly timeoutMs?: number;
  /** A sign-in that takes longer is worth a warning. Default 10,000. */
  readonly slowMs?: number;
}
