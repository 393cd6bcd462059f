/** What administrators and people do to credentials while the tenant runs. */
import { randomBytes, randomUUID } from 'node:crypto';
import { requireUser } from './flows.ts';
import { findApplication, type Platform } from './platform.ts';
import { refuse } from './aadsts.ts';

export interface NewSecret {
  readonly keyId: string;
  /** Shown once, as in the portal. */
  readonly secret: string;
  readonly expiresAt: Date;
}

/** The portal's default. */
const SECRET_DAYS = 180;
const DAY = 86_400_000;

/** Adds a secret to an application, beside those it has. @param days it lives, by the tenant's clock. @throws sandbox.refused 700016 */
export function addSecret(platform: Platform, client: string, days = SECRET_DAYS): NewSecret {
  const application = findApplication(platform, client);
  const keyId = randomUUID();
  const value = `sandbox~${randomBytes(24).toString('base64url')}`;
  const expiresAt = platform.clock.now() + days * DAY;
  application.credentials.push({ type: 'secret', value, keyId, expiresAt });
  return { keyId, secret: value, expiresAt: new Date(expiresAt) };
}

/** Takes a secret away at once. @throws sandbox.refused 700016, 7000215 (there is no such secret) */
export function removeSecret(platform: Platform, client: string, keyId: string): void {
  const { credentials } = findApplication(platform, client);
  const index = credentials.findIndex((each) => each.type === 'secret' && each.keyId === keyId);
  if (index === -1) throw refuse(7000215, { client });
  credentials.splice(index, 1);
}

/**
 * A person changes the password: refresh tokens of public clients die, those of confidential clients live on
 * (entra-docs, refresh-tokens, table of revocations). @throws sandbox.refused 50034
 */
export function changePassword(platform: Platform, user: string): void {
  platform.state.passwordChanged.set(requireUser(user).objectId, platform.clock.now() + 1);
}

/** An administrator revokes all sessions: every refresh token dies. @throws sandbox.refused 50034 */
export function revokeSessions(platform: Platform, user: string): void {
  platform.state.validFrom.set(requireUser(user).objectId, platform.clock.now() + 1);
}
