/** Mailboxes: opened by consent, set, held, closed for a while, removed. */
import { foldCase } from '../base/case.ts';
import { z } from 'zod';
import { withdrawMailbox } from '../access/withdraw.ts';
import type { Audit } from '../audit/types.ts';
import { shellWord } from '../base/shell.ts';
import type { OAuthEvent } from '../oauth/events.ts';
import {
  resumeGrant,
  resumeMailbox as resumeOne,
  suspendGrant,
  suspendMailbox as suspendOne,
} from '../oauth/suspension.ts';
import { surveyGrants } from '../oauth/survey.ts';
import { moveMailbox as moveOne } from '../onboard/change-application.ts';
import type { ConnectDeps, ConnectRequest } from '../onboard/connect-request.ts';
import { endInvitation, endSignIns, invitationLink } from '../onboard/consent-link.ts';
import { adoptAccount } from '../onboard/import/adopt.ts';
import { checkAddress } from '../outbox/address.ts';
import type { Outbox } from '../outbox/types.ts';
import { editMailbox } from '../store/edit.ts';
import type { Mailbox } from '../store/types.ts';
import { PROTOCOLS } from '../store/protocols.ts';
import { act, type ActDeps, type Desk, pageOf } from './act.ts';
import { opens, signatureOf } from './actor.ts';
import { adminError } from './errors.ts';
import { findApplication } from './find.ts';
import { address, holdReason, limit } from './schema.ts';
import { shownMailbox, shownWithQueue, type SurveyedMailbox } from './shown-mailbox.ts';

interface ClockDeps extends ActDeps, Pick<ConnectDeps, 'clock'> {}
interface OutboxDeps extends ClockDeps {
  readonly outbox: Outbox;
}
interface SignInDeps extends ActDeps, ConnectDeps {
  emit(event: OAuthEvent, audit?: Audit): Promise<void>;
}

const byAddress = z.object({ address });
/** It is changed itself, so it is its own row that is named. */
const own = { scope: ({ address }: { readonly address: string }) => [address], changesMailbox: true } as const;

export const listMailboxes = act({
  name: 'mailboxes.list',
  summary: 'Mailboxes this key may use, with their state',
  permission: 'mailboxes:read',
  gives: shownMailbox,
  input: z.object({ limit, after: z.string().optional() }),
  async run({ store, clock, actor }: Desk<ClockDeps>, { limit, after = '' }) {
    const { mailboxes, grants } = await surveyGrants(store, clock.now());
    const rows = mailboxes
      .filter((row) => row.address > after && opens(actor, row.address))
      .toSorted((a, b) => (a.address < b.address ? -1 : 1))
      .map((mailbox): SurveyedMailbox => ({ mailbox, surveyed: grants.get(mailbox.grantId) }));
    return pageOf(limit, (most) => Promise.resolve(rows.slice(0, most)));
  },
});

export const getMailbox = act({
  name: 'mailboxes.get',
  summary: 'One mailbox, with what waits in its queue',
  permission: 'mailboxes:read',
  gives: shownWithQueue,
  input: byAddress,
  scope: ({ address }) => [address],
  async run({ store, clock, outbox, mailboxes: [mailbox] }: Desk<OutboxDeps>) {
    const [{ grants }, stats] = await Promise.all([surveyGrants(store, clock.now()), outbox.stats(mailbox!.address)]);
    return { mailbox: mailbox!, surveyed: grants.get(mailbox!.grantId), stats };
  },
});

export const holdMailbox = act({
  ...own,
  name: 'mailboxes.hold',
  summary: 'Hold a mailbox: nothing of it is sent until it is released',
  permission: 'messages:write',
  audits: 'mailbox.held',
  input: byAddress.extend({ reason: holdReason }),
  async run({ outbox, actor, mailboxes: [mailbox] }: Desk<OutboxDeps>, { reason }) {
    await outbox.holdMailbox(mailbox!.address, signatureOf(actor), reason);
    return mailbox!;
  },
  record: ({ address }, { reason }) => [{ mailbox: address, data: { reason } }],
});

export const releaseMailbox = act({
  ...own,
  name: 'mailboxes.release',
  summary: 'Release a mailbox: its mail is sent again',
  permission: 'messages:write',
  audits: 'mailbox.released',
  input: byAddress,
  async run({ outbox, mailboxes: [mailbox] }: Desk<OutboxDeps>) {
    const wasHeld = mailbox!.settings.outboxHeld !== undefined;
    if (wasHeld) await outbox.releaseMailbox(mailbox!.address);
    return { address: mailbox!.address, wasHeld };
  },
  record: ({ address, wasHeld }) => (wasHeld ? [{ mailbox: address }] : []),
});

export const setMailbox = act({
  ...own,
  name: 'mailboxes.set',
  summary: 'Change how mail of a mailbox leaves, and as whom',
  permission: 'mailboxes:write',
  audits: 'mailbox.changed',
  input: byAddress.extend({
    outgoing: z.enum(['direct', 'outbox']).optional(),
    routes: z
      .array(z.enum(['smtp', 'graph', 'relay']))
      .readonly()
      .optional(),
    /** Senders to add, and to take back. */
    sendAs: z.array(z.string()).readonly().default([]),
    notAs: z.array(z.string()).readonly().default([]),
  }),
  async run(
    desk: Desk<ActDeps & { readonly config: { readonly outbox: { readonly relay?: unknown } } }>,
    { outgoing, routes, sendAs, notAs },
  ) {
    for (const one of sendAs) checkAddress(one);
    if (routes?.includes('relay') === true && desk.config.outbox.relay === undefined)
      throw adminError('admin.input', 'no relay is configured', { hint: 'set outbox.relay in postern.yaml first' });
    const [{ address }] = desk.mailboxes as readonly [Mailbox];
    const gone = new Set(notAs.map((one) => foldCase(one)));
    // Decided on what is there when it is written: others hold and release mailboxes meanwhile.
    const edited = await editMailbox(desk.store, address, (settings) => {
      const senders = new Set([...(settings.sendAs ?? []), ...sendAs.map((one) => foldCase(one))]);
      const unknown = [...gone].find((one) => !senders.has(one));
      if (unknown !== undefined)
        throw adminError('admin.input', `${unknown} is no further sender of ${address}`, {
          hint: senders.size === 0 ? 'it has none' : `it has ${[...senders].join(', ')}`,
        });
      return {
        ...settings,
        ...(outgoing === undefined ? {} : { outgoing }),
        ...(routes === undefined ? {} : { routes }),
        sendAs: [...senders].filter((one) => !gone.has(one)),
      };
    });
    if (!edited) throw adminError('admin.input', `${address} was removed meanwhile`, { hint: 'nothing was changed' });
    const { settings } = edited;
    return {
      address,
      outgoing: settings.outgoing ?? ('direct' as const),
      routes: settings.routes,
      sendAs: settings.sendAs,
    };
  },
  record: ({ address, ...data }) => [{ mailbox: address, data }],
});

export const moveMailbox = act({
  ...own,
  name: 'mailboxes.move',
  summary: 'Open a mailbox through another application, with the consent there is',
  permission: 'mailboxes:write',
  audits: 'mailbox.moved',
  input: byAddress.extend({ application: z.string() }),
  async run({ store, mailboxes: [mailbox] }: Desk<ActDeps>, { application }) {
    const to = await findApplication(store, application);
    const { moved } = await moveOne({ store }, mailbox!, to);
    return { address: mailbox!.address, application: to.name, moved: moved.map(({ address }) => address) };
  },
  /** One consent opens all of them. */
  record: ({ application, moved }) => moved.map((mailbox) => ({ mailbox, data: { application } })),
});

const withGrant = byAddress.extend({
  /** The whole grant: every mailbox that the same consent or application opens, and its renewal. */
  grant: z.boolean().default(false),
});

export const suspendMailbox = act({
  ...own,
  name: 'mailboxes.suspend',
  summary: 'Close a mailbox for a while; consent, app passwords and settings stay',
  permission: 'mailboxes:write',
  audits: 'mailbox.suspended',
  input: withGrant.extend({ reason: z.string() }),
  async run(desk: Desk<SignInDeps>, { grant, reason }) {
    const mailbox = desk.mailboxes[0]!;
    if (grant) await suspendGrant(emitting(desk), mailbox.grantId, reason);
    else await suspendOne(emitting(desk), mailbox, reason);
    return concerned(desk, mailbox, grant);
  },
});

export const resumeMailbox = act({
  ...own,
  name: 'mailboxes.resume',
  summary: 'Open a suspended mailbox again',
  permission: 'mailboxes:write',
  audits: 'mailbox.resumed',
  input: withGrant,
  async run(desk: Desk<SignInDeps>, { grant }) {
    const mailbox = desk.mailboxes[0]!;
    const wasOpen = !grant && mailbox.suspended === undefined;
    if (grant) await resumeGrant(emitting(desk), mailbox.grantId);
    else if (mailbox.suspended) await resumeOne(emitting(desk), mailbox);
    else if ((await desk.store.grants.find(mailbox.grantId))?.state.type === 'suspended')
      throw adminError('admin.input', `${mailbox.address} is closed because its whole grant is suspended`, {
        hint: `to open it with every other mailbox of the grant: postern mailbox resume ${shellWord(mailbox.address)} --grant`,
      });
    return { ...(await concerned(desk, mailbox, grant)), wasOpen };
  },
});

export const removeMailbox = act({
  ...own,
  name: 'mailboxes.remove',
  summary: 'Forget a mailbox, and its grant when no other mailbox uses it; the grant is revoked at the provider too',
  permission: 'mailboxes:write',
  audits: 'mailbox.removed',
  input: byAddress,
  async run(desk: Desk<SignInDeps>) {
    const { store } = desk;
    const [{ address, grantId }] = desk.mailboxes as readonly [Mailbox];
    // Neither a link that somebody still has nor a sign-in that is under way must open it again.
    await endSignIns(desk, address);
    await store.mailboxes.remove(address);
    const withdrawn = await withdrawMailbox(desk, address);
    const others = (await store.mailboxes.byGrant(grantId)).map((other) => other.address);
    const grant = others.length === 0 ? await store.grants.find(grantId) : undefined;
    if (grant) await store.grants.remove(grant.id);
    // Last, and whatever comes of it: what was asked for is done.
    const { revokeGrant } = await import('../oauth/revocation.ts');
    const revocation = grant && (await revokeGrant(desk, grant));
    const { catchAll } = (await store.mailboxes.opened(address)) ?? {};
    return { address, others, grantRemoved: grant !== undefined, revocation, catchAll, withdrawn };
  },
  record: ({ address, grantRemoved, revocation }) => [
    { mailbox: address, data: { grantRemoved, ...(revocation ? { revocation: revocation.type } : {}) } },
  ],
});

/** The person's part is in the input: a redirect that waits for them, a code that is shown to them. */
export const connectMailbox = act({
  name: 'mailboxes.connect',
  summary: 'Open a mailbox by consent, or consent again',
  permission: 'mailboxes:write',
  audits: 'mailbox.added',
  input: z.custom<ConnectRequest>(),
  async run(desk: Desk<SignInDeps>, request) {
    if (!opens(desk.actor, request.address))
      throw adminError('admin.forbidden', `this sign-in is not for ${request.address}`);
    const known = await desk.store.mailboxes.find(request.address.trim());
    const { connectMailbox: connect } = await import('../onboard/connect-mailbox.ts');
    const { mailbox } = await connect(emitting(desk), request);
    await endInvitation(desk, mailbox.address);
    return { mailbox, isNew: known === undefined };
  },
  record: ({ mailbox, isNew }) => (isNew ? [added(mailbox)] : []),
});

export const inviteOwner = act({
  name: 'mailboxes.invite',
  summary: 'A link for the owner of a mailbox that is to be opened; a later one ends it',
  permission: 'mailboxes:write',
  what: 'mailbox.invited',
  input: z.object({
    address,
    applicationId: z.string(),
    protocols: z.array(z.enum(PROTOCOLS)).min(1).readonly(),
    sharedWith: address.optional(),
    /** Where the owner's browser reaches the console. */
    base: z.url(),
  }),
  async run(desk: Desk<SignInDeps>, { base, sharedWith, ...invitation }) {
    return invitationLink(desk, base, { ...invitation, sharedWith });
  },
  record: (_, { address, protocols }) => [{ mailbox: address, data: { protocols } }],
});

export const adoptMailbox = act({
  name: 'mailboxes.adopt',
  summary: 'Take over a mailbox that another program had opened',
  permission: 'mailboxes:write',
  audits: 'mailbox.added',
  input: z.object({
    from: z.string(),
    application: z.custom<Parameters<typeof adoptAccount>[1]>(),
    account: z.custom<Parameters<typeof adoptAccount>[2]>(),
    refreshToken: z.custom<Parameters<typeof adoptAccount>[3]>(),
  }),
  run: async (desk: Desk<SignInDeps>, { application, account, refreshToken }) =>
    (await adoptAccount(desk, application, account, refreshToken)).mailbox,
  record: (mailbox, { from }) => [{ mailbox: mailbox.address, data: { ...added(mailbox).data, from } }],
});

const added = ({ address, access, protocols }: Mailbox) => ({ mailbox: address, data: { access, protocols } });

/** Its events are put on record with who brought them about. */
function emitting(desk: Desk<SignInDeps>) {
  return { ...desk, emit: (event: OAuthEvent): Promise<void> => desk.emit(event, desk.audit) };
}

async function concerned({ store }: ActDeps, mailbox: Mailbox, grant: boolean) {
  const { address, grantId } = mailbox;
  const mailboxes = grant ? (await store.mailboxes.byGrant(grantId)).map((one) => one.address) : [address];
  return { address, mailboxes };
}
