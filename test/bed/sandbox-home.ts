/** A home whose provider is a sandbox in this process, with one mailbox and one app password; any `serve` may be started on it. */
import type { Sandbox } from '../../src/sandbox/index.ts';
import { createHome, type Home, type HomeOptions } from './installation.ts';
import { ALICE } from './mail-site.ts';

export function sandboxHome(sandbox: Sandbox, options: HomeOptions = {}): Promise<Home> {
  const { imap, pop3, smtp } = sandbox.mail;
  const ca = sandbox.caPem;
  const settings = {
    authority: sandbox.authority,
    ca,
    imap: { ...imap, ca },
    pop3: { ...pop3, ca },
    smtp: { ...smtp, ca },
    sendingLimits: { messagesPerMinute: 100_000, recipientsPerDay: 1_000_000 },
  };
  return createHome(
    {
      application: { provider: 'microsoft', clientId: sandbox.clients.public.id, settings },
      authority: { approve: (url: string) => sandbox.approve(url, ALICE) },
    },
    options,
  );
}
