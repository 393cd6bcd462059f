/** What a gateway asks for, in memory: who signs in, tokens, audit. */
import type { SignIn, SignInAttempt, SignInResult } from '../../src/access/types.ts';
import type { Audit, AuditEntry } from '../../src/audit/types.ts';
import type { PosternError } from '../../src/base/error.ts';
import { Secret } from '../../src/base/secret.ts';
import type { AccessToken, MailEndpoint, TokenSource } from '../../src/oauth/types.ts';
import type { Mailbox } from '../../src/store/types.ts';
import type { AppPassword } from '../../src/store/types-access.ts';
import type { Protocol } from '../../src/store/protocols.ts';

/** Tokens `token-1`, `token-2`, … : a rejected one is followed by the next. */
export class FakeTokens implements TokenSource {
  readonly endpoints: Partial<Record<Protocol, MailEndpoint>> = {};
  readonly rejected: string[] = [];
  /** Thrown instead of a token. */
  failure: Error | undefined;
  /** When the current token ends. */
  expiresAt = Date.now() + 3_600_000;
  /** Why there is no newer token, where the authority said so. */
  notRenewed: PosternError | undefined;
  #current = 1;

  accessToken(): Promise<AccessToken> {
    if (this.failure) return Promise.reject(this.failure);
    return Promise.resolve({
      value: new Secret(`token-${this.#current}`),
      expiresAt: this.expiresAt,
      scopes: [],
      grantId: 'grt_1',
      ...(this.notRenewed ? { notRenewed: this.notRenewed } : {}),
    });
  }

  renewedToken(): Promise<AccessToken> {
    this.#current += 1;
    return this.accessToken();
  }

  endpoint(_mailbox: Mailbox, protocol: Protocol): Promise<MailEndpoint> {
    return Promise.resolve(this.endpoints[protocol]!);
  }

  reject(token: AccessToken): void {
    this.rejected.push(token.value.reveal());
    this.#current += 1;
    this.expiresAt += 1;
  }
}

export const ADDRESS = 'alice@contoso.test';
export const PASSWORD = 'right-app-password';

/** Knows one app password; `next` decides the next attempts otherwise. */
export class FakeSignIn implements SignIn {
  readonly attempts: SignInAttempt[] = [];
  readonly next: (SignInResult | Error)[] = [];
  #revoked: ((ids: readonly string[]) => void) | undefined;
  #closed: ((addresses: readonly string[]) => void) | undefined;

  verify(attempt: SignInAttempt): Promise<SignInResult> {
    this.attempts.push(attempt);
    const planned = this.next.shift();
    if (planned instanceof Error) return Promise.reject(planned);
    if (planned) return Promise.resolve(planned);
    const address = attempt.user.toLowerCase();
    if (attempt.password.reveal() !== PASSWORD) return Promise.resolve({ type: 'refused', reason: 'unknown-password' });
    if (![ADDRESS, this.alsoOpens].includes(address))
      return Promise.resolve({ type: 'refused', reason: 'wrong-mailbox' });
    return Promise.resolve({ type: 'accepted', mailbox: { ...MAILBOX, address }, appPassword: APP_PASSWORD });
  }

  /** Another mailbox of the same app password. */
  alsoOpens: string | undefined;

  /** What `mailbox` gives. */
  current: Mailbox | undefined = MAILBOX;

  mailbox(): Promise<Mailbox | undefined> {
    return Promise.resolve(this.current);
  }

  known(): Mailbox | undefined {
    return this.current;
  }

  onRevoked(callback: (ids: readonly string[]) => void): { stop(): void } {
    this.#revoked = callback;
    return { stop: () => (this.#revoked = undefined) };
  }

  revoke(): void {
    this.#revoked?.([APP_PASSWORD.id]);
  }

  onClosed(callback: (addresses: readonly string[]) => void): { stop(): void } {
    this.#closed = callback;
    return { stop: () => (this.#closed = undefined) };
  }

  /** Why the mailbox is suspended. */
  reason: string | undefined;

  suspended(): string | undefined {
    return this.reason;
  }

  closeMailbox(): void {
    this.#closed?.([ADDRESS]);
  }
}

const MAILBOX: Mailbox = {
  address: ADDRESS,
  grantId: 'grt_1',
  access: 'own',
  protocols: ['imap', 'pop3', 'smtp'],
  settings: {},
  createdAt: 0,
};
const APP_PASSWORD: AppPassword = {
  id: 'apw_1',
  label: 'printer',
  hash: '',
  mailboxes: [ADDRESS],
  protocols: ['imap', 'pop3', 'smtp'],
  networks: [],
  createdAt: 0,
  expiresAt: undefined,
  revokedAt: undefined,
  lastUsedAt: undefined,
};

export class FakeAudit implements Audit {
  readonly entries: AuditEntry[] = [];
  #waiting: { type: string; resolve: (entry: AuditEntry) => void }[] = [];

  record(entry: AuditEntry): Promise<void> {
    this.note(entry);
    return Promise.resolve();
  }

  note(entry: AuditEntry): void {
    this.entries.push(entry);
    for (const waiting of this.#waiting.filter(({ type }) => type === entry.type)) waiting.resolve(entry);
    this.#waiting = this.#waiting.filter(({ type }) => type !== entry.type);
  }

  async along<T>(entry: AuditEntry, work: () => Promise<T>): Promise<T> {
    const result = await work();
    if (result !== false) this.note(entry);
    return result;
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  of(type: string): AuditEntry[] {
    return this.entries.filter((entry) => entry.type === type);
  }

  /** The next entry of this type from now on. */
  next(type: string): Promise<AuditEntry> {
    return new Promise((resolve) => this.#waiting.push({ type, resolve }));
  }
}
