/** A gateway in front of a mail site: mailboxes consented, an app password made, every listener open. */
import { systemClock } from '../../src/base/clock.ts';
import { nullLog } from '../../src/base/log.ts';
import { startGateway } from '../../src/gateway/start.ts';
import type { ListenerConfig } from '../../src/gateway/types.ts';
import { addApplication } from '../../src/oauth/application.ts';
import { connectMailbox } from '../../src/oauth/connect-mailbox.ts';
import { openTokenSource } from '../../src/oauth/token-source.ts';
import { PROTOCOLS } from '../../src/store/types.ts';
import type { Door } from '../interop/client.ts';
import { memoryStore, plainVault } from '../oauth/fixture.ts';
import { ALICE, type MailSite } from './mail-site.ts';
import { FakeAudit, FakeSignIn, PASSWORD } from './gateway.ts';

export interface Installation {
  readonly door: Door;
  output(): string;
  stop(): Promise<void>;
}

export async function startInstallation(site: MailSite): Promise<Installation> {
  const clock = systemClock;
  const store = memoryStore(clock);
  const vault = plainVault();
  const lines: string[] = [];
  const line = (level: string) => (fields: object, message: string): void =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const log = { ...nullLog, info: line('info'), warn: line('warn'), error: line('error'), debug: line('debug'), child: () => log };
  const application = await addApplication({ store, vault }, { name: 'work', ...site.application });
  await connectMailbox(
    { store, vault, clock, log },
    {
      application,
      address: ALICE,
      protocols: PROTOCOLS,
      flow: 'authorization-code',
      redirect: { uri: 'http://localhost/', wait: (url) => site.authority.approve(url), close: () => Promise.resolve() },
    },
  );
  const tokens = openTokenSource({ store, vault, clock, log, emit: () => undefined });
  const listeners: ListenerConfig[] = PROTOCOLS.flatMap((protocol) => [
    { protocol, tls: 'none', host: '127.0.0.1', port: 0 },
    { protocol, tls: 'implicit', host: '127.0.0.1', port: 0 },
  ]);
  const gateway = await startGateway(listeners, {}, {
    signIn: new FakeSignIn(),
    tokens,
    audit: new FakeAudit(),
    log,
    clock,
    meter: { connectionOpened() {}, connectionClosed() {}, signIn() {}, sessionEnded() {}, refusedByLimit() {} },
    certificate: {
      read: () => ({ cert: site.certificates.certPem, key: site.certificates.keyPem }),
      onChange: () => ({ stop() {} }),
    },
  });
  const at = (index: number) => ({ host: 'localhost', port: gateway.addresses[index]!.port });
  return {
    door: { imap: at(0), imaps: at(1), pop3: at(2), pop3s: at(3), smtp: at(4), smtps: at(5), caPath: site.certificates.caPath, user: ALICE, password: PASSWORD },
    output: () => lines.splice(0).slice(-40).join('\n'),
    async stop() {
      await gateway.drain();
      await tokens.close();
    },
  };
}
