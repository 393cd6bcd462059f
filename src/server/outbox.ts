/** The outbox, composed: who hands mail over by SMTP. */
import type { Submission } from '../gateway/submission.ts';
import { serveSubmission } from '../outbox/submission.ts';
import { receiveExtensions } from '../protocol/smtp/receive.ts';
import type { Mailbox, Store } from '../store/types.ts';
import type { AppPassword } from '../store/types-access.ts';
import type { Instance } from './instance.ts';

/** How long the answer to "does anybody use the outbox" counts; a new mailbox is noticed as soon as that. */
const FRESH_MS = 10_000;

/** What the gateway needs to hand programs' mail to the outbox. */
export function submissionOf(instance: Instance): Submission {
  const { clock, log, outbox, store } = instance;
  let known: { readonly until: number; readonly use: Promise<'nobody' | 'some' | 'everybody'> } | undefined;
  const use = (): Promise<'nobody' | 'some' | 'everybody'> => {
    if (known === undefined || clock.now() >= known.until)
      known = { until: clock.now() + FRESH_MS, use: outboxUse(store) };
    return known.use;
  };
  return {
    takes: goesToOutbox,
    async extensions() {
      const who = await use();
      if (who === 'nobody') return undefined;
      return { lines: receiveExtensions(outbox.maxOctets), exclusive: who === 'everybody' };
    },
    serve: (conn, { appPassword, ...session }, signal) =>
      serveSubmission({ outbox, log }, conn, { ...session, principal: appPassword.id, source: 'smtp' }, signal),
  };
}

/** An app password's own choice counts more than its mailbox's. */
export function goesToOutbox(mailbox: Pick<Mailbox, 'settings'>, appPassword?: Pick<AppPassword, 'outgoing'>): boolean {
  return (appPassword?.outgoing ?? mailbox.settings.outgoing) === 'outbox';
}

async function outboxUse(store: Store): Promise<'nobody' | 'some' | 'everybody'> {
  const mailboxes = (await store.mailboxes.list()).filter(({ protocols }) => protocols.includes('smtp'));
  const passwords = await store.appPasswords.list();
  const boxes = mailboxes.filter((mailbox) => goesToOutbox(mailbox)).length;
  if (boxes === mailboxes.length && boxes > 0 && !passwords.some(({ outgoing }) => outgoing === 'direct'))
    return 'everybody';
  return boxes > 0 || passwords.some(({ outgoing }) => outgoing === 'outbox') ? 'some' : 'nobody';
}
