/** Finding what somebody named. */
import { type Validity, validityOf } from '../access/validity.ts';
import { foldCase } from '../base/case.ts';
import type { Clock } from '../base/clock.ts';
import { shellWord } from '../base/shell.ts';
import { outboxError } from '../outbox/errors.ts';
import type { Outbox } from '../outbox/types.ts';
import type { AppPassword } from '../store/types-access.ts';
import type { ApiKey } from '../store/types-api.ts';
import type { OutboxMessage } from '../store/types-outbox.ts';
import type { Application, Mailbox, Store } from '../store/types.ts';
import { type Actor, opens, opensAllOf } from './actor.ts';
import { adminError } from './errors.ts';

type Place = { readonly store: Pick<Store, 'mailboxes'> };

/** What opens an address: its own mailbox, or that of `*@domain`. @throws admin.not-found */
export async function findOpened({ store }: Place, address: string, actor?: Actor): Promise<Mailbox> {
  requireOpen(address, actor);
  return (await store.mailboxes.opened(address)) ?? findMailbox({ store }, address, actor);
}

/** The mailbox of this very address, which can be changed. @throws admin.not-found */
export async function findMailbox({ store }: Place, address: string, actor?: Actor): Promise<Mailbox> {
  requireOpen(address, actor);
  const found = await store.mailboxes.find(foldCase(address));
  if (found) return found;
  const { catchAll } = (await store.mailboxes.opened(address)) ?? {};
  if (catchAll !== undefined)
    throw adminError('admin.not-found', `${address} has no mailbox of its own; ${catchAll} opens it`, {
      hint: `name that: ${shellWord(catchAll)}`,
    });
  if (actor?.type === 'api-key') throw notForKey(address);
  const known = (await store.mailboxes.list()).map((one) => one.address);
  throw adminError('admin.not-found', `there is no mailbox ${address}`, {
    hint:
      known.length === 0
        ? `add it: postern mailbox add ${shellWord(address)}`
        : `there are: ${known.slice(0, 10).join(', ')}; add it: postern mailbox add ${shellWord(address)}`,
  });
}

/** @throws admin.not-found */
export async function findApplication(store: Store, name: string): Promise<Application> {
  const found = (await store.applications.byName(name)) ?? (await store.applications.find(name));
  if (found) return found;
  const known = (await store.applications.list()).map((one) => one.name);
  throw adminError('admin.not-found', `there is no application called ${name}`, {
    hint: known.length === 0 ? 'add one: postern application add --help' : `there are: ${known.join(', ')}`,
  });
}

/** A message that the actor may know of. @throws outbox.not-found */
export async function findMessage(
  { outbox }: { readonly outbox: Pick<Outbox, 'find'> },
  id: string,
  actor: Actor,
): Promise<OutboxMessage> {
  const message = await outbox.find(id);
  if (message && opens(actor, message.mailbox)) return message;
  const forKey = actor.type === 'api-key' ? ' for this key' : '';
  throw outboxError('outbox.not-found', `there is no message ${id}${forKey}`);
}

/** Mailboxes as they are stored, of an act whose scope they are. */
export function addressesOf(
  { mailboxes }: { readonly mailboxes: readonly Mailbox[] },
  asked: readonly string[],
): readonly string[] {
  return asked.includes('*') ? ['*'] : mailboxes.map(({ address }) => address);
}

/** An app password or a key by its id, or by a label that only one has that was not revoked. @throws admin.not-found, admin.input */
export function findGiven<T extends AppPassword | ApiKey>(
  actor: Actor,
  all: readonly T[],
  name: string,
  { kind, list }: { readonly kind: string; readonly list: string },
): T {
  const rows = all.filter(
    (row) => opensAllOf(actor, row) && (row.id === name || (row.label === name && row.revokedAt === undefined)),
  );
  const [row, ...more] = rows;
  if (!row) throw adminError('admin.not-found', `there is no ${kind} ${name}`, { hint: `${list} shows them` });
  if (more.length === 0) return row;
  throw adminError('admin.input', `several ${kind}s are called ${name}`, {
    hint: `name one by its id: ${rows.map(({ id }) => id).join(', ')}`,
  });
}

/** Those that the actor may know of, with their state. @param all also revoked and expired ones */
export function listGiven<T extends AppPassword | ApiKey>(
  { actor, clock }: { readonly actor: Actor; readonly clock: Clock },
  rows: readonly T[],
  all: boolean,
): readonly (T & { readonly state: Validity })[] {
  return rows
    .filter((row) => opensAllOf(actor, row))
    .map((row) => ({ ...row, state: validityOf(row, clock.now()) }))
    .filter(({ state }) => all || state === 'valid');
}

/** Nobody reads a longer list. */
const MAX_COUNTED = 1000;

/** How many messages wait, or are held, that somebody handed over; at most {@link MAX_COUNTED}. They are sent whatever becomes of who did. */
export async function waitingOf(
  { store }: { readonly store: Pick<Store, 'outbox'> },
  principal: string,
): Promise<number> {
  const rows = await store.outbox.list({ principal, states: ['queued', 'held'] }, { limit: MAX_COUNTED });
  return rows.length;
}

/** What a key does not open is answered as what is not there, so that it cannot find out who else has mail here. */
function requireOpen(address: string, actor: Actor | undefined): void {
  if (actor !== undefined && !opens(actor, address)) throw notForKey(address);
}

function notForKey(address: string): Error {
  return adminError('admin.not-found', `there is no mailbox ${address} for this key`, { detail: { mailbox: address } });
}
