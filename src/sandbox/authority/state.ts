/** What the authority remembers between requests: flows, codes, grants, refresh tokens, consents. All in memory. */
import { randomBytes, randomInt } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { RegisteredApplication, User } from './directory.ts';
import type { ScopeRequest } from './scope.ts';

export interface AuthorizationRequest {
  readonly application: RegisteredApplication;
  /** Path segment the request came by: a code is redeemed on the same. */
  readonly tenant: string;
  readonly redirectUri: string;
  readonly responseMode: 'query' | 'fragment' | 'form_post';
  readonly state: string | undefined;
  readonly nonce: string | undefined;
  readonly scope: ScopeRequest;
  readonly prompt: readonly string[];
  readonly loginHint: string | undefined;
  readonly challenge: { readonly method: 'S256' | 'plain'; readonly value: string } | undefined;
}

export interface Code {
  readonly request: AuthorizationRequest;
  readonly user: User;
  readonly expiresAt: number;
  redeemed: boolean;
}

export interface DeviceRequest {
  readonly application: RegisteredApplication;
  readonly scope: ScopeRequest;
  readonly userCode: string;
  readonly expiresAt: number;
  outcome: { type: 'pending' } | { type: 'approved'; user: User } | { type: 'declined' } | { type: 'redeemed' };
}

/** One sign-in and consent; every refresh token that descends from it belongs to it. */
export interface Grant {
  readonly user: User;
  readonly application: RegisteredApplication;
  readonly scope: ScopeRequest;
  readonly issuedAt: number;
  /** Set when a spent refresh token came back under strict rotation. */
  killed: boolean;
}

export interface RefreshToken {
  readonly grant: Grant;
  readonly issuedAt: number;
  spent: boolean;
}

/** What a person is in the middle of on the pages. */
export type Flow = { readonly expiresAt: number; user: User | undefined } & (
  | { readonly purpose: 'code'; readonly request: AuthorizationRequest }
  | { readonly purpose: 'device'; readonly device: DeviceRequest }
  | {
      readonly purpose: 'admin';
      readonly application: RegisteredApplication;
      readonly redirectUri: string;
      readonly state: string | undefined;
    }
);

/** Refresh tokens die after 90 days without use, codes after ten minutes, device codes after fifteen. */
export const REFRESH_TOKEN_MS = 90 * 86_400_000;
export const CODE_MS = 600_000;
export const DEVICE_CODE_MS = 900_000;
const FLOW_MS = 3_600_000;
const SESSION_MS = 86_400_000;

export class AuthorityState {
  readonly #clock: Clock;
  readonly codes = new Map<string, Code>();
  readonly devices = new Map<string, DeviceRequest>();
  readonly refreshTokens = new Map<string, RefreshToken>();
  /** Browser sessions: cookie value → user. */
  readonly sessions = new Map<string, { readonly user: User; readonly expiresAt: number }>();
  readonly flows = new Map<string, Flow>();
  /** Refresh tokens issued to a user before this moment are void. */
  readonly validFrom = new Map<string, number>();
  /** Refresh tokens of public clients issued to a user before this moment are void: the password was changed. */
  readonly passwordChanged = new Map<string, number>();
  /** Identifiers of client assertions seen, until they expire. */
  readonly assertions = new Map<string, { readonly expiresAt: number }>();
  readonly #consents = new Map<string, Set<string>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  openFlow(flow: { [K in Flow as K['purpose']]: Omit<K, 'expiresAt'> }[Flow['purpose']]): string {
    return this.#put(this.flows, '', { ...flow, expiresAt: this.#clock.now() + FLOW_MS });
  }

  openSession(user: User): string {
    return this.#put(this.sessions, '', { user, expiresAt: this.#clock.now() + SESSION_MS });
  }

  issueCode(request: AuthorizationRequest, user: User): string {
    const code: Code = { request, user, expiresAt: this.#clock.now() + CODE_MS, redeemed: false };
    return this.#put(this.codes, '1.', code);
  }

  issueDeviceCode(application: RegisteredApplication, scope: ScopeRequest): { deviceCode: string; userCode: string } {
    let userCode = '';
    do userCode = Array.from({ length: 9 }, () => USER_CODE[randomInt(USER_CODE.length)]).join('');
    while ([...this.devices.values()].some((device) => device.userCode === userCode));
    const expiresAt = this.#clock.now() + DEVICE_CODE_MS;
    const deviceCode = this.#put(this.devices, '', {
      application,
      scope,
      userCode,
      expiresAt,
      outcome: { type: 'pending' },
    });
    return { deviceCode, userCode };
  }

  issueRefreshToken(grant: Grant): string {
    return this.#put(this.refreshTokens, '1.', { grant, issuedAt: this.#clock.now(), spent: false });
  }

  /** Everything found under `key` that is not over yet. */
  live<T extends { readonly expiresAt: number }>(map: Map<string, T>, key: string | undefined): T | undefined {
    const value = key === undefined ? undefined : map.get(key);
    return value && value.expiresAt > this.#clock.now() ? value : undefined;
  }

  /** @param user undefined for the administrator's consent on behalf of everybody */
  consent(user: User | undefined, application: RegisteredApplication, permissions: Iterable<string>): void {
    const key = `${user?.objectId ?? '*'} ${application.id}`;
    const known = this.#consents.get(key) ?? new Set();
    for (const permission of permissions) known.add(permission);
    this.#consents.set(key, known);
  }

  hasConsent(user: User, application: RegisteredApplication, permission: string): boolean {
    return [user.objectId, '*'].some((who) => this.#consents.get(`${who} ${application.id}`)?.has(permission));
  }

  /** Everybody's consents to an application; `user` (an object id) is undefined for the administrator's for all. */
  consentsTo(
    application: RegisteredApplication,
  ): readonly { readonly user: string | undefined; readonly permissions: readonly string[] }[] {
    return [...this.#consents].flatMap(([key, permissions]) => {
      const [who, id] = key.split(' ');
      return id === application.id ? [{ user: who === '*' ? undefined : who, permissions: [...permissions] }] : [];
    });
  }

  #put<T>(map: Map<string, T>, prefix: string, value: T): string {
    // Dead entries stay for a while so that late comers get the right refusal; the bound keeps long runs small.
    while (map.size >= MAX_KEPT) map.delete(map.keys().next().value!);
    const key = prefix + randomBytes(32).toString('base64url');
    map.set(key, value);
    return key;
  }
}

/** Enough for ten thousand grants that are all renewed a few times. */
const MAX_KEPT = 50_000;
/** No letters or digits that are mistaken for each other. */
const USER_CODE = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';
