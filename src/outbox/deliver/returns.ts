/** Looks for reports and complaints in the inboxes of mailboxes that send, and ties them to the messages they are about. */
import { foldCase } from '../../base/case.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { ImapSession } from '../../protocol/imap/session.ts';
import { fetch, headerFields, wholeMessage } from '../../protocol/imap/verb/fetch.ts';
import { uidSearch } from '../../protocol/imap/verb/search.ts';
import { select } from '../../protocol/imap/verb/select.ts';
import { fieldOf, parseMessage } from '../../protocol/mime/part.ts';
import type { Mailbox, Store } from '../../store/types.ts';
import type { NewMessageEvent, OutboxMessage } from '../../store/types-outbox.ts';
import { inLedger } from '../../store/ledger.ts';
import type { DeliveryMarks } from './proof.ts';
import { readReturned, type Returned, type ReturnedRecipient } from './returned.ts';
import type { SignInAt } from '../../upstream/upstream.ts';
import { timeLimit } from '../../protocol/wire/time-limit.ts';

export interface ReturnsDeps {
  readonly store: Store;
  readonly signIn: SignInAt;
  /** Knows the envelope ids that we gave. */
  readonly marks: DeliveryMarks;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Returns {
  /** Looks into every mailbox that sent lately, now. */
  look(): Promise<void>;
  close(): Promise<void>;
}

const LOOK_MS = 5 * 60_000;
/** Servers try for days before they give up (RFC 5321 §4.5.4.1). */
const SENT_LATELY_MS = 7 * 86_400_000;
/** New messages that are looked at in one go, the newest. */
const MAX_NEW = 500;
/** The fields come first; what follows is the original. */
const READ_OCTETS = 256 * 1024;
const MAILBOX_MS = 60_000;
/** Addresses that do not exist: 5.1.x but for the sender's own (RFC 3463 §3.2; 5.1.7, 5.1.8). */
const NO_SUCH_ADDRESS = /^5\.1\.(?!7$|8$)\d+$/;

export function watchReturns(deps: ReturnsDeps): Returns {
  const { clock, log, store } = deps;
  const stop = new AbortController();
  let looking: Promise<void> | undefined;
  const round = async (): Promise<void> => {
    for (const mailbox of await store.mailboxes.list()) {
      if (stop.signal.aborted) return;
      if (!mailbox.protocols.includes('imap') || !(await hasSentLately(deps, mailbox))) continue;
      try {
        using limit = timeLimit(`the IMAP server of ${mailbox.address}`, MAILBOX_MS, stop.signal);
        await lookInto(deps, mailbox, limit.signal);
      } catch (error) {
        // Nothing is forgotten: the next look begins where this one did.
        const facts = { mailbox: mailbox.address, code: asError(error).code, error: asError(error).message };
        log.debug(facts, 'an inbox could not be looked into for reports');
      }
    }
  };
  const look = (): Promise<void> =>
    (looking ??= round()
      .catch((error: unknown) => log.warn({ code: asError(error).code }, 'reports could not be looked for'))
      .finally(() => (looking = undefined)));
  const arm = (): Timer =>
    clock.after(LOOK_MS, () => {
      timer = arm();
      void look();
    });
  let timer = arm();
  return {
    look,
    async close() {
      timer.cancel();
      stop.abort(new Error('delivery is being stopped'));
      await looking;
    },
  };
}

async function hasSentLately({ clock, store }: ReturnsDeps, { address }: Mailbox): Promise<boolean> {
  const [last] = await store.outbox.list({ mailbox: address }, { limit: 1 });
  return last !== undefined && (last.finishedAt ?? clock.now()) > clock.now() - SENT_LATELY_MS;
}

/** How far an inbox was read: UIDs below `next` under `validity`. */
interface Mark {
  readonly validity: string;
  readonly next: number;
}

async function lookInto(deps: ReturnsDeps, mailbox: Mailbox, signal: AbortSignal): Promise<void> {
  const { clock, signIn, store } = deps;
  const name = `returned ${mailbox.address}`;
  const text = (await store.outbox.entry(name)) ?? 'null';
  const old = JSON.parse(text) as Mark | null;
  const { conn, endpoint } = await signIn(mailbox, 'imap', signal);
  const imap = new ImapSession(conn, endpoint);
  try {
    const opened = await select(imap, { verb: 'EXAMINE', mailbox: 'INBOX' }, { signal });
    if (opened.status !== 'OK' || opened.mailbox.uidValidity === undefined) return;
    const validity = String(opened.mailbox.uidValidity);
    const next = old?.validity === validity ? old.next : undefined;
    const key =
      next === undefined
        ? ({ type: 'internal', relation: 'since', day: clock.now() - SENT_LATELY_MS } as const)
        : ({ type: 'set', uid: true, set: [[next, '*']] } as const);
    const uids = ((await uidSearch(imap, key, { signal })) ?? [])
      .filter((uid) => next === undefined || uid >= next)
      .toSorted((a, b) => a - b)
      .slice(-MAX_NEW);
    for (const uid of await reportsAmong(imap, uids, signal)) {
      const raw = await messageOf(imap, uid, signal);
      const returned = raw && readReturned(raw);
      if (returned) await tie(deps, mailbox, returned);
    }
    const entry = JSON.stringify({ validity, next: uids.length === 0 ? (next ?? 1) : uids.at(-1)! + 1 });
    await inLedger(store.outbox, name, () => ({ entry, result: undefined }));
  } finally {
    imap.end();
  }
}

/** Those of the messages that are reports by their Content-Type, and are not ours. */
async function reportsAmong(imap: ImapSession, uids: readonly number[], signal: AbortSignal): Promise<number[]> {
  if (uids.length === 0) return [];
  const { messages } = await fetch(imap, uids.join(','), [{ type: 'UID' }, KIND], { uid: true, signal });
  return messages.flatMap((one) => {
    const header = parseMessage(one.section(KIND) ?? Buffer.alloc(0));
    const isReport = /^multipart\/(?:report|mixed)\b/i.test(fieldOf(header, 'content-type') ?? '');
    return one.uid !== undefined && isReport && fieldOf(header, 'x-postern-message') === undefined ? [one.uid] : [];
  });
}

async function messageOf(imap: ImapSession, uid: number, signal: AbortSignal): Promise<Buffer | undefined> {
  const { messages } = await fetch(imap, String(uid), [{ type: 'UID' }, BEGINNING], { uid: true, signal });
  return messages.map((one) => one.section(BEGINNING)).find(Boolean);
}

const KIND = headerFields('CONTENT-TYPE', 'X-POSTERN-MESSAGE');
const BEGINNING = wholeMessage(READ_OCTETS);

/** Writes down what a report says of a message of ours, once. */
async function tie({ clock, log, marks, store }: ReturnsDeps, mailbox: Mailbox, returned: Returned): Promise<void> {
  const tied = await messageAbout(store, marks, mailbox, returned);
  if (!tied) return;
  const { message, proven } = tied;
  const known = await store.outbox.events({
    messageId: message.id,
    types: ['bounced', 'complained', 'deferred'],
    limit: 1000,
  });
  if (returned.reportId !== undefined && known.some(({ data }) => data['report'] === returned.reportId)) return;
  const at = clock.now();
  const facts = { report: returned.reportId, reporter: returned.reporter, proven };
  const sentTo = addressesSentTo(message);
  const ours = returned.recipients.filter(({ address }) => sentTo.has(foldCase(address)));
  const events: NewMessageEvent[] = [];
  if (returned.type === 'complaint')
    events.push({ at, type: 'complained', data: { ...facts, feedback: returned.feedback, recipients: ours } });
  const failed = ours.filter(({ action }) => action === 'failed');
  if (failed.length > 0) events.push({ at, type: 'bounced', data: { ...facts, recipients: failed } });
  const delayed = ours.filter(({ action }) => action === 'delayed');
  if (delayed.length > 0)
    events.push({ at, type: 'deferred', data: { ...facts, by: 'receiver', recipients: delayed } });
  if (events.length === 0) return;
  const concerned = (returned.type === 'complaint' && returned.feedback !== 'not-spam' ? ours : failed).filter((one) =>
    isFinal(returned, one),
  );
  const domain = onlyDomain(message);
  for (const one of concerned) {
    if (proven && domainOf(one.address) === domain) await suppress(store, mailbox, one, returned, at);
    else
      log.info(
        { id: message.id, mailbox: mailbox.address, recipient: one.address },
        'a report that anybody could have written: the address is not suppressed; postern suppression add does it by hand',
      );
  }
  // The last thing: a report whose event is there is not looked at again.
  await store.outbox.note(message, events);
  for (const { type } of events) log.info({ id: message.id, mailbox: mailbox.address, type }, 'a message came back');
}

/** That an address does not exist; a full mailbox or a refused message is no reason never to write again. */
function isFinal({ type }: Returned, { status }: ReturnedRecipient): boolean {
  return type === 'complaint' || NO_SUCH_ADDRESS.test(status ?? '');
}

/** Nobody writes again to an address that does not exist, or whose owner complained, until somebody says so. */
async function suppress(
  store: Store,
  { address: mailbox }: Mailbox,
  { address, diagnostic, status }: ReturnedRecipient,
  { feedback, type }: Returned,
  createdAt: number,
): Promise<void> {
  const reason = type === 'complaint' ? 'complaint' : 'bounce';
  const note = type === 'complaint' ? feedback : (diagnostic ?? status);
  await store.suppressions.put({ address: address.toLowerCase(), mailbox, reason, note, createdAt });
}

/** A message of ours that really went to somebody the report names. */
interface Tied {
  readonly message: OutboxMessage;
  /**
   * It gives back the envelope id that we made, which only servers on the way know. Anybody can send us something else that
   * looks like a report: a Message-ID is in every copy and every answer.
   */
  readonly proven: boolean;
}

/** One message may have been handed to us once for each recipient; more than this are not looked through. */
const MAX_ALIKE = 200;

async function messageAbout(
  store: Store,
  marks: DeliveryMarks,
  { address: mailbox }: Mailbox,
  { about, envelopeId, recipients }: Returned,
): Promise<Tied | undefined> {
  const named = new Set(recipients.map(({ address }) => foldCase(address)));
  const concerns = (message: OutboxMessage): boolean => !addressesSentTo(message).isDisjointFrom(named);
  const ours = envelopeId === undefined ? undefined : marks.messageOfEnvelope(envelopeId);
  if (ours !== undefined) {
    const message = await store.outbox.find(ours);
    if (message?.mailbox === mailbox && concerns(message)) return { message, proven: true };
  }
  for (const messageId of about) {
    const alike = await store.outbox.list({ mailbox, messageId }, { limit: MAX_ALIKE });
    const message = alike.find(concerns);
    if (message) return { message, proven: false };
  }
  return undefined;
}

/**
 * The envelope id of a message is known to the servers of all its recipients: those of one domain say nothing about addresses of
 * another.
 */
function onlyDomain({ recipients }: OutboxMessage): string | undefined {
  const [domain, ...others] = new Set(recipients.map(({ address }) => domainOf(address)));
  return others.length === 0 ? domain : undefined;
}

const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1).toLowerCase();

/**
 * Those it was handed on for, not just accepted for: what was never sent does not come back. In one letter case and looked up as a
 * set, since anybody can send a report that names a thousand recipients of a message to as many.
 */
function addressesSentTo({ recipients }: OutboxMessage): ReadonlySet<string> {
  return new Set(recipients.flatMap(({ state, address }) => (state === 'delivered' ? [foldCase(address)] : [])));
}
