/** An emulated Microsoft tenant on loopback: an authority and, with it, mail servers that accept OAuth only. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../base/clock.ts';
import { nullLog, type Log } from '../base/log.ts';
import { type CertificateAuthority, createAuthority, issueCertificate } from '../protocol/tls/local-ca.ts';
import { checkPair } from '../protocol/tls/pair.ts';
import { findUser, graph, SHARED_ADDRESS, TENANT_ID, users, type User } from './authority/directory.ts';
import { addSecret, changePassword, removeSecret, revokeSessions, type NewSecret } from './authority/credentials.ts';
import type { AuthorityOptions, OrderedFailure, TokenRequestRecord } from './authority/platform.ts';
import {
  approve,
  decideUserCode,
  createAuthorityKeys,
  mintAssertion,
  startAuthority,
  type AuthorityKeys,
  type AuthorityServer,
} from './authority/server.ts';
import { startControl } from './control.ts';
import { describeClients, type SandboxClients } from './clients.ts';
import { SandboxClock } from './clock.ts';
import { Certificates, NAMES } from './door.ts';
import { FaultBoard } from './faults/board.ts';
import { startGraph } from './graph/server.ts';
import { Ledger, type TenantLimits } from './limits.ts';
import { addFaultMailbox, addSampleMail } from './mail/sample.ts';
import { type MailEndpoint, startMailServers } from './mail/server.ts';
import { createMailStore, type MailStore } from './mail/store.ts';
import { createTokenCheck, type TokenCheck } from './token.ts';

export type { MailEndpoint } from './mail/server.ts';
export type { MailStore } from './mail/store.ts';
export type { OrderedFailure, TokenRequestRecord } from './authority/platform.ts';
export type { SandboxClients } from './clients.ts';
export type { SandboxClock } from './clock.ts';
export type { ActiveFault, FaultBoard, FaultLimits } from './faults/board.ts';
export { type Fault, type FaultId, faults } from './faults/catalogue.ts';
export type { NewSecret } from './authority/credentials.ts';
export { exchangeLimits, type TenantLimits } from './limits.ts';
export type { FaultStage, Place } from './faults/types.ts';
export type { TokenCheck, TokenVerdict } from './token.ts';

export interface SandboxOptions extends Partial<AuthorityOptions> {
  /** 0 or absent for any free port. */
  readonly ports?: Readonly<Partial<Record<SandboxPort, number>>>;
  /** Where `ca.pem` and the client's key files go; a temporary folder, removed on close, unless given. */
  readonly dir?: string;
  /** Redirect URIs to register besides loopback ones, for testing a web application of your own. */
  readonly redirectUris?: readonly string[];
  /** Other limits than Exchange Online's. */
  readonly limits?: Readonly<Partial<TenantLimits>>;
  /** What the tenant's own clock runs by; the system's unless given. */
  readonly clock?: Clock;
  readonly log?: Log;
}

export type SandboxPort = 'authority' | 'metadata' | 'graph' | 'control' | 'imap' | 'pop3' | 'smtp';

/** The ports that `postern sandbox` uses unless told otherwise; the library takes free ones. */
export const defaultPorts: Readonly<Record<SandboxPort, number>> = {
  authority: 2443,
  metadata: 2480,
  graph: 2444,
  control: 2481,
  imap: 2993,
  pop3: 2995,
  smtp: 2587,
};

export interface Sandbox {
  /** `https://localhost:PORT/TENANTID`: what clients take as authority. */
  readonly authority: string;
  /** Issuer of ID tokens: the authority with `/v2.0`. */
  readonly issuer: string;
  readonly tenantId: string;
  /** The authority's certificate, which every TLS endpoint here chains to. */
  readonly caPem: string;
  readonly caPath: string;
  /** The pair its own servers use, valid for localhost, 127.0.0.1 and ::1; for a server of yours that chains to the same CA. */
  readonly serverCertificate: { readonly cert: string; readonly key: string };
  readonly clients: SandboxClients;
  /** IMAP and POP3 with TLS from the first byte, SMTP with STARTTLS, as Exchange Online. */
  readonly mail: Readonly<Record<'imap' | 'pop3' | 'smtp', MailEndpoint>>;
  /** `https://localhost:PORT`, to be used in place of `https://graph.microsoft.com`. */
  readonly graph: string;
  /** What the mail servers hold: deliver, look, change. */
  readonly mailStore: MailStore;
  readonly users: readonly User[];
  /** A mailbox without sign-in; alice may read it and send as it. */
  readonly shared: string;
  /** Where `http://169.254.169.254` is here. */
  readonly metadataOrigin: string;
  /** Judges tokens as the mail servers do. */
  readonly checkToken: TokenCheck;
  /** Signs in and consents without a browser and gives the redirect, with code or error. @throws sandbox.no-redirect */
  approve(authorizationUrl: string, user?: string): Promise<URL>;
  /** The same for a device code. @throws sandbox.refused (AADSTS70018: no such code is waiting) */
  approveDevice(userCode: string, user?: string): Promise<void>;
  /** The person presses Cancel. @throws sandbox.refused */
  declineDevice(userCode: string): Promise<void>;
  /** A fresh assertion for the federated client, good for ten minutes. */
  mintAssertion(): string;
  /** Every token request so far, without secrets. */
  readonly requests: readonly TokenRequestRecord[];
  /** Seconds that tokens issued from now on live; undefined for Microsoft's random 60 to 90 minutes. */
  setTokenLifetime(seconds: number | undefined): void;
  /** Answers the next token request, or the next few, with this instead. */
  failNextToken(failure: OrderedFailure): void;
  /** Voids every refresh token of a person, as an administrator's "revoke sessions" does. @throws sandbox.refused 50034 */
  revokeRefreshTokens(user: string): void;
  /** A person changes the password: refresh tokens of public clients die, those of confidential ones do not. @throws sandbox.refused 50034 */
  changePassword(user: string): void;
  /** Adds a client secret that lives for `days` (180 unless given) of the tenant's time. @throws sandbox.refused 700016 */
  addSecret(client: string, days?: number): NewSecret;
  /** @throws sandbox.refused 700016, 7000215 */
  removeSecret(client: string, keyId: string): void;
  /** `http://127.0.0.1:PORT/sandbox`: faults, clock, limits and mail for other processes. */
  readonly control: string;
  /** The tenant's time: `await sandbox.clock.advance(3_600_000)` lets an hour pass. */
  readonly clock: SandboxClock;
  /** What goes wrong: `sandbox.faults.set('imap-throttled', { times: 1 })`. The list of all is the export `faults`. */
  readonly faults: FaultBoard;
  /** What the tenant puts up with; may be changed while it runs. */
  readonly limits: TenantLimits;
  close(): Promise<void>;
}

/**
 * Starts the tenant. Everything listens on 127.0.0.1; certificates are valid for localhost, 127.0.0.1 and ::1.
 * @throws sandbox.port-taken
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const wall = options.clock ?? systemClock;
  const clock = new SandboxClock(wall);
  const faults = new FaultBoard();
  const ledger = new Ledger(clock, options.limits);
  const log = options.log ?? nullLog;
  const [keys, ca] = await Promise.all([createAuthorityKeys(clock), authorityIn(options.dir)]);
  const certificate = await issueCertificate(ca, { names: NAMES, days: 30 });
  const tls = { cert: certificate.certPem, key: certificate.keyPem };
  const certificates = new Certificates(tls, ca);
  const authority = await startAuthority({
    rotation: options.rotation ?? 'microsoft',
    assertionReuse: options.assertionReuse ?? 'microsoft',
    tokenLifetime: options.tokenLifetime,
    deviceInterval: options.deviceInterval ?? 5,
    revocation: options.revocation,
    redirectUris: options.redirectUris ?? [],
    clock,
    log,
    faults,
    keys,
    certificates,
    wall,
    ports: { authority: options.ports?.authority ?? 0, metadata: options.ports?.metadata ?? 0 },
  });
  const closers = [(): Promise<void> => authority.close()];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const dir = await openFolder(options.dir, closers);
    const caPath = join(dir, 'ca.pem');
    await writeFile(caPath, ca.certPem);
    const checkToken = createTokenCheck(keys.signing, clock);
    const trusted = Object.values(authority.platform.applications).filter(({ roles }) => roles.length > 0);
    const applications = trusted.map(({ id }) => id);
    const mailStore = createMailStore({
      clock,
      missing: (store, address) =>
        findUser(address) ? addFaultMailbox(store, address, clock.now(), applications) : undefined,
    });
    addSampleMail(mailStore, clock.now(), applications);
    const servers = await startMailServers({
      tokens: checkToken,
      mail: mailStore,
      tls: certificates,
      ports: options.ports ?? {},
      clock,
      wall,
      faults,
      ledger,
      log,
    });
    closers.push(() => servers.close());
    const graphServer = await startGraph({
      platform: authority.platform,
      mail: servers.site,
      tokens: createTokenCheck(keys.signing, clock, graph),
      certificates,
      wall,
      port: options.ports?.graph ?? 0,
    });
    closers.push(() => graphServer.close());
    const described = await describe(authority, keys, dir);
    const facts = (): Readonly<Record<string, unknown>> => ({
      authority: described.authority,
      graph: graphServer.origin,
      ca: caPath,
      tenant: servers.endpoints,
    });
    const { platform } = authority;
    const controlled = { platform, clock, faults, limits: ledger.limits, mailStore, log, facts };
    const control = await startControl(controlled, options.ports?.control ?? 0);
    closers.push(() => control.close());
    return {
      ...described,
      control: control.url,
      caPem: ca.certPem,
      caPath,
      serverCertificate: tls,
      checkToken,
      mail: servers.endpoints,
      mailStore,
      graph: graphServer.origin,
      clock,
      faults,
      limits: ledger.limits,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The authority of the folder, so that who trusts it does so after the next start too; without a folder a new one. */
async function authorityIn(dir: string | undefined): Promise<CertificateAuthority> {
  if (dir === undefined) return createAuthority(CA_NAME);
  const [certFile, keyFile] = [join(dir, 'ca.pem'), join(dir, 'ca.key')];
  const kept = { certPem: await textOf(certFile), keyPem: await textOf(keyFile) };
  if (isUsable(kept)) return kept;
  const made = await createAuthority(CA_NAME);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFile(keyFile, made.keyPem, { mode: 0o600 });
  await writeFile(certFile, made.certPem);
  return made;
}

const CA_NAME = 'Postern sandbox';

const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

function isUsable({ certPem, keyPem }: CertificateAuthority): boolean {
  try {
    return checkPair({ cert: certPem, key: keyPem }).until - Date.now() > MONTH_MS;
  } catch {
    // Missing, half written or of different pairs: a new one takes its place.
    return false;
  }
}

/** As long as the certificates that it issues. */
const MONTH_MS = 30 * 86_400_000;

async function openFolder(dir: string | undefined, closers: (() => Promise<void>)[]): Promise<string> {
  if (dir !== undefined) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    return dir;
  }
  const temporary = await mkdtemp(join(tmpdir(), 'postern-sandbox-'));
  closers.push(() => rm(temporary, { recursive: true, force: true }));
  return temporary;
}

async function describe(authority: AuthorityServer, keys: AuthorityKeys, dir: string) {
  const { platform, metadataOrigin } = authority;
  const base = `${platform.origin}/${TENANT_ID}`;
  return {
    authority: base,
    issuer: `${base}/v2.0`,
    tenantId: TENANT_ID,
    clients: await describeClients(platform, keys, dir),
    users,
    shared: SHARED_ADDRESS,
    metadataOrigin,
    approve: (authorizationUrl, user = users[0]!.address) => approve(platform, authorizationUrl, user),
    approveDevice: async (userCode, user = users[0]!.address) => decideUserCode(platform, userCode, user, true),
    declineDevice: async (userCode) => decideUserCode(platform, userCode, users[0]!.address, false),
    mintAssertion: () => mintAssertion(platform, keys.foreign),
    requests: platform.requests,
    setTokenLifetime: (seconds) => void (platform.options = { ...platform.options, tokenLifetime: seconds }),
    failNextToken: (failure) => void platform.failures.push(failure),
    revokeRefreshTokens: (user) => revokeSessions(platform, user),
    changePassword: (user) => changePassword(platform, user),
    addSecret: (client, days) => addSecret(platform, client, days),
    removeSecret: (client, keyId) => removeSecret(platform, client, keyId),
  } satisfies Partial<Sandbox>;
}
