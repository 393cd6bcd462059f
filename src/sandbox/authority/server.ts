/** The emulated authorization server: its parts, its listeners and what tests may do to it. */
import type { Hono } from 'hono';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { sandboxError } from '../errors.ts';
import type { Certificates } from '../door.ts';
import { openHttpDoor } from '../http-door.ts';
import { FaultBoard } from '../faults/board.ts';
import { closeNow, LOOPBACK, listen } from '../listen.ts';
import { refuse } from './aadsts.ts';
import { EXCHANGE_AUDIENCE, registerApplications, type ApplicationCredential } from './directory.ts';
import { createEndpoints } from './endpoints.ts';
import { decideDevice, findDevice, requireUser } from './flows.ts';
import { createClientCertificate, createSigningKey, type ClientCertificate, type SigningKey } from './keys.ts';
import { createMetadataServer } from './managed-identity.ts';
import type { AuthorityOptions, Platform } from './platform.ts';
import { AuthorityState } from './state.ts';
import { issuer, signJwt } from './tokens.ts';

/** What the federated client trusts besides the managed identity: an issuer like a cluster's or a CI service's. */
export const FOREIGN_ISSUER = 'https://issuer.contoso.test';
export const FOREIGN_SUBJECT = 'system:serviceaccount:mail:postern';

export interface AuthoritySettings extends AuthorityOptions {
  readonly redirectUris: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly faults?: FaultBoard;
}

export interface AuthorityKeys {
  readonly signing: SigningKey;
  readonly foreign: SigningKey;
  readonly certificate: ClientCertificate;
}

export async function createAuthorityKeys(clock: Clock): Promise<AuthorityKeys> {
  const [signing, foreign, certificate] = await Promise.all([
    createSigningKey(),
    createSigningKey(),
    createClientCertificate('Postern sandbox daemon', clock.now()),
  ]);
  return { signing, foreign, certificate };
}

/** The authority without listeners. */
export function createPlatform(origin: string, keys: AuthorityKeys, settings: AuthoritySettings): Platform {
  const { certificate, signing, foreign } = keys;
  const federated = (issuedBy: string, subject: string, key: SigningKey): ApplicationCredential => ({
    type: 'federated',
    issuer: issuedBy,
    subject,
    publicKey: key.publicKey,
  });
  const applications = registerApplications(
    {
      certificate: {
        type: 'certificate',
        publicKey: certificate.publicKey,
        sha256: certificate.sha256,
        sha1: certificate.sha1,
        expiresAt: certificate.expiresAt,
      },
      federated: (managedIdentityObjectId) => [
        federated(FOREIGN_ISSUER, FOREIGN_SUBJECT, foreign),
        federated(issuer(origin), managedIdentityObjectId, signing),
      ],
    },
    settings.redirectUris,
    settings.clock.now(),
  );
  const { clock, log, rotation, assertionReuse, tokenLifetime, deviceInterval, revocation } = settings;
  return {
    origin,
    clock,
    log,
    signingKey: signing,
    applications,
    state: new AuthorityState(clock),
    options: { rotation, assertionReuse, tokenLifetime, deviceInterval, revocation },
    requests: [],
    failures: [],
    faults: settings.faults ?? new FaultBoard(),
  };
}

export interface AuthorityServer {
  readonly platform: Platform;
  /** `http://127.0.0.1:PORT`, the host that stands for 169.254.169.254. */
  readonly metadataOrigin: string;
  close(): Promise<void>;
}

/** Starts the HTTPS listener and the metadata endpoint. @throws sandbox.port-taken */
export async function startAuthority(
  settings: AuthoritySettings & {
    readonly keys: AuthorityKeys;
    readonly certificates: Certificates;
    readonly wall: Clock;
    readonly ports: { readonly authority: number; readonly metadata: number };
  },
): Promise<AuthorityServer> {
  let endpoints: Hono | undefined;
  // The port is part of every URL the authority gives out, so it listens first.
  const faults = settings.faults ?? new FaultBoard();
  const door = await openHttpDoor(
    { ...settings, faults, place: 'authority', port: settings.ports.authority },
    () => endpoints!,
  );
  const platform = createPlatform(`https://localhost:${door.port}`, settings.keys, { ...settings, faults });
  endpoints = createEndpoints(platform);
  const metadata = createMetadataServer(platform);
  try {
    const metadataPort = await listen(metadata, settings.ports.metadata, 'the metadata endpoint');
    const metadataOrigin = `http://${LOOPBACK}:${metadataPort}`;
    const close = async (): Promise<void> => {
      await Promise.all([door.close(), closeNow(metadata)]);
    };
    return { platform, metadataOrigin, close };
  } catch (error) {
    await door.close();
    throw error;
  }
}

/** Signs in and consents without a browser. @throws sandbox.refused, sandbox.no-redirect */
export async function approve(platform: Platform, authorizationUrl: string, user: string): Promise<URL> {
  if (!URL.canParse(authorizationUrl) || !authorizationUrl.startsWith(`${platform.origin}/`))
    throw sandboxError('sandbox.no-redirect', 'this is no authorization URL of this sandbox');
  const url = new URL(authorizationUrl);
  url.searchParams.set('sandbox_user', user);
  // A form that a browser would post cannot be followed here: the answer comes in the query instead.
  if (url.searchParams.get('response_mode') === 'form_post') url.searchParams.delete('response_mode');
  const response = await createEndpoints(platform).request(url.href);
  const location = response.headers.get('location');
  if (location !== null) return new URL(location);
  const code = /AADSTS(\d+)/.exec(await response.text())?.[1];
  throw sandboxError(
    'sandbox.no-redirect',
    `the authority did not redirect${code === undefined ? '' : `: AADSTS${code}`}`,
    {
      detail: { status: response.status, ...(code === undefined ? {} : { aadsts: Number(code) }) },
    },
  );
}

/** Enters a user code, signs in and consents. @throws sandbox.refused 70018, 50034 */
export function decideUserCode(platform: Platform, userCode: string, user: string, accepted: boolean): void {
  const device = findDevice(platform, userCode);
  if (!device) throw refuse(70018);
  decideDevice(platform, device, requireUser(user), accepted);
}

/** An assertion of the foreign issuer, good for ten minutes, as a workload finds it in a file. */
export function mintAssertion(platform: Platform, foreign: SigningKey): string {
  const now = Math.floor(platform.clock.now() / 1000);
  return signJwt(foreign, {
    iss: FOREIGN_ISSUER,
    sub: FOREIGN_SUBJECT,
    aud: EXCHANGE_AUDIENCE,
    iat: now,
    nbf: now,
    exp: now + 600,
    jti: crypto.randomUUID(),
  });
}
