/** How bad outcomes are named: one class, stable dotted codes, seven kinds. Each room declares its codes with {@link errorTable}. */
import { pathOf, type Trouble, troubleOf } from './system-failure.ts';

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
  toJSON(): Pick<PosternError, 'code' | 'kind' | 'message' | 'hint' | 'detail'> & { readonly retryAt?: string } {
    const { code, kind, message, hint, detail } = this;
    return { code, kind, message, hint, detail, ...(this.retryAt ? { retryAt: this.retryAt.toISOString() } : {}) };
  }
}

/** The next steps of a room's codes, by kind. */
type Hints = Readonly<Partial<Record<Kind, Readonly<Record<string, string>>>>>;
type CodeIn<T extends Hints> = { readonly [K in keyof T]: keyof T[K] & string }[keyof T];

/** The same as rows, one for each code. */
export function errorRows<const T extends Hints>(
  hints: T & Readonly<Record<Exclude<keyof T, Kind>, never>>,
): Readonly<Record<CodeIn<T>, ErrorRow>> {
  const rows = Object.entries(hints).flatMap(([kind, codes]) =>
    Object.entries(codes ?? {}).map(([code, hint]) => [code, { kind, hint }]),
  );
  return Object.fromEntries(rows) as Readonly<Record<CodeIn<T>, ErrorRow>>;
}

/** Makes the error constructor of one room, e.g. `throw oauthError('oauth.needs-consent', 'the grant has expired', { … })`. */
export function errorTable<const T extends Hints>(hints: T & Readonly<Record<Exclude<keyof T, Kind>, never>>) {
  const table = errorRows<T>(hints);
  const make = (code: CodeIn<T>, message: string, options?: ErrorOptions): PosternError =>
    new PosternError(code, table[code], message, options);
  return Object.assign(make, { table });
}

/** True when `error` is ours and, if given, has this code. */
export function isError(error: unknown, code?: string): error is PosternError {
  return error instanceof PosternError && (code === undefined || error.code === code);
}

/** Any thrown thing as our error: ours unchanged, trouble of the machine in words, the rest as a `bug` with the original as cause. */
export function asError(error: unknown): PosternError {
  if (error instanceof PosternError) return error;
  const ofMachine = machineError(error);
  if (ofMachine) return ofMachine;
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return baseError('base.timeout', 'the other side did not answer in time', { cause: error });
  const text = error instanceof Error ? error.message : String(error);
  return baseError('base.bug', `unexpected: ${text}`, { cause: error });
}

/**
 * A full, failing or read-only disk and descriptors that have run out, in words; undefined for anything else.
 * @param path what could not be used, where the error itself does not name it
 */
export function machineError(error: unknown, path = pathOf(error)): PosternError | undefined {
  const trouble = troubleOf(error);
  const row = trouble === undefined ? undefined : OF_MACHINE[trouble];
  if (row === undefined) return undefined;
  const detail = path === undefined ? {} : { path };
  return baseError(row.code, row.says(path ?? 'a file'), { hint: row.next(path), detail, cause: error });
}

/** The end of a next step, for a command and a server alike. */
export const AGAIN = 'then run this again; a service manager starts Postern again by itself';
const where = (path: string | undefined): string => (path === undefined ? '' : ` ${path}`);

const OF_MACHINE: Partial<
  Record<
    Trouble,
    {
      readonly code: 'base.disk-full' | 'base.disk-failed' | 'base.read-only' | 'base.too-many-files';
      readonly says: (what: string) => string;
      readonly next: (path: string | undefined) => string;
    }
  >
> = {
  'too-long': {
    code: 'base.disk-full',
    says: (what) =>
      `${what} cannot be written: it has reached the size that this process or its file system allows a file`,
    next: () => `raise the limit (LimitFSIZE= in the service unit, ulimit -f in the shell that starts it), ${AGAIN}`,
  },
  full: {
    code: 'base.disk-full',
    says: (what) => `${what} cannot be written: the disk or the quota is full`,
    next: (path) => `make room (df -h${where(path)} shows how much there is; quota -s a quota), ${AGAIN}`,
  },
  failing: {
    code: 'base.disk-failed',
    says: (what) => `${what} cannot be read or written: the disk reports an input/output error`,
    next: () => `look at the kernel log (dmesg, journalctl -k) and at the disk (smartctl -a DEVICE), ${AGAIN}`,
  },
  'read-only': {
    code: 'base.read-only',
    says: (what) => `${what} cannot be written: its file system is mounted read-only`,
    next: (path) =>
      `find the file system (findmnt -T ${path ?? 'PATH'}) and why it is read-only (dmesg: after an error on the disk the kernel makes it so); mount it writable (mount -o remount,rw MOUNTPOINT; a container needs a volume there), ${AGAIN}`,
  },
  descriptors: {
    code: 'base.too-many-files',
    says: (what) => `${what} cannot be opened: this process or this machine has too many files open`,
    next: () => `raise the limit (LimitNOFILE= in the service unit, or ulimit -n), ${AGAIN}`,
  },
};

/** Codes any room may use. */
export const baseError = errorTable({
  bug: {
    'base.bug': 'this is a defect in Postern: please report it with the log lines around this moment',
  },
  later: {
    'base.disk-full': 'make room on the disk (df -h shows it), then try again',
    'base.disk-failed': 'look at the kernel log (dmesg) and at the disk, then try again',
    'base.read-only': 'mount the file system writable, then try again',
    'base.too-many-files': 'raise the limit of open files (LimitNOFILE=, ulimit -n)',
    'base.timeout': 'it is tried again by itself; a command can be given again',
    'base.aborted': 'the work was stopped before it ended; try again',
  },
});
