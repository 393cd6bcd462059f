/** An opened installation in front of the sandbox's tenant, in this process, with time as the test likes. */
import { join } from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import type { Log } from '../../src/base/log.ts';
import { addApplication, type NewApplication } from '../../src/oauth/application.ts';
import { connectMailbox } from '../../src/onboard/connect-mailbox.ts';
import type { OAuthEvent } from '../../src/oauth/events.ts';
import type { Sandbox } from '../../src/sandbox/index.ts';
import { type Config, readConfig } from '../../src/server/config.ts';
import { homeOf } from '../../src/server/home.ts';
import { ensureKey, type Instance, openInstance } from '../../src/server/instance.ts';
import { type Application, type Flow, type Mailbox } from '../../src/store/types.ts';
import { PROTOCOLS } from '../../src/store/protocols.ts';
import { privateFolder } from './process.ts';

export interface TenantHome {
  readonly instance: Instance;
  readonly folder: string;
  readonly events: readonly OAuthEvent[];
  /** The sandbox's public client, unless told otherwise. */
  application(change?: Partial<NewApplication>): Promise<Application>;
  connect(
    application: Application,
    options: { readonly address: string; readonly flow?: Flow; readonly as?: string },
  ): Promise<Mailbox>;
  close(): Promise<void>;
}

export async function openTenantHome(
  sandbox: Sandbox,
  options: { readonly clock?: Clock; readonly log?: Log; readonly config?: Partial<Config> } = {},
): Promise<TenantHome> {
  const folder = privateFolder();
  const config = { ...readConfig(homeOf({}, join(folder.path, 'home')), {}), ...options.config };
  await ensureKey(config);
  const events: OAuthEvent[] = [];
  const instance = await openInstance({
    config,
    ...(options.clock ? { clock: options.clock } : {}),
    ...(options.log ? { log: options.log } : {}),
    onEvent: (event) => events.push(event),
  });
  const server = (protocol: 'imap' | 'pop3' | 'smtp') => ({ ...sandbox.mail[protocol], ca: sandbox.caPem });
  let applications = 0;
  return {
    instance,
    folder: folder.path,
    events,
    application: (change = {}) =>
      addApplication(instance, {
        name: `app${(applications += 1)}`,
        provider: 'microsoft',
        clientId: sandbox.clients.public.id,
        tenant: sandbox.tenantId,
        ...change,
        settings: {
          authority: sandbox.authority,
          ca: sandbox.caPem,
          imap: server('imap'),
          pop3: server('pop3'),
          smtp: server('smtp'),
        },
      }),
    async connect(application, { address, flow = 'authorization-code', as = address }) {
      const { mailbox } = await connectMailbox(instance, {
        application,
        address,
        protocols: PROTOCOLS,
        flow,
        redirect: {
          uri: 'http://localhost/',
          wait: (url) => sandbox.approve(url, as),
          close: () => Promise.resolve(),
        },
      });
      return mailbox;
    },
    async close() {
      await instance.close();
      folder.remove();
    },
  };
}
