/** The outbox, composed: who hands mail over by SMTP, and to whom nothing is sent. */
import type { Submission } from '../gateway/submission.ts';
import { serveSubmission } from '../outbox/submission.ts';
import { receiveExtensions } from '../protocol/smtp/receive.ts';
import type { AppPassword, Mailbox, Store } from '../store/types.ts';
import type { Suppression } from '../store/types-api.ts';
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
  return (appPassword?.outgoing ?? mailbox.settings['outgoing']) === 'outbox';
}

async function outboxUse(store: Store): Promise<'nobody' | 'some' | 'everybody'> {
  const mailboxes = (await store.mailboxes.list()).filter(({ protocols }) => protocols.includes('smtp'));
  const passwords = await store.appPasswords.list();
  const boxes = mailboxes.filter((mailbox) => goesToOutbox(mailbox)).length;
  if (boxes === mailboxes.length && boxes > 0 && !passwords.some(({ outgoing }) => outgoing === 'direct'))
    return 'everybody';
  return boxes > 0 || passwords.some(({ outgoing }) => outgoing === 'outbox') ? 'some' : 'nobody';
}

const WORDS: Readonly<Record<Suppression['reason'], string>> = {
  bounce: 'earlier mail to it came back',
  complaint: 'its owner complained about earlier mail',
  unsubscribe: 'its owner asked for no more mail',
  manual: 'it was blocked here',
};

/** Which of these addresses nothing may be sent to, from this mailbox or at all, with the reason. */
export type Suppressed = (addresses: readonly string[], mailbox?: string) => Promise<ReadonlyMap<string, string>>;

/**
 * Asked for every recipient of every message, where most installations suppress nobody: that the list is empty is remembered
 * until word comes of a change, from another process within two seconds.
 */
export function openSuppressed(store: Pick<Store, 'suppressions' | 'watch'>): Suppressed {
  let isEmpty: boolean | undefined;
  let generation: number | undefined;
  const isNobody = async (): Promise<boolean> => {
    if (generation === undefined) {
      generation = 0;
      store.watch('suppressions', () => {
        generation! += 1;
        isEmpty = undefined;
      });
    }
    if (isEmpty !== undefined) return isEmpty;
    const before = generation;
    const read = (await store.suppressions.list({ limit: 1 })).length === 0;
    // Read before word of a change came, it may be out of date: not remembered, and not relied on.
    if (before === generation) isEmpty = read;
    return isEmpty === true;
  };
  return async (addresses, mailbox = '*') => {
    if (await isNobody()) return NOBODY;
    const found = await store.suppressions.match(mailbox, addresses);
    return new Map(
      found.map(({ address, reason, note }) => [address, note ? `${WORDS[reason]} (${note})` : WORDS[reason]]),
    );
  };
}

const NOBODY: ReadonlyMap<string, string> = new Map();
