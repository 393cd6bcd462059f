/** Consent for one mailbox, from the first redirect to the stored grant. A second consent for a mailbox keeps what it had. */
import { foldCase } from '../base/case.ts';
import type { ConnectDeps, ConnectRequest } from './connect-request.ts';
import { shellWord } from '../base/shell.ts';
import { asError } from '../base/error.ts';
import { isCatchAll } from '../store/table/mailboxes.ts';
import type { Flow, Grant, Mailbox, Store } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { checkAccessToken } from '../oauth/access-token.ts';
import { beginCodeFlow } from '../oauth/code-flow.ts';
import { openCredentials } from '../oauth/application.ts';
import { withRemedy } from '../oauth/catalogue/diagnose.ts';
import { applicationFacts } from '../oauth/catalogue/facts.ts';
import { type Client, openClient, requireCredential } from '../oauth/engines.ts';
import type { TokenAnswer } from '../oauth/engine.ts';
import { oauthError } from '../oauth/errors.ts';
import type { Emit } from '../oauth/events.ts';
import { isAppOnly } from '../oauth/flows.ts';
import { type Identity, verifiedIdentity } from '../oauth/id-token.ts';
import { providerCode } from '../oauth/renewal-settle.ts';
import { compareScopes, mailScopes, scopesFor } from '../oauth/scopes.ts';
import { requireUnchanged, type Standing, standingOf, storeConsent, superseded } from './store-consent.ts';

export type { Redirect } from './redirect.ts';

/**
 * Signs in, verifies who signed in and what was granted, and stores grant and mailbox. Nothing is stored unless all is well.
 * @throws oauth.wrong-identity, oauth.scope-missing, oauth.role-missing, oauth.wrong-audience, oauth.consent-declined,
 *   oauth.consent-expired, oauth.removed, oauth.superseded, oauth.suspended, oauth.redirect-*, oauth.id-token-invalid, oauth.misconfigured, and what a token request may throw
 */
export async function connectMailbox(
  deps: ConnectDeps,
  request: ConnectRequest,
): Promise<{ grant: Grant; mailbox: Mailbox }> {
  const { application, flow } = request;
  const address = normalAddress(request.address);
  const emit = deps.emit ?? (() => undefined);
  if (request.protocols.length === 0) throw oauthError('oauth.not-granted', 'name at least one of imap, pop3, smtp');
  if (isCatchAll(address) && (!isAppOnly(flow) || flow === 'service-account'))
    throw oauthError(
      'oauth.flow-unavailable',
      `${address} stands for every address of its domain, and this consent opens one`,
      {
        hint: 'only an application that signs in by itself opens them all (--flow app-only, at Microsoft); otherwise add each address',
      },
    );
  const facts = { address, applicationId: application.id, flow };
  const startedAt = deps.clock.now();
  await emit({ type: 'consent.started', ...facts, protocols: request.protocols });
  let client: Client | undefined;
  try {
    const begun = await standingOf(deps, address);
    client = await openClient(deps, application);
    const { grant, mailbox } = await (isAppOnly(flow)
      ? connectAppOnly(deps, { ...request, address, flow }, client, begun)
      : connectDelegated(deps, { ...request, address }, client, { emit, begun }));
    await emit({
      type: 'token.requested',
      grantId: grant.id,
      applicationId: application.id,
      flow,
      purpose: 'initial',
      outcome: 'ok',
      code: undefined,
      providerCode: undefined,
      durationMs: deps.clock.now() - startedAt,
    });
    await emit({
      type: 'consent.granted',
      ...facts,
      grantId: grant.id,
      identity: grant.identity,
      scopes: grant.scopes,
    });
    return { grant, mailbox };
  } catch (thrown) {
    const code = thrown === request.signal?.reason ? 'base.aborted' : asError(thrown).code;
    await emit({ type: 'consent.refused', ...facts, code: providerCode(asError(thrown)) ?? code });
    if (thrown === request.signal?.reason) throw thrown;
    const signedIn: unknown = asError(thrown).detail['signedIn'];
    const delegate = Array.isArray(signedIn) && typeof signedIn[0] === 'string' ? { delegate: signedIn[0] } : {};
    const about = { ...applicationFacts(application, address), protocols: request.protocols.join(','), ...delegate };
    throw withRemedy(asError(thrown), about);
  } finally {
    await client?.close();
  }
}

type Normal<F extends Flow = Flow> = Omit<ConnectRequest, 'flow'> & { readonly flow: F };

async function connectDelegated(
  deps: ConnectDeps,
  request: Normal,
  client: Client,
  { emit, begun }: { readonly emit: Emit; readonly begun: Standing },
): Promise<{ grant: Grant; mailbox: Mailbox }> {
  const { application, address } = request;
  const expected = request.sharedWith === undefined ? address : normalAddress(request.sharedWith);
  const existing = await existingGrant(deps.store, application.id, expected);
  if (existing?.state.type === 'suspended') {
    throw oauthError('oauth.suspended', `this grant is suspended: ${existing.state.reason}`, {
      hint: `resume it first: postern mailbox resume ${shellWord(address)}`,
    });
  }
  const protocols = await protocolsOf(deps.store, existing, address, request.protocols);
  const scopes = scopesFor(client.profile, protocols);
  const { answer, nonce } =
    request.flow === 'device-code'
      ? { answer: await byDevice(request, client, scopes), nonce: undefined }
      : await byBrowser(request, client, { scopes, loginHint: expected });

  const identity = await verifiedIdentity(answer, { ...client, clientId: application.clientId, nonce }, deps.clock);
  checkIdentity(identity, expected, address, request.sharedWith !== undefined);
  checkSubject(identity, existing, address);
  const { missing, extra } = compareScopes(scopes, answer.scopes);
  if (missing.length > 0) {
    throw oauthError('oauth.scope-missing', `the provider did not grant ${missing.join(', ')}`, {
      detail: { missing, granted: answer.scopes },
    });
  }
  checkAccessToken(answer.accessToken, client.profile, { protocols, appOnly: false });
  if (!answer.refreshToken) {
    throw oauthError(
      'oauth.scope-missing',
      'the provider gave no refresh token, so the mailbox would close within the hour',
      {
        hint: 'allow offline access (offline_access) for this application, then start again',
        detail: { missing: ['offline_access'] },
      },
    );
  }
  await requireUnchanged(deps, request, begun);
  // The same person may have consented for another mailbox meanwhile, and this consent takes the place of that.
  const current = await existingGrant(deps.store, application.id, expected);
  checkSubject(identity, current, address);
  const needed = scopesFor(client.profile, await protocolsOf(deps.store, current, address, request.protocols));
  if (needed.some((scope) => !scopes.includes(scope)))
    throw superseded(address, `${expected} consented to more, for another mailbox, during the sign-in`);
  const { grant, mailbox } = await storeConsent(deps, request, {
    existing: current,
    tokens: {
      applicationId: application.id,
      flow: request.flow,
      identity: expected,
      subject: identity?.subject,
      scopes,
      answer,
      inactivityMs: client.profile.inactivityMs,
    },
    access: request.sharedWith === undefined ? 'own' : 'shared',
    begun,
  });
  if (extra.length > 0) {
    deps.log.warn({ grantId: grant.id, extra }, 'the provider granted more than was asked for');
    await emit({ type: 'scopes.broader', grantId: grant.id, applicationId: application.id, extra });
  }
  return { grant, mailbox };
}

async function connectAppOnly(
  deps: ConnectDeps,
  request: Normal<Exclude<Flow, 'authorization-code' | 'device-code'>>,
  client: Client,
  begun: Standing,
): Promise<{ grant: Grant; mailbox: Mailbox }> {
  const { application, flow } = request;
  requireCredential(flow, await openCredentials(deps.vault, application), application.name);
  const grants = await deps.store.grants.list();
  // A service account's token is one person's; every other app-only token opens all mailboxes of the application.
  const identity = flow === 'service-account' ? request.address : application.clientId;
  const existing = grants.find(
    (grant) => grant.applicationId === application.id && grant.flow === flow && grant.identity === identity,
  );
  const protocols = await protocolsOf(deps.store, existing, request.address, request.protocols);
  const scopes = flow === 'service-account' ? mailScopes(client.profile, protocols) : client.profile.appScopes;
  const answer = await client.appOnly.appOnly(scopes, flow === 'service-account' ? identity : undefined);
  checkAccessToken(answer.accessToken, client.profile, { protocols, appOnly: true });
  await requireUnchanged(deps, request, begun);
  return storeConsent(deps, request, {
    existing,
    tokens: {
      applicationId: application.id,
      flow,
      identity,
      subject: undefined,
      scopes,
      answer,
      inactivityMs: undefined,
    },
    access: 'app-only',
    begun,
  });
}

async function byBrowser(
  request: Normal,
  client: Client,
  ask: { readonly scopes: readonly string[]; readonly loginHint: string },
): Promise<{ readonly answer: TokenAnswer; readonly nonce: string }> {
  const { redirect } = request;
  if (!redirect)
    throw oauthError('oauth.flow-unavailable', 'the authorization-code flow needs a redirect to come back to');
  const { url, nonce, redeem } = await beginCodeFlow(client.delegated, { ...ask, redirectUri: redirect.uri });
  const answer = await redirect.wait(url.href, request.signal);
  request.signal?.throwIfAborted();
  return { answer: await redeem(answer), nonce };
}

function byDevice(request: Normal, client: Client, scopes: readonly string[]): Promise<TokenAnswer> {
  if (client.profile.preset.deviceCode === 'no') {
    throw oauthError('oauth.flow-unavailable', `${client.profile.preset.name} offers no device code for mail`, {
      hint: 'use --flow authorization-code; on a host without a browser the address can be pasted back',
    });
  }
  if (!request.device) throw oauthError('oauth.flow-unavailable', 'the device-code flow needs a way to show the code');
  return client.delegated.device(scopes, request.device, request.signal ?? new AbortController().signal);
}

function checkIdentity(identity: Identity | undefined, expected: string, address: string, shared: boolean): void {
  if (!identity || identity.addresses.includes(expected)) return;
  const who = identity.addresses[0] ?? 'an account without an address';
  throw oauthError('oauth.wrong-identity', `${who} signed in, but ${expected} was expected`, {
    detail: { signedIn: identity.addresses, expected },
    hint: shared
      ? `sign in as ${expected}, or declare ${who} as the delegate of ${address}`
      : `sign in as ${expected}; if it is a shared mailbox, say so: postern mailbox reconsent ${shellWord(address)} --shared-with ${shellWord(who)}`,
  });
}

/** Addresses can be given to somebody else; the provider's own name for the account cannot (OpenID Connect Core §5.7). */
function checkSubject(identity: Identity | undefined, existing: Grant | undefined, address: string): void {
  if (identity === undefined || existing?.subject === undefined || identity.subject === existing.subject) return;
  throw oauthError(
    'oauth.wrong-identity',
    `another account than the one that consented before signed in for ${address}`,
    {
      detail: { expected: existing.identity },
      hint: `sign in with the account that consented before; if the address now belongs to another account: postern mailbox remove ${shellWord(address)}, then postern mailbox add ${shellWord(address)}`,
    },
  );
}

/** Whoever consented before, with whichever delegated flow, consents again to the same grant. */
async function existingGrant(store: Store, applicationId: string, identity: string): Promise<Grant | undefined> {
  const grants = await store.grants.list();
  return grants.find(
    (grant) => grant.applicationId === applicationId && grant.identity === identity && !isAppOnly(grant.flow),
  );
}

/** One token serves every mailbox of a grant, so a consent asks for what all of them need. */
async function protocolsOf(
  store: Store,
  grant: Grant | undefined,
  address: string,
  asked: readonly Protocol[],
): Promise<readonly Protocol[]> {
  const others = grant ? await store.mailboxes.byGrant(grant.id) : [];
  return [...new Set([...asked, ...others.filter((box) => box.address !== address).flatMap((box) => box.protocols)])];
}

/** @throws oauth.misconfigured */
function normalAddress(address: string): string {
  const text = foldCase(address.trim());
  if (/^[^\s@]+@[^\s@]+$/.test(text)) {
    // No mail provider has a domain of one word: this is one that was cut off.
    const domain = text.slice(text.indexOf('@') + 1);
    if (domain === 'localhost' || /^[^.]+\.[^.]/.test(domain)) return text;
    throw oauthError('oauth.misconfigured', `${address} has no complete domain`, {
      hint: `write it whole, such as ${text}.com`,
    });
  }
  throw oauthError('oauth.misconfigured', `${address} is not a mail address`, { hint: 'write it as name@domain' });
}
