/** The flows we speak, and those we refuse by name (RFC 9700 §2.1.2, §2.4). */
import { FLOWS } from '../store/flows.ts';
import type { Flow } from '../store/types.ts';
import type { PosternError } from '../base/error.ts';
import { oauthError } from './errors.ts';

export type AppOnlyFlow = Exclude<Flow, 'authorization-code' | 'device-code'>;

/** True when the application signs in by itself and there is nobody who could consent again. */
export function isAppOnly(flow: Flow): flow is AppOnlyFlow {
  return flow !== 'authorization-code' && flow !== 'device-code';
}

export type RefusedFlow = 'implicit' | 'password';

const REFUSED: Readonly<Record<RefusedFlow, { readonly reason: string; readonly instead: string }>> = {
  implicit: {
    reason: 'it puts the access token into the browser’s address bar, history and logs, and gives no refresh token',
    instead: 'use --flow authorization-code, which needs no secret either (PKCE)',
  },
  password: {
    reason: 'it hands the account’s password to this program, and no multi-factor rule can work with it',
    instead:
      'use --flow authorization-code or device-code for a person, --flow certificate or client-secret for a service',
  },
};

/** The error for a flow that OAuth 2.1 dropped: why, and what to use instead. */
export function refuseFlow(flow: RefusedFlow): PosternError {
  const { reason, instead } = REFUSED[flow];
  return oauthError('oauth.flow-refused', `the ${flow} grant is refused: ${reason}`, {
    hint: instead,
    detail: { flow },
  });
}

/** Reads a flow's name. @throws oauth.flow-refused (implicit, password, and their other names; unknown names) */
export function readFlow(name: string): Flow {
  const known = FLOWS.find((flow) => flow === name);
  if (known) return known;
  if (name === 'implicit' || name === 'token') throw refuseFlow('implicit');
  if (name === 'password' || name === 'ropc') throw refuseFlow('password');
  throw oauthError('oauth.flow-refused', `there is no flow called ${name}`, { hint: `flows: ${FLOWS.join(', ')}` });
}
