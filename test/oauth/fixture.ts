/** A provider, a store and a vault for the tests of the oauth room. */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHmac, randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { nullLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { addApplication, type ClientCredential } from '../../src/oauth/application.ts';
import { connectMailbox } from '../../src/onboard/connect-mailbox.ts';
import type { ConnectRequest } from '../../src/onboard/connect-request.ts';
import type { OAuthEvent } from '../../src/oauth/events.ts';
import { openTokens, sealTokens } from '../../src/oauth/grant-tokens.ts';
import { openTokenSource, type TokenSourceDeps } from '../../src/oauth/token-source.ts';
import { openStore } from '../../src/store/open.ts';
import type { Application, Grant, Mailbox, Store } from '../../src/store/types.ts';
import type { Vault } from '../../src/vault/types.ts';
import { type AuthorizationServer, startAuthorizationServer } from '../bed/authorization-server.ts';

x509.cryptoProvider.set(webcrypto);
const SIGNING = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2048,
};

export interface TestCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

/** Self-signed, for `localhost`: its own CA, and good as a client certificate. RSA, as Microsoft wants for assertions. */
export async function selfSigned(name = 'localhost'): Promise<TestCertificate> {
  const keys = await webcrypto.subtle.generateKey(SIGNING, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(8).toString('hex'),
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    certPem: certificate.toString('pem'),
    keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
  };
}

export interface Bed {
  readonly server: AuthorizationServer;
  readonly certificate: TestCertificate;
  readonly store: Store;
  readonly vault: Vault;
  readonly events: OAuthEvent[];
  application(options?: {
    name?: string;
    provider?: string;
    clientId?: string;
    credential?: ClientCredential;
    settings?: Record<string, unknown>;
  }): Promise<Application>;
  connect(
    request: Partial<ConnectRequest> & { application: Application },
    as?: string,
  ): Promise<{ grant: Grant; mailbox: Mailbox }>;
  source(options?: Partial<TokenSourceDeps>): ReturnType<typeof openTokenSource>;
  /** Makes the stored access token look as if it ended so long from now. */
  expire(grantId: string, leftMs?: number): Promise<void>;
  /** Every lease that is held now has run out, as after a minute in which its holder was dead. */
  endLeases(): void;
  close(): Promise<void>;
}

export async function openBed(clock: Clock = systemClock): Promise<Bed> {
  const certificate = await selfSigned();
  const server = await startAuthorizationServer({
    tls: { cert: certificate.certPem, key: certificate.keyPem },
    caPem: certificate.certPem,
    clientCertificatePem: certificate.certPem,
  });
  // Leases go by the store's clock, so that a test can end them without ending tokens.
  let ahead = 0;
  const storeClock: Clock = {
    now: () => clock.now() + ahead,
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after: (ms, callback) => clock.after(ms, callback),
  };
  const store = await openStore('sqlite::memory:', { clock: storeClock });
  const vault = plainVault();
  const events: OAuthEvent[] = [];
  const emit = (event: OAuthEvent): void => void events.push(event);
  const sources: ReturnType<typeof openTokenSource>[] = [];
  return {
    server,
    certificate,
    store,
    vault,
    events,
    application: (options = {}) =>
      addApplication(
        { store, vault },
        {
          name: options.name ?? `app-${randomBytes(4).toString('hex')}`,
          provider: options.provider ?? 'microsoft',
          clientId: options.clientId ?? server.clients.public.id,
          ...(options.credential ? { credential: options.credential } : {}),
          settings: withoutUndefined({ authority: server.authority, ca: certificate.certPem, ...options.settings }),
        },
      ),
    connect: (request, as) =>
      connectMailbox(
        { store, vault, clock, log: nullLog, emit },
        {
          address: 'alice@contoso.test',
          protocols: ['imap'],
          flow: 'authorization-code',
          redirect: {
            uri: 'http://localhost/',
            wait: (url) => server.approve(url, as),
            close: () => Promise.resolve(),
          },
          ...request,
        },
      ),
    source: (options = {}) => {
      const source = openTokenSource({ store, vault, clock, log: nullLog, emit, ...options });
      sources.push(source);
      return source;
    },
    async expire(grantId, leftMs = -1000) {
      const row = (await store.grants.find(grantId))!;
      const tokens = (await openTokens(vault, row))!;
      const aged = { ...tokens, obtainedAt: Date.now() - 3_600_000, expiresAt: Date.now() + leftMs };
      const sealed = await sealTokens(vault, grantId, aged);
      assert.equal(await store.grants.update(grantId, row.generation, { tokens: sealed }), 'written');
    },
    endLeases: () => void (ahead += 60_000),
    close: async () => {
      await Promise.all(sources.map((source) => source.close()));
      await server.close();
      await store.close();
    },
  };
}

const withoutUndefined = (settings: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));

export const secretOf = (text: string): Secret => new Secret(text);

/** AES-GCM under a fixed key: only so that these tests see what is sealed and for which record. */
export function plainVault(key = Buffer.alloc(32, 7)): Vault {
  return {
    seal: (record, plain) => {
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(record));
      const text = Buffer.concat([cipher.update(plain.reveal(), 'utf8'), cipher.final()]);
      return Promise.resolve(new Uint8Array(Buffer.concat([iv, cipher.getAuthTag(), text])));
    },
    open: (record, sealed) => {
      const data = Buffer.from(sealed);
      const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, 12)).setAAD(Buffer.from(record));
      decipher.setAuthTag(data.subarray(12, 28));
      return Promise.resolve(
        new Secret(Buffer.concat([decipher.update(data.subarray(28)), decipher.final()]).toString()),
      );
    },
    newDataKey: () => Promise.reject(new Error('no test of this room has records in parts')),
    openDataKey: () => Promise.reject(new Error('no test of this room has records in parts')),
    derive: (purpose) => Promise.resolve(new Uint8Array(createHmac('sha256', key).update(purpose).digest())),
  };
}
