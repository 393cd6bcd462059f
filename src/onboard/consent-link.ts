/**
 * Links by which the owner of a mailbox consents, again or for the first time. A link only starts a sign-in; whether the right
 * person signed in is verified like in every consent, so a link that falls into wrong hands opens nothing. It is over after a
 * week, and as soon as the mailbox is connected.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { isAppOnly } from '../oauth/flows.ts';
import { newId } from '../store/id.ts';
import type { Application, Grant, Mailbox, Store } from '../store/types.ts';
import { type Protocol, PROTOCOLS } from '../store/protocols.ts';
import type { Vault } from '../vault/types.ts';

/** Owners read mail seldom when it does not arrive. */
export const LINK_MS = 7 * 86_400_000;

export interface LinkDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
}

/** A mailbox that is still to be opened. */
export type Invitation = Omit<z.input<typeof invitationSchema>, 'madeAt'> & { readonly address: string };

/** Whether a link is still for the very same. */
export function isSame(begun: Extract<Subject, { type: 'open' }>, now: Subject): boolean {
  const facts = ({ application, protocols, sharedWith, grant }: Extract<Subject, { type: 'open' }>): string =>
    JSON.stringify([application.id, protocols, sharedWith, grant?.id]);
  return now.type === 'open' && facts(now) === facts(begun);
}

/** What a link is for, and whether it still opens anything. */
export type Subject =
  | {
      readonly type: 'open';
      readonly address: string;
      /** Who has to sign in. */
      readonly identity: string;
      readonly application: Application;
      readonly protocols: readonly Protocol[];
      readonly sharedWith: string | undefined;
      /** Undefined for a first consent. */
      readonly grant: Grant | undefined;
      readonly until: number;
    }
  | { readonly type: 'used'; readonly address: string }
  | { readonly type: 'over' };

/**
 * A link for this mailbox, good for a week.
 * @param base address of the console as the person's browser reaches it
 * @returns undefined when nobody can sign in for it: app-only grants
 */
export async function consentLink(deps: LinkDeps, base: string, address: string): Promise<string | undefined> {
  const mailbox = await deps.store.mailboxes.find(address);
  const grant = mailbox && (await deps.store.grants.find(mailbox.grantId));
  if (!mailbox || !grant || isAppOnly(grant.flow)) return undefined;
  return linkOf(deps, base, mailbox.address);
}

/** A link with which the owner opens a mailbox for the first time. A later one for the same address ends this one. */
export async function invitationLink(deps: LinkDeps, base: string, invitation: Invitation): Promise<string> {
  const madeAt = deps.clock.now();
  await deps.store.settings.set(settingOf(invitation.address), JSON.stringify({ madeAt, ...invitation }));
  return linkOf(deps, base, invitation.address, madeAt);
}

/** To be called when the mailbox is there: its invitation opens nothing any more. */
export async function endInvitation({ store }: Pick<LinkDeps, 'store'>, address: string): Promise<void> {
  if (await store.settings.get(settingOf(address))) await store.settings.set(settingOf(address), '');
}

/** To be called before a mailbox is removed: neither a link nor a sign-in that is under way opens it again. */
export async function endSignIns({ store }: Pick<LinkDeps, 'store'>, address: string): Promise<void> {
  await store.settings.set(settingOf(address), JSON.stringify({ ended: newId('end') }));
}

/** What was decided last about who may open a mailbox for the first time: another value for each link and each removal. */
export async function invitationNow({ store }: Pick<LinkDeps, 'store'>, address: string): Promise<string> {
  return (await store.settings.get(settingOf(address))) ?? '';
}

/** @param token the part of the address behind `consent/` @param at a sign-in that was begun in time may be finished */
export async function subjectOf(deps: LinkDeps, token: string, at = deps.clock.now()): Promise<Subject> {
  const read = await verify(deps, token);
  if (!read || at >= read.until) return { type: 'over' };
  const { store } = deps;
  const mailbox = await store.mailboxes.find(read.address);
  return mailbox ? again(store, mailbox, read) : first(store, read);
}

interface Read {
  readonly address: string;
  readonly until: number;
  readonly madeAt: number;
}

async function again(store: Store, mailbox: Mailbox, { madeAt, until }: Read): Promise<Subject> {
  const grant = await store.grants.find(mailbox.grantId);
  const application = grant && (await store.applications.find(grant.applicationId));
  if (!grant || !application || isAppOnly(grant.flow)) return { type: 'over' };
  const consentedAt = grant.renewal?.consentedAt ?? grant.createdAt;
  if (consentedAt > madeAt && grant.state.type === 'active') return { type: 'used', address: mailbox.address };
  return {
    type: 'open',
    address: mailbox.address,
    identity: grant.identity,
    application,
    protocols: mailbox.protocols,
    sharedWith: mailbox.access === 'shared' ? grant.identity : undefined,
    grant,
    until,
  };
}

async function first(store: Store, { address, madeAt, until }: Read): Promise<Subject> {
  const text = await store.settings.get(settingOf(address));
  const parsed = text ? invitationSchema.safeParse(JSON.parse(text)) : undefined;
  // Another mailbox of that name was removed, or a later link took this one's place.
  if (parsed?.success !== true || parsed.data.madeAt !== madeAt) return { type: 'over' };
  const { applicationId, protocols, sharedWith } = parsed.data;
  const application = await store.applications.find(applicationId);
  if (!application) return { type: 'over' };
  return {
    type: 'open',
    address,
    identity: sharedWith ?? address,
    application,
    protocols,
    sharedWith,
    grant: undefined,
    until,
  };
}

const invitationSchema = z.object({
  madeAt: z.number(),
  applicationId: z.string(),
  protocols: z.array(z.enum(PROTOCOLS)).min(1).readonly(),
  /** The delegate who signs in for a shared mailbox. */
  sharedWith: z.string().optional(),
});

const settingOf = (address: string): string => `consent-invitation/${address}`;

export function withSlash(base: string): string {
  return base.endsWith('/') ? base : `${base}/`;
}

async function linkOf(
  { vault, clock }: LinkDeps,
  base: string,
  address: string,
  madeAt = clock.now(),
): Promise<string> {
  const payload = Buffer.from(JSON.stringify([address, madeAt + LINK_MS])).toString('base64url');
  return new URL(`consent/${payload}.${await sign(vault, payload)}`, withSlash(base)).href;
}

async function sign(vault: Vault, payload: string): Promise<string> {
  return createHmac('sha256', await vault.derive('consent-link'))
    .update(payload)
    .digest('base64url');
}

async function verify({ vault }: LinkDeps, token: string): Promise<Read | undefined> {
  const [payload = '', signature = ''] = token.split('.');
  const [given, right] = [Buffer.from(signature), Buffer.from(await sign(vault, payload))];
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
  // Signed by us, so it is what we wrote.
  const [address, until] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [string, number];
  return { address, until, madeAt: until - LINK_MS };
}
