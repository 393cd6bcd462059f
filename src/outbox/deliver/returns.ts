/** Looks for reports and complaints in the inboxes of mailboxes that send, and ties them to the messages they are about. */
import type { Clock, Timer } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { ImapCommands } from '../../protocol/imap/command.ts';
import type { Mailbox, Store } from '../../store/types.ts';
import type { NewMessageEvent, OutboxMessage } from '../../store/types-outbox.ts';
import { sameAddress } from '../address.ts';
import { envelopeIdOf } from './envelope-id.ts';
import { inLedger } from '../../store/ledger.ts';
import { readReturned, type Returned, type ReturnedRecipient } from './returned.ts';
import type { SignInAt } from './smtp-route.ts';

export interface ReturnsDeps {
  readonly store: Store;
  readonly signIn: SignInAt;
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
const MOST_NEW = 500;
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
        await lookInto(deps, mailbox, AbortSignal.any([stop.signal, AbortSignal.timeout(MAILBOX_MS)]));
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
  const imap = new ImapCommands(conn, endpoint.host);
  try {
    const opened = await imap.run('EXAMINE INBOX', signal);
    const says = [opened.text, ...opened.untagged].join('\n');
    const validity = /\[UIDVALIDITY (\d+)\]/i.exec(says)?.[1];
    if (opened.status !== 'OK' || validity === undefined) return;
    const since = new Date(clock.now() - SENT_LATELY_MS);
    const key = old?.validity === validity ? `UID ${old.next}:*` : `SINCE ${dateOf(since)}`;
    const searched = await imap.run(`UID SEARCH ${key}`, signal);
    const uids = searched.untagged
      .flatMap((line) => /^SEARCH((?: \d+)*)/i.exec(line)?.[1]?.trim().split(' ') ?? [])
      .filter((uid) => uid !== '' && (old?.validity !== validity || Number(uid) >= old.next))
      .map(Number)
      .toSorted((a, b) => a - b)
      .slice(-MOST_NEW);
    for (const uid of await reportsAmong(imap, uids, signal)) {
      const raw = await messageOf(imap, uid, signal);
      const returned = raw && readReturned(raw);
      if (returned) await tie(deps, mailbox, returned);
    }
    const next = (uids.at(-1) ?? (old?.validity === validity ? old.next - 1 : 0)) + 1;
    await inLedger(store.outbox, name, () => ({ entry: JSON.stringify({ validity, next }), result: undefined }));
  } finally {
    imap.end();
  }
}

/** Those of the messages that are reports by their Content-Type, and are not ours. */
async function reportsAmong(imap: ImapCommands, uids: readonly number[], signal: AbortSignal): Promise<number[]> {
  if (uids.length === 0) return [];
  const fields = 'BODY.PEEK[HEADER.FIELDS (CONTENT-TYPE X-POSTERN-MESSAGE)]';
  const { untagged } = await imap.run(`UID FETCH ${uids.join(',')} (UID ${fields})`, signal);
  return untagged.flatMap((line) => {
    const uid = /\bUID (\d+)/i.exec(line)?.[1];
    const isReport = /content-type:\s*multipart\/(?:report|mixed)/i.test(line) && !/x-postern-message:/i.test(line);
    return uid !== undefined && isReport ? [Number(uid)] : [];
  });
}

async function messageOf(imap: ImapCommands, uid: number, signal: AbortSignal): Promise<Buffer | undefined> {
  const { untagged } = await imap.run(`UID FETCH ${uid} (BODY.PEEK[]<0.${READ_OCTETS}>)`, signal);
  for (const line of untagged) {
    const found = /\bBODY\[\](?:<0>)? /i.exec(line);
    if (found) return Buffer.from(line.slice(found.index + found[0].length));
  }
  return undefined;
}

/** Writes down what a report says of a message of ours, once. */
async function tie({ clock, log, store }: ReturnsDeps, mailbox: Mailbox, returned: Returned): Promise<void> {
  const tied = await messageAbout(store, mailbox, returned);
  if (!tied) return;
  const { message, sure } = tied;
  const known = await store.outbox.events({
    messageId: message.id,
    types: ['bounced', 'complained', 'deferred'],
    limit: 1000,
  });
  if (returned.reportId !== undefined && known.some(({ data }) => data['report'] === returned.reportId)) return;
  const at = clock.now();
  const facts = { report: returned.reportId, reporter: returned.reporter };
  const ours = returned.recipients.filter(({ address }) => wasSentTo(message, address));
  const events: NewMessageEvent[] = [];
  if (returned.type === 'complaint')
    events.push({ at, type: 'complained', data: { ...facts, feedback: returned.feedback, recipients: ours } });
  const failed = ours.filter(({ action }) => action === 'failed');
  if (failed.length > 0) events.push({ at, type: 'bounced', data: { ...facts, recipients: failed } });
  const delayed = ours.filter(({ action }) => action === 'delayed');
  if (delayed.length > 0)
    events.push({ at, type: 'deferred', data: { ...facts, by: 'receiver', recipients: delayed } });
  if (events.length === 0) return;
  await store.outbox.note(message, events);
  for (const { type } of events) log.info({ id: message.id, mailbox: mailbox.address, type }, 'a message came back');
  const concerned = (returned.type === 'complaint' && returned.feedback !== 'not-spam' ? ours : failed).filter((one) =>
    isFinal(returned, one),
  );
  if (sure) for (const one of concerned) await suppress(store, mailbox, one, returned, at);
  else if (concerned.length > 0)
    log.info(
      { id: message.id, mailbox: mailbox.address, recipients: concerned.length },
      'nobody is suppressed: others who got this message could have written the report',
    );
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
   * Whether only a server on the way, or the recipient in question, can have written the report: it gives back our envelope id,
   * or its Message-ID went to this one recipient. Anybody can send us something that looks like a report.
   */
  readonly sure: boolean;
}

/** One message may have been handed to us once for each recipient; more than this are not looked through. */
const MOST_ALIKE = 200;

async function messageAbout(
  store: Store,
  { address: mailbox }: Mailbox,
  { about, envelopeId, recipients }: Returned,
): Promise<Tied | undefined> {
  const concerns = (message: OutboxMessage): boolean => recipients.some(({ address }) => wasSentTo(message, address));
  if (envelopeId !== undefined) {
    const message = await store.outbox.find(envelopeId);
    if (message?.mailbox === mailbox && envelopeIdOf(message) === envelopeId && concerns(message))
      return { message, sure: true };
  }
  for (const messageId of about) {
    const alike = await store.outbox.list({ mailbox, messageId }, { limit: MOST_ALIKE });
    const message = alike.find(concerns);
    if (!message) continue;
    const alone = alike.length === 1 && message.recipients.length === 1;
    return { message, sure: alone || envelopeId === envelopeIdOf(message) };
  }
  return undefined;
}

/** Handed on for this recipient, not just accepted for it: what was never sent does not come back. */
function wasSentTo({ recipients }: OutboxMessage, address: string): boolean {
  return recipients.some((one) => one.state === 'delivered' && sameAddress(one.address, address));
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** RFC 9051 §9 `date`. */
function dateOf(date: Date): string {
  return `${date.getUTCDate()}-${MONTHS[date.getUTCMonth()]!}-${date.getUTCFullYear()}`;
}
