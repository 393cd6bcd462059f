/** What is written down of a message that is taken, and of who gets it. */
import { newId } from '../store/id.ts';
import type { OutboxMessage, Recipient } from '../store/types-outbox.ts';
import { needsUtf8 } from './address.ts';
import type { Arrival } from './arrival.ts';
import type { OutgoingRecipient } from '../protocol/smtp/send.ts';
import type { AcceptRequest } from './types.ts';

/** RFC 5321 §4.5.4.1: four to five days; people want to know sooner. */
export const DEADLINE_MS = 2 * 86_400_000;

export function messageOf(
  request: AcceptRequest,
  arrival: Arrival,
  now: number,
): Omit<OutboxMessage, 'seq' | 'attempts' | 'fence' | 'finishedAt'> {
  const { envelope, lane = 'normal', mailbox, notBefore, principal, source } = request;
  const nextAt = Math.max(now, notBefore ?? now);
  const { ret, envid } = envelope;
  const addresses = [envelope.from, ...envelope.recipients.map(({ address }) => address)];
  return {
    id: newId('msg', now),
    mailbox: mailbox.address,
    source,
    principal,
    ...(request.remoteAddress === undefined ? {} : { remoteAddress: request.remoteAddress }),
    envelopeFrom: envelope.from,
    recipients: envelope.recipients.map(pending),
    messageId: arrival.header.messageId,
    size: arrival.size,
    lane,
    dsn: { ...(ret === undefined ? {} : { ret }), ...(envid === undefined ? {} : { envid }) },
    smtputf8: envelope.smtputf8 === true || arrival.header.eightBit || addresses.some(needsUtf8),
    eightBit: arrival.eightBit,
    deadline: request.deadline ?? nextAt + DEADLINE_MS,
    state: { type: 'queued', nextAt },
    ...(nextAt > now ? { notBefore: nextAt } : {}),
    bodyId: arrival.bodyId,
    key: arrival.sealed,
    chunks: arrival.chunks,
    createdAt: now,
  };
}

export function pending({ address, notify, orcpt }: OutgoingRecipient): Recipient {
  return {
    address,
    state: 'pending',
    ...(notify === undefined ? {} : { notify }),
    ...(orcpt === undefined ? {} : { orcpt }),
  };
}

/** What is not known of an address stays so when a message is changed. */
export function doubtOf({ recipients }: OutboxMessage, address: string): Pick<Recipient, 'mayHaveArrived'> {
  const mayHaveArrived = recipients.find((one) => one.address === address)?.mayHaveArrived;
  return mayHaveArrived === undefined ? {} : { mayHaveArrived };
}

/** What, besides the octets, makes two submissions the same message. */
export function fingerprintOf({ envelope, mailbox, notBefore }: AcceptRequest): string {
  const recipients = envelope.recipients.map(({ address }) => address).toSorted();
  return JSON.stringify([mailbox.address, envelope.from, recipients, notBefore ?? null]);
}

export function factsOf(
  { source, remoteAddress }: AcceptRequest,
  message: Pick<OutboxMessage, 'size' | 'messageId' | 'state' | 'recipients'>,
) {
  const { messageId, recipients, size, state } = message;
  const due = state.type === 'queued' ? { notBefore: new Date(state.nextAt).toISOString() } : {};
  const from = remoteAddress === undefined ? {} : { remoteAddress };
  return { source, ...from, size, messageId, recipients: recipients.length, ...due };
}
