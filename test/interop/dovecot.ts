/** The exercise against Dovecot and Postfix with tokens from oidc-provider. */
import { after, before } from 'node:test';
import { startInstallation } from '../bed/installation.ts';
import { type MailSite, startMailSite, type Validation } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import type { Security } from './client.ts';
import { exercise } from './exercise.ts';

export function exerciseDovecot(validation: Validation, large: readonly Security[]): void {
  const skip = without('dovecot-imapd', 'dovecot-pop3d', 'dovecot-lmtpd', 'postfix');
  let site: MailSite;
  let installation: Awaited<ReturnType<typeof startInstallation>>;
  before(async () => {
    if (skip) return;
    site = await startMailSite(validation);
    installation = await startInstallation(site, { byCommand: true });
  });
  after(async () => {
    await installation?.stop();
    await site?.stop();
  });
  exercise(
    () => ({
      door: installation.serving.door,
      clear: (address) => Promise.resolve(site.dovecot.clear(address)),
      put: (address, message) => Promise.resolve(site.dovecot.deliver(address, message)),
      messages: (address, folder) => Promise.resolve(site.dovecot.messages(address, folder)),
      log: () => `${installation.serving.output().slice(-3000)}\n${site.log()}`,
    }),
    skip,
    large,
  );
}
