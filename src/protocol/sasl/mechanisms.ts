/** The mechanisms by name. */
import { loginServer } from './login.ts';
import type { MechanismName, ServerMechanism } from './mechanism.ts';
import { oauthbearerServer } from './oauthbearer.ts';
import { plainServer } from './plain.ts';
import { xoauth2Server } from './xoauth2.ts';

const servers: Readonly<Record<MechanismName, () => ServerMechanism>> = {
  PLAIN: plainServer,
  LOGIN: loginServer,
  XOAUTH2: xoauth2Server,
  OAUTHBEARER: oauthbearerServer,
};

/** The server side of a mechanism, named in any case; undefined when `offered` does not have it. */
export function serverMechanism(name: string, offered: readonly MechanismName[]): ServerMechanism | undefined {
  const known = offered.find((mechanism) => mechanism === name.toUpperCase());
  return known === undefined ? undefined : servers[known]();
}

/** Mechanisms to offer; the bearer ones take an app password as token. */
export function offeredMechanisms(bearer: boolean): readonly MechanismName[] {
  return bearer ? ['PLAIN', 'LOGIN', 'XOAUTH2', 'OAUTHBEARER'] : ['PLAIN', 'LOGIN'];
}

/** What a server reports before it refuses a token: as RFC 7628 §3.2.2 has it, or as Google and Microsoft do for XOAUTH2. */
export function bearerFailure(mechanism: MechanismName): Buffer | undefined {
  if (mechanism === 'OAUTHBEARER') return Buffer.from('{"status":"invalid_token"}');
  if (mechanism === 'XOAUTH2') return Buffer.from('{"status":"401","schemes":"bearer"}');
  return undefined;
}
