/** The sandbox tenant and a gateway in this process, on one clock that moves: hours pass for both in a moment. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startDemonstration } from '../../src/cli/demonstration.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { certificateFiles } from '../../src/server/certificate.ts';
import { GivenCertificate, readCertificate } from '../../src/server/certificate-in-use.ts';
import { type Config, readConfig } from '../../src/server/config.ts';
import { composeGateway } from '../../src/server/gateway.ts';
import { homeOf } from '../../src/server/home.ts';
import { openInstance } from '../../src/server/instance.ts';
import { openLog } from '../../src/server/log.ts';
import { openMetrics } from '../../src/server/metrics.ts';
import type { AuditType } from '../../src/audit/types.ts';
import type { AuditRecord } from '../../src/store/types.ts';
import { privateFolder } from './process.ts';

export interface TenantGateway {
  readonly sandbox: Sandbox;
  readonly imap: { readonly host: string; readonly port: number };
  readonly pop3: { readonly host: string; readonly port: number };
  readonly user: string;
  readonly password: string;
  /** Lets time pass for tenant and gateway, in steps of half a minute where `gently`, so that what is due can be done. */
  pass(ms: number, gently?: boolean): Promise<void>;
  /** Audit records of this type so far. */
  count(type: AuditType): Promise<number>;
  /** The last of them. */
  latest(type: AuditType): Promise<AuditRecord>;
  stop(): Promise<void>;
}

const STEP_MS = 30_000;
/** Real milliseconds a step gets: a sign-in over TLS takes some fifty. */
const STEP_TAKES_MS = 40;

export async function startTenantGateway(): Promise<TenantGateway> {
  const folder = privateFolder();
  const sandbox = await startSandbox({ dir: join(folder.path, 'tenant') });
  const log = openLog({ level: 'warn', format: 'json' });
  const home = join(folder.path, 'home');
  try {
    // Furnishes the home; its own gateway keeps the time of the wall and is not needed.
    const demonstration = await startDemonstration(sandbox, { freePorts: true, home, log });
    const password = demonstration.password.reveal();
    await demonstration.stop();
    const base = readConfig(homeOf({}, home), {});
    const config: Config = {
      ...base,
      tls: { certificate: join(home, 'gateway.pem'), key: join(home, 'gateway.key') },
      // Programs sign in and poll in real seconds while hours pass.
      limits: { ...base.limits, drainMs: 1000 },
    };
    const { clock } = sandbox;
    const instance = await openInstance({ config, log, clock });
    const certificate = new GivenCertificate(readCertificate(await certificateFiles(config, clock)));
    const listeners = (['imap', 'pop3'] as const).map(
      (protocol) => ({ protocol, tls: 'none', host: '127.0.0.1', port: 0 }) as const,
    );
    const composed = await composeGateway(instance, listeners, certificate, openMetrics('test'));
    const [imap, pop3] = composed.gateway.addresses.map(({ port }) => ({ host: '127.0.0.1', port }));
    return {
      sandbox,
      imap: imap!,
      pop3: pop3!,
      user: sandbox.users[0]!.address,
      password,
      async pass(ms, gently = false) {
        if (!gently) return clock.advance(ms);
        for (let left = ms; left > 0; left -= STEP_MS) {
          await clock.advance(Math.min(left, STEP_MS));
          await delay(STEP_TAKES_MS);
        }
      },
      async count(type) {
        await instance.audit.flush();
        return (await instance.store.audit.latest({ type, limit: 10_000 })).length;
      },
      async latest(type) {
        await instance.audit.flush();
        return (await instance.store.audit.latest({ type, limit: 1 }))[0]!;
      },
      async stop() {
        await Promise.all([composed.drain(), clock.advance(10_000)]);
        await instance.close();
        await sandbox.close();
        log.flush();
        folder.remove();
      },
    };
  } catch (error) {
    await sandbox.close();
    folder.remove();
    throw error;
  }
}
