/** What a mailbox has sent a moment ago, and whether its provider keeps a copy of it in Sent by itself. */
import type { OwnCopy, SentCopies } from '../gateway/continuity/sent-copy.ts';
import { presetById } from '../oauth/providers.ts';
import type { Application, Mailbox } from '../store/types.ts';
import type { OutboxMessage } from '../store/types-outbox.ts';
import type { Instance } from './instance.ts';

/** A program stores its copy right after it has sent the message. */
const RECENT_MS = 15 * 60_000;
/** What programs and the outbox add to a header, and what dots of SMTP add to a text. A text that differs by more is another one. */
const MAX_DIFFERENCE = 4096;
/** A mailbox that relays more in that time has the oldest copies stored twice. */
const MAX_RELAYED = 200;
const MAX_ALIKE = 10;
const MAX_EVENTS = 100;
/** Ways out by which the provider that keeps the mailbox sends. */
const KEEPING: ReadonlySet<unknown> = new Set(['smtp', 'graph']);

export function sentCopiesOf(instance: Instance): SentCopies {
  const { audit, clock, store } = instance;
  return {
    async keeps(mailbox, copy) {
      const { access, address } = mailbox;
      // Of a shared mailbox the provider may keep the copy in the mailbox of whoever sent it.
      if (access === 'shared' || !(await keepsSent(instance, mailbox))) return 'no';
      const since = clock.now() - RECENT_MS;
      const [last] = (
        await store.outbox.list({ mailbox: address, messageId: copy.messageId, since }, { limit: MAX_ALIKE })
      ).filter(({ size }) => isAlike(size, copy));
      if (last !== undefined) return stateOf(instance, last);
      await audit.flush();
      const relayed = await store.audit.latest({
        type: 'message.relayed',
        mailbox: address,
        since,
        limit: MAX_RELAYED,
      });
      const found = relayed.some(
        ({ outcome, data }) =>
          outcome === 'ok' && data['messageId'] === copy.messageId && isAlike(Number(data['octets']), copy),
      );
      return found ? 'yes' : 'no';
    },
  };
}

/** Whether the provider of a mailbox keeps a copy of what is submitted. */
export async function keepsSent(instance: Instance, mailbox: Mailbox): Promise<boolean> {
  const application = await applicationOf(instance, mailbox);
  return application?.settings.savesSent ?? presetById(application?.provider ?? '')?.savesSent === true;
}

export async function applicationOf(
  { store }: Pick<Instance, 'store'>,
  mailbox: Mailbox,
): Promise<Application | undefined> {
  const grant = await store.grants.find(mailbox.grantId);
  return grant && store.applications.find(grant.applicationId);
}

async function stateOf({ clock, store }: Instance, { id, state }: OutboxMessage): Promise<'yes' | 'not-yet' | 'no'> {
  if (state.type === 'sending') return 'not-yet';
  if (state.type === 'queued') return state.nextAt <= clock.now() ? 'not-yet' : 'no';
  if (state.type !== 'sent') return 'no';
  // Another server that took it, for all or for some of the recipients, keeps nothing.
  const tries = await store.outbox.events({ messageId: id, types: ['attempted'], limit: MAX_EVENTS });
  return tries.length > 0 && tries.every(({ data }) => KEEPING.has(data['route'])) ? 'yes' : 'no';
}

function isAlike(octets: number, copy: OwnCopy): boolean {
  return Math.abs(octets - copy.octets) <= MAX_DIFFERENCE;
}
