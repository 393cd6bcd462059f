/** Faults at the authority: refusals and answers in the middle of a request, and tokens that are not as they should be. */
import { type Fault, type FaultId, faults } from '../faults/catalogue.ts';
import type { Bite, Spot } from '../faults/board.ts';
import type { TokenStep } from '../faults/types.ts';
import { sandboxError } from '../errors.ts';
import { microsoftTime, refuse } from './aadsts.ts';
import { exchangeOnline, TENANT_DOMAIN, type RegisteredApplication, type User } from './directory.ts';
import type { Platform } from './platform.ts';

/** What `sandbox.fault` carries in `detail`: the answer to give, or that there is none. */
export type FaultAnswer =
  | { readonly type: 'lost' }
  | {
      readonly type: 'answer';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    };

/** Who is at which step. */
export interface Step {
  readonly step: TokenStep;
  readonly application: RegisteredApplication;
  readonly user?: User;
  /** When the refresh token was issued. */
  readonly issuedAt?: number;
}

/** Lets the faults of a step bite. @throws sandbox.refused (as Microsoft refuses), sandbox.fault (any other answer) */
export function strike(platform: Platform, step: Step): void {
  for (const { id, effect } of atTokens) {
    if (effect.type === 'answer' && step.step !== 'sign-in') {
      const bite = platform.faults.bite(id, spotOf(step.user));
      if (bite) throw answerOf(bite);
    }
    if (effect.type !== 'refusal' || !effect.at.includes(step.step)) continue;
    if (ABOUT_CREDENTIALS.has(effect.aadsts) && step.application.publicClient) continue;
    if (!platform.faults.bite(id, spotOf(step.user))) continue;
    const more = {
      ...(step.step === 'sign-in'
        ? { error: 'access_denied' }
        : effect.error === undefined
          ? {}
          : { error: effect.error }),
      ...(effect.claims === true ? { claims: CLAIMS } : {}),
    };
    throw refuse(effect.aadsts, factsOf(platform, step), more);
  }
}

/** Lets a fault bite after a refresh token was used: the client never hears of the new one. @throws sandbox.fault */
export function loseAnswer(platform: Platform, user: User): void {
  if (platform.faults.bite('refresh-token-lost', spotOf(user)))
    throw sandboxError('sandbox.fault', 'the answer is lost on its way', { detail: { type: 'lost' } });
}

/** A fault of issued tokens, if it bites. */
export function bitesToken(platform: Platform, id: FaultId, user: User | undefined): Bite | undefined {
  return platform.faults.bite(id, spotOf(user));
}

/** The claims that a policy asks for, as in Microsoft's bodies. */
export const CLAIMS =
  '{"access_token":{"capolids":{"essential":true,"values":["c0de0000-5a4d-4b0c-8e57-0000000000ca"]}}}';

const atTokens: readonly Fault[] = faults.filter(({ effect }) => effect.type === 'refusal' || effect.type === 'answer');
/** Refusals that concern the client's credential: a public client has none. */
const ABOUT_CREDENTIALS: ReadonlySet<number> = new Set([7000215, 7000222, 700024, 700027, 700213]);

function spotOf(user: User | undefined): Spot {
  return { place: 'authority', addresses: user ? [user.address] : [] };
}

function answerOf({ fault, value }: Bite): Error {
  if (fault.effect.type !== 'answer') throw new Error(`${fault.id} is no answer`);
  const { status, retryAfter, contentType, body } = fault.effect;
  const headers = { 'content-type': contentType, ...(retryAfter === true ? { 'retry-after': String(value) } : {}) };
  return sandboxError('sandbox.fault', fault.title, { detail: { type: 'answer', status, headers, body } });
}

function factsOf(platform: Platform, { application, user, issuedAt }: Step): Readonly<Record<string, string>> {
  const now = platform.clock.now();
  return {
    client: application.id,
    name: application.name,
    user: user?.address ?? application.name,
    tenant: TENANT_DOMAIN,
    resource: exchangeOnline.id,
    state: 'unregistered',
    issued: microsoftTime(issuedAt ?? now - 3_600_000),
    validFrom: microsoftTime(now),
    now: microsoftTime(now),
    expires: microsoftTime(now - 900_000),
    reason: 'The key used is expired',
    subject: application.objectId,
  };
}
