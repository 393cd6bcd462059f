/** Applications: our registrations at providers, and their credentials. */
import { z } from 'zod';
import { addApplication as keep, type ClientCredential, type NewApplication } from '../oauth/application.ts';
import {
  activateCredential as activate,
  addCredential as addOne,
  type CredentialDeps,
  dateCredential as dateOne,
  removeCredential as removeOne,
} from '../oauth/credentials.ts';
import { type ApplicationChange, changeApplication } from '../onboard/change-application.ts';
import { act, type ActDeps, type Desk } from './act.ts';
import { adminError } from './errors.ts';
import { findApplication } from './find.ts';

type Deps = ActDeps & CredentialDeps;
const byName = z.object({ name: z.string().meta({ description: 'name or id' }) });
const permission = 'applications:write';

export const addApplication = act({
  name: 'applications.add',
  summary: 'Keep an application that was registered at a provider',
  permission,
  audits: 'application.added',
  input: z.custom<NewApplication>(),
  run(desk: Desk<Deps>, request) {
    checkApplicationName(request.name);
    return keep(desk, request);
  },
  record: ({ id, name, provider }) => [{ data: { id, name, provider } }],
});

export const setApplication = act({
  name: 'applications.set',
  summary: 'Correct an application in place; consents, mailboxes and app passwords stay',
  permission,
  audits: 'application.changed',
  input: byName.extend({ change: z.custom<ApplicationChange>() }),
  async run({ store }: Desk<ActDeps>, { name, change }) {
    if (change.name !== undefined) checkApplicationName(change.name);
    const before = await findApplication(store, name);
    if (change.name !== undefined && change.name !== before.name && (await store.applications.byName(change.name)))
      throw adminError('admin.input', `there is an application ${change.name} already`, {
        hint: 'choose another --name',
      });
    return changeApplication({ store }, before, change);
  },
  record: ({ application: { id, name }, fields }) => (fields.length > 0 ? [{ data: { id, name, fields } }] : []),
});

export const removeApplication = act({
  name: 'applications.remove',
  summary: 'Forget an application that no mailbox uses',
  permission,
  audits: 'application.removed',
  input: byName,
  async run({ store }: Desk<ActDeps>, { name }) {
    const application = await findApplication(store, name);
    const used = (await store.grants.overview()).filter((grant) => grant.applicationId === application.id).length;
    if (used > 0)
      throw adminError('admin.input', `${name} is used by ${used} grant${used === 1 ? '' : 's'}`, {
        hint: 'remove their mailboxes first: postern mailbox list, postern mailbox remove ADDRESS',
      });
    await store.applications.remove(application.id);
    return application;
  },
  record: ({ id, name }) => [{ data: { id, name } }],
});

export const addCredential = act({
  name: 'applications.add-credential',
  summary: 'Add a credential behind those in use; it is used as soon as the provider refuses them',
  permission,
  audits: 'application.credential-added',
  input: byName.extend({
    credential: z.custom<ClientCredential>(),
    /** Used first from now on. */
    active: z.boolean().default(false),
    /** Milliseconds since the epoch. */
    secretExpiresAt: z.number().optional(),
  }),
  async run(desk: Desk<Deps>, { name, credential, active, secretExpiresAt }) {
    const application = await findApplication(desk.store, name);
    const added = await addOne(desk, application.id, credential, {
      first: active,
      ...(secretExpiresAt === undefined ? {} : { secretExpiresAt }),
    });
    return { application: application.name, added };
  },
  record: ({ application, added }, { active }) => [{ data: { application, ...added, active } }],
});

const ofCredential = byName.extend({ id: z.string() });

export const dateCredential = act({
  name: 'applications.date-credential',
  summary: 'Say when a client secret ends',
  permission,
  audits: 'application.credential-changed',
  input: ofCredential.extend({
    /** Milliseconds since the epoch. */
    secretExpiresAt: z.number(),
  }),
  async run(desk: Desk<Deps>, { name, id, secretExpiresAt }) {
    const application = await findApplication(desk.store, name);
    return { application: application.name, changed: await dateOne(desk, application.id, id, secretExpiresAt) };
  },
  record: ({ application, changed: { id, expiresAt } }) => [{ data: { application, id, expiresAt } }],
});

export const activateCredential = act({
  name: 'applications.activate-credential',
  summary: 'Use this credential first from now on',
  permission,
  audits: 'application.credential-activated',
  input: ofCredential,
  run: (desk: Desk<Deps>, { name, id }) => onCredential(desk, name, id, activate),
  record: (data) => [{ data }],
});

export const removeCredential = act({
  name: 'applications.remove-credential',
  summary: 'Forget a credential; the last one of an application in use stays',
  permission,
  audits: 'application.credential-removed',
  input: ofCredential,
  run: (desk: Desk<Deps>, { name, id }) => onCredential(desk, name, id, removeOne),
  record: (data) => [{ data }],
});

async function onCredential(desk: Desk<Deps>, name: string, id: string, work: typeof activate) {
  const application = await findApplication(desk.store, name);
  await work(desk, application.id, id);
  return { application: application.name, id };
}

/** @throws admin.input */
export function checkApplicationName(name: string): void {
  if (/^[\w.-]{1,64}$/.test(name)) return;
  throw adminError('admin.input', `${JSON.stringify(name)} cannot be the name of an application`, {
    hint: 'use letters, digits, dots, hyphens and underscores, for example work',
  });
}
