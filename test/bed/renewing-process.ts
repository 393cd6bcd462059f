/**
 * One process with the duty of renewal on a home that others share, told by its parent when to start and when to stop; and the
 * home itself, furnished with any number of grants at a token endpoint that counts.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { Secret } from '../../src/base/secret.ts';
import { addApplication } from '../../src/oauth/application.ts';
import { sealTokens } from '../../src/oauth/grant-tokens.ts';
import { createAuthority, issueCertificate } from '../../src/protocol/tls/local-ca.ts';
import { type Config, readConfig } from '../../src/server/config.ts';
import { homeOf } from '../../src/server/home.ts';
import { ensureKey, openInstance } from '../../src/server/instance.ts';
import { startRenewal } from '../../src/server/renewal.ts';
import { newId } from '../../src/store/id.ts';
import { portOf } from './port.ts';

export interface TokenEndpoint {
  readonly issuer: string;
  readonly caPem: string;
  /** Renewals by grant, as the provider saw them. */
  readonly renewals: Map<string, number>;
  close(): void;
}

/** Answers every refresh with a token of an hour; the refresh token names its grant. */
export async function startTokenEndpoint(): Promise<TokenEndpoint> {
  const ca = await createAuthority('Renewal bed');
  const { certPem, keyPem } = await issueCertificate(ca, { names: ['localhost'], days: 2 });
  const renewals = new Map<string, number>();
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    let text = '';
    request.on('data', (piece: Buffer) => void (text += piece.toString()));
    request.on('end', () => {
      const grant = new URLSearchParams(text).get('refresh_token') ?? '';
      renewals.set(grant, (renewals.get(grant) ?? 0) + 1);
      const body = { access_token: 'x'.repeat(1500), refresh_token: grant, token_type: 'Bearer', expires_in: 3600 };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise<void>((resolve) => server.once('listening', () => resolve()));
  return {
    issuer: `https://localhost:${portOf(server)}`,
    caPem: ca.certPem,
    renewals,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function configOf(home: string, rate: number): Config {
  const config = readConfig(homeOf({}, home), {});
  return { ...config, renewal: { concurrency: 8, rate } };
}

/** A home with `count` grants whose tokens of an hour have all ended. */
export async function furnishHome(folder: string, endpoint: TokenEndpoint, count: number): Promise<string> {
  const home = join(folder, 'home');
  const config = configOf(home, 1);
  await ensureKey(config);
  const instance = await openInstance({ config });
  const application = await addApplication(instance, {
    name: 'many',
    provider: 'microsoft',
    clientId: 'client',
    tenant: '11111111-2222-4333-8444-555555555555',
    settings: { authority: `${endpoint.issuer}/11111111-2222-4333-8444-555555555555`, ca: endpoint.caPem },
  });
  const obtainedAt = Date.now() - 3_600_000;
  const expiresAt = Date.now() - 1;
  for (let n = 0; n < count; n++) {
    const id = newId('grant');
    const tokens = {
      accessToken: new Secret('y'.repeat(1500)),
      refreshToken: new Secret(id),
      obtainedAt,
      expiresAt,
      scopes: [],
    };
    await instance.store.grants.insert({
      id,
      applicationId: application.id,
      flow: 'authorization-code',
      identity: `${n}@contoso.test`,
      subject: undefined,
      scopes: [],
      state: { type: 'active', since: obtainedAt, accessExpiresAt: expiresAt },
      tokens: await sealTokens(instance.vault, id, tokens),
      generation: 1,
      createdAt: obtainedAt,
      renewAt: obtainedAt + 45 * 60_000,
      renewal: { consentedAt: obtainedAt, renewedAt: obtainedAt },
    });
    await instance.store.mailboxes.insert({
      address: `${n}@contoso.test`,
      grantId: id,
      access: 'own',
      protocols: ['imap'],
      settings: {},
      createdAt: obtainedAt,
    });
  }
  await instance.close();
  return home;
}

export interface RenewingProcess {
  readonly child: ChildProcess;
  /** Seconds of CPU so far. */
  cpu(): Promise<number>;
  stop(): Promise<void>;
}

export async function startRenewingProcess(home: string, rate: number): Promise<RenewingProcess> {
  const child = fork(fileURLToPath(import.meta.url), [home, String(rate)], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const answer = (): Promise<unknown> => new Promise((resolve) => child.once('message', resolve));
  await answer();
  return {
    child,
    async cpu() {
      child.send('cpu');
      return (await answer()) as number;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.send('stop');
      await gone;
    },
  };
}

async function run(home: string, rate: number): Promise<void> {
  const instance = await openInstance({ config: configOf(home, rate) });
  const renewal = startRenewal(instance, { registry: new Registry(), channels: [] });
  process.on('message', (message) => {
    if (message === 'cpu') {
      const { user, system } = process.cpuUsage();
      process.send?.((user + system) / 1e6);
      return;
    }
    void renewal
      .stop()
      .then(() => instance.close())
      .then(() => process.disconnect());
  });
  process.send?.('ready');
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.send)
  await run(process.argv[2]!, Number(process.argv[3]));
