/** Correcting an application in place: consents, mailboxes and app passwords stay as they are. */
import { shellWord } from '../base/shell.ts';
import { editApplication } from '../store/edit.ts';
import type { Application, Grant, Mailbox, Store } from '../store/types.ts';
import { type Protocol, PROTOCOLS } from '../store/protocols.ts';
import { checkClientId } from '../oauth/application.ts';
import { oauthError } from '../oauth/errors.ts';
import { isAppOnly } from '../oauth/flows.ts';
import { resolveProvider } from '../oauth/provider.ts';
import { applicationSettings } from '../store/application-settings.ts';

export interface ApplicationChange {
  readonly name?: string | undefined;
  readonly provider?: string | undefined;
  readonly clientId?: string | undefined;
  /** `null` takes it away. */
  readonly tenant?: string | null | undefined;
  /** Joined with the settings there are; a server without a CA or fingerprints of its own keeps those it had. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Settings that are as the preset says again. */
  readonly unset?: readonly string[];
}

export interface Changed {
  readonly application: Application;
  /** Names of what is different now. */
  readonly fields: readonly string[];
  /** Whose consents were given to the previous client or organisation, so that they cannot be renewed any more. */
  readonly consentsLost: readonly Mailbox[];
}

/**
 * Nothing is stored unless the whole makes sense. Running processes use it within two seconds.
 * @throws oauth.unknown-provider, oauth.misconfigured, store.conflict (name taken)
 */
export async function changeApplication(
  { store }: { readonly store: Store },
  known: Application,
  change: ApplicationChange,
): Promise<Changed> {
  // Decided on the row that is there when it is written: another command may have changed it since it was read.
  let before = known;
  let fields: readonly string[] = [];
  const application = await editApplication(store, known.id, (now) => {
    before = now;
    const { name, provider, clientId, tenant, settings } = changed(now, change);
    const next = { name, provider, clientId, tenant, settings };
    fields = differences(now, { ...now, ...next });
    return fields.length === 0 ? {} : next;
  });
  if (fields.length === 0) return { application, fields, consentsLost: [] };
  const delegated = (await store.grants.overview()).filter(
    (grant) => grant.applicationId === before.id && !isAppOnly(grant.flow),
  );
  const lost = isOtherClient(before, application) ? delegated : [];
  const mailboxes = await Promise.all(lost.map(({ id }) => store.mailboxes.byGrant(id)));
  return { application, fields, consentsLost: mailboxes.flat() };
}

/** @throws oauth.unknown-provider, oauth.misconfigured */
function changed(before: Application, change: ApplicationChange): Application {
  const unset = new Set(change.unset ?? []);
  const joined = joinSettings(before.settings, change.settings ?? {});
  const settings = Object.fromEntries(Object.entries(joined).filter(([name]) => !unset.has(name)));
  const after: Application = {
    ...before,
    name: change.name ?? before.name,
    provider: change.provider ?? before.provider,
    clientId: change.clientId ?? before.clientId,
    tenant: change.tenant === undefined ? before.tenant : (change.tenant ?? undefined),
    settings,
  };
  if (change.clientId === undefined && change.provider === undefined) resolveProvider(after);
  else checkClientId(after);
  return { ...after, settings: applicationSettings.parse(settings) };
}

/** Whether consents given to the one are worth nothing to the other. @throws oauth.unknown-provider, oauth.misconfigured */
export function isOtherClient(before: Application, after: Application): boolean {
  return (
    before.clientId !== after.clientId ||
    before.provider !== after.provider ||
    elsewhere(before, resolveProvider(after).authorizationServer)
  );
}

function elsewhere(before: Application, server: string): boolean {
  try {
    return resolveProvider(before).authorizationServer !== server;
  } catch {
    // What could not be resolved has given no consent.
    return false;
  }
}

function joinSettings(
  before: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const joined = { ...before, ...given };
  for (const protocol of PROTOCOLS) {
    const server = joined[protocol];
    if (typeof server !== 'object' || server === null) continue;
    const kept = (before[protocol] ?? {}) as Readonly<Record<string, unknown>>;
    const { ca, fingerprints } = kept;
    joined[protocol] = {
      ...(ca === undefined ? {} : { ca }),
      ...(fingerprints === undefined ? {} : { fingerprints }),
      ...server,
      // A CA that is given is for all of them.
      ...(given['ca'] === undefined ? {} : { ca: given['ca'] }),
    };
  }
  return joined;
}

function differences(before: Application, after: Application): readonly string[] {
  const from: Readonly<Record<string, unknown>> = before.settings;
  const to: Readonly<Record<string, unknown>> = after.settings;
  const names = new Set([...Object.keys(from), ...Object.keys(to)]);
  const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
  const changed = [...names].filter((name) => !same(from[name], to[name]));
  // A server that has another CA and is as before otherwise: that is the change of the CA, which is told once.
  const inSettings = changed.map((name) => (same(withoutCa(from[name]), withoutCa(to[name])) ? 'ca' : name));
  return [
    ...(['name', 'provider', 'clientId', 'tenant'] as const).filter((field) => before[field] !== after[field]),
    ...new Set(inSettings),
  ];
}

function withoutCa(setting: unknown): unknown {
  if (typeof setting !== 'object' || setting === null || !('ca' in setting)) return setting;
  const { ca: _, ...server } = setting;
  return server;
}

/**
 * Moves a mailbox to another application of the same client, with its consent, or to one at which its identity has consented
 * already. @throws oauth.misconfigured when neither is so: then its owner has to consent
 */
export async function moveMailbox(
  { store }: { readonly store: Store },
  mailbox: Mailbox,
  to: Application,
): Promise<{ readonly moved: readonly Mailbox[] }> {
  const grant = await store.grants.find(mailbox.grantId);
  if (!grant) throw oauthError('oauth.misconfigured', `the consent of ${mailbox.address} is gone`);
  if (grant.applicationId === to.id) return { moved: [] };
  missing(mailbox.protocols, to);
  const already = (await store.grants.list()).find(
    (one) => one.applicationId === to.id && one.identity === grant.identity && one.state.type === 'active',
  );
  if (already) {
    await store.mailboxes.update(mailbox.address, { grantId: already.id });
    if ((await store.mailboxes.byGrant(grant.id)).length === 0) await store.grants.remove(grant.id);
    return { moved: [mailbox] };
  }
  const from = await store.applications.find(grant.applicationId);
  if (from?.clientId !== to.clientId || elsewhere(from, resolveProvider(to).authorizationServer)) {
    // A refresh token is bound to the client it was given to (RFC 6749 §6).
    throw oauthError(
      'oauth.misconfigured',
      `the consent of ${mailbox.address} was given to another client than that of ${to.name}`,
      {
        hint: `have it given again; app passwords and settings stay: postern mailbox reconsent ${shellWord(mailbox.address)} --application ${shellWord(to.name)}`,
      },
    );
  }
  await rebind(store, grant, to.id);
  return { moved: await store.mailboxes.byGrant(grant.id) };
}

async function rebind(store: Store, grant: Grant, applicationId: string): Promise<void> {
  for (let now: Grant | undefined = grant; now; now = await store.grants.find(grant.id)) {
    if ((await store.grants.update(now.id, now.generation, { applicationId })) === 'written') return;
  }
  throw oauthError('oauth.misconfigured', 'the consent was removed meanwhile');
}

function missing(protocols: readonly Protocol[], to: Application): void {
  const { mail } = resolveProvider(to);
  const lacking = protocols.filter((protocol) => mail[protocol] === undefined);
  if (lacking.length === 0) return;
  throw oauthError('oauth.misconfigured', `${to.name} has no ${lacking.join(' and no ')} server`, {
    hint: `give it one: postern application set ${shellWord(to.name)} --${shellWord(lacking[0] ?? '')} HOST:PORT/implicit`,
  });
}
