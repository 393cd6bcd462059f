/** How bad outcomes are named: one class, stable dotted codes, seven kinds. Each room declares its codes with {@link errorTable}. */

/**
 * Who has to act, which alone decides the reply on every protocol (see `replies.ts`):
 * `misuse` the caller or operator · `denied` the account's owner must sign in or consent · `refused` the peer said no for
 * good · `later` nobody, it passes · `garbled` the peer broke its protocol · `limit` one of our bounds · `bug` us.
 */
export type Kind = 'misuse' | 'denied' | 'refused' | 'later' | 'garbled' | 'limit' | 'bug';

/** One row of a room's table of codes. `hint` is the next step for the person, used when the thrower has none more exact. */
export interface ErrorRow {
  readonly kind: Kind;
  readonly hint: string;
}

export interface ErrorOptions {
  /** Facts for programs: peer replies kept whole, numbers, names. Never a secret. */
  readonly detail?: Readonly<Record<string, unknown>>;
  /** The next step for the person, with the exact command. */
  readonly hint?: string;
  /** When trying again makes sense (kind `later`). */
  readonly retryAt?: Date;
  readonly cause?: unknown;
}

/** The only error class of the project. `message` says what happened in plain words, lower case, no full stop. */
export class PosternError extends Error {
  readonly code: string;
  readonly kind: Kind;
  readonly hint: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly retryAt: Date | undefined;

  constructor(code: string, row: ErrorRow, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PosternError';
    this.code = code;
    this.kind = row.kind;
    this.hint = options.hint ?? row.hint;
    this.detail = options.detail ?? {};
    this.retryAt = options.retryAt;
  }

  /** What a program may see: never the cause, which may quote a peer. */
  toJSON(): Record<string, unknown> {
    const { code, kind, message, hint, detail } = this;
    return { code, kind, message, hint, detail, ...(this.retryAt ? { retryAt: this.retryAt.toISOString() } : {}) };
  }
}

/** Makes the error constructor of one room, e.g. `throw oauthError('oauth.needs-consent', 'the grant has expired', { … })`. */
export function errorTable<const T extends Readonly<Record<string, ErrorRow>>>(
  table: T,
): ((code: keyof T & string, message: string, options?: ErrorOptions) => PosternError) & { readonly table: T } {
  const make = (code: keyof T & string, message: string, options?: ErrorOptions): PosternError =>
    new PosternError(code, table[code]!, message, options);
  return Object.assign(make, { table });
}

/** True when `error` is ours and, if given, has this code. */
export function isError(error: unknown, code?: string): error is PosternError {
  return error instanceof PosternError && (code === undefined || error.code === code);
}

/** Any thrown thing as our error: ours unchanged, the rest as a `bug` with the original as cause. */
export function asError(error: unknown): PosternError {
  if (error instanceof PosternError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return baseError('base.bug', `unexpected: ${text}`, { cause: error });
}

/** Codes any room may use. */
export const baseError = errorTable({
  'base.bug': {
    kind: 'bug',
    hint: 'this is a defect in Postern: please report it with the log lines around this moment',
  },
  'base.aborted': { kind: 'later', hint: 'the work was stopped before it ended; try again' },
});
