/** `postern check ADDRESS`: everything between a mail program's sign-in and the provider's mailbox, in the order in which it is needed. */
import { shellWord } from '../base/shell.ts';
import { asError, isError, type Kind, PosternError } from '../base/error.ts';
import { catalogue } from '../oauth/catalogue/catalogue.ts';
import { diagnose, type Facts } from '../oauth/catalogue/diagnose.ts';
import { applicationFacts } from '../oauth/catalogue/facts.ts';
import type { Blame } from '../oauth/catalogue/schema.ts';
import { oauthError } from '../oauth/errors.ts';
import { GraphAccesses } from '../oauth/graph-access.ts';
import { grantHealth, type RiskCause } from '../oauth/health.ts';
import { type ProviderProfile, resolveProvider } from '../oauth/provider.ts';
import { readGrant } from '../oauth/renewal.ts';
import type { AccessToken } from '../oauth/types.ts';
import { heldOf, heldText, releaseCommand } from '../outbox/held.ts';
import { isCatchAll, rowOf } from '../store/table/mailboxes.ts';
import type { Application, Grant, Mailbox, RenewalFailure } from '../store/types.ts';
import { type Protocol } from '../store/protocols.ts';
import { describeChanges, describeLimits, type Usage } from './advice.ts';
import { checkAuthority } from './authority.ts';
import { checkCredential, judgeRefused } from './credential.ts';
import { checkGraph, leavesByGraph } from './graph.ts';
import { checkProtocol } from './protocol.ts';
import { type Found, operatorWarning, Steps } from './step.ts';
import { factsOfToken, judgeToken, obtainToken } from './tokens.ts';
import { remembered } from './tried.ts';
import type { CheckDeps, CheckOptions, Finding } from './types.ts';

/** The findings as they come, remembered for `mailbox list`. Never throws but the abort: a failure is a finding. */
export function checkMailbox(
  deps: CheckDeps,
  mailbox: Mailbox,
  options: CheckOptions = {},
): AsyncGenerator<Finding, void, void> {
  return remembered(deps, mailbox, everyStep(deps, mailbox, options));
}

async function* everyStep(
  deps: CheckDeps,
  mailbox: Mailbox,
  options: CheckOptions,
): AsyncGenerator<Finding, void, void> {
  const { clock } = deps;
  const parts = await openParts(deps, mailbox).catch(asError);
  if (isError(parts)) {
    yield new Steps(clock, options, { address: mailbox.address, row: rowOf(mailbox) }).failed(
      'grant',
      'consent',
      parts,
    );
    return;
  }
  const { application, grant, profile, facts } = parts;
  const steps = new Steps(clock, options, facts);
  const consent = await steps.run('grant', 'consent', async () => {
    // One that the provider refused and may take back is asked about all the same.
    await readGrant(deps, grant.id, Infinity);
    return {
      says: describeGrant(grant, application),
      facts: { flow: grant.flow, identity: grant.identity, state: grant.state.type, provider: application.provider },
    };
  });
  yield consent;
  yield* checkAuthority(deps, profile, steps, options);
  yield await steps.run('credential', 'application credential', () => checkCredential(deps, application));

  let token: AccessToken | undefined;
  if (consent.outcome === 'failed') {
    yield steps.skipped('token', 'token', 'not asked for: there is no consent');
  } else {
    const asked = await steps.run('token', 'token', async () => {
      const obtained = await obtainToken(deps, mailbox, true, options);
      token = obtained.token;
      steps.learn(factsOfToken(token, mailbox));
      return obtained.found;
    });
    yield asked;
    const refused = [...(deps.tokens.refusedCredentials?.(application.id) ?? [])];
    if (refused.length > 0)
      yield await steps.run('credential.refused', 'refused credential', () =>
        judgeRefused(application, refused, facts),
      );
    const got = token;
    if (got) yield await steps.run('permissions', 'token permissions', () => judgeToken(got, profile, grant, mailbox));
    if (got && profile.microsoft && leavesByGraph(mailbox))
      yield await steps.run('graph', 'Microsoft Graph', () =>
        checkGraph(new GraphAccesses(deps.renewal), grant, mailbox),
      );
    yield await steps.run('health', 'what is to come', () => describeHealth(deps, parts, mailbox, asked));
  }
  const everyAddress = isCatchAll(mailbox.address);
  if (everyAddress)
    yield steps.skipped(
      'sign-in',
      'sign-in',
      `it stands for every address of its domain: postern check ${shellWord(`SOMEBODY${mailbox.address.slice(1)}`)}`,
    );
  for (const protocol of everyAddress ? [] : mailbox.protocols)
    yield* checkProtocol({ deps, mailbox, protocol, steps, token, options });
  const held = heldOf(mailbox);
  if (held)
    yield await steps.run('outbox', 'outbox', () => ({
      says: heldText(held),
      facts: { ...held, since: new Date(held.since).toISOString() },
      warning: operatorWarning('mailbox.held', heldText(held), {
        do: 'let its mail go when the reason is gone',
        run: releaseCommand(held),
      }),
    }));
  const usage = usageOf(mailbox, grant, application, profile);
  yield await steps.run('limits', 'provider limits', () => describeLimits(catalogue(), usage));
  yield await steps.run('calendar', 'provider changes', () => describeChanges(catalogue(), usage, clock.now()));
}

/** `postern mailbox test`: one protocol alone, with the token at hand, or with a new one where the server refuses that. Remembered as well. */
export function checkSignIn(
  deps: CheckDeps,
  mailbox: Mailbox,
  protocol: Protocol,
  options: CheckOptions = {},
): AsyncGenerator<Finding, void, void> {
  return remembered(deps, { ...mailbox, protocols: [protocol] }, signInSteps(deps, mailbox, protocol, options));
}

async function* signInSteps(
  deps: CheckDeps,
  mailbox: Mailbox,
  protocol: Protocol,
  options: CheckOptions,
): AsyncGenerator<Finding, void, void> {
  const parts = await openParts(deps, mailbox).catch(asError);
  const steps = new Steps(
    deps.clock,
    options,
    isError(parts) ? { address: mailbox.address, row: rowOf(mailbox) } : parts.facts,
  );
  let token: AccessToken | undefined;
  const asked = await steps.run('token', 'token', async () => {
    const obtained = await obtainToken(deps, { ...mailbox, protocols: [protocol] }, false, options);
    token = obtained.token;
    steps.learn(factsOfToken(token, mailbox));
    return obtained.found;
  });
  yield asked;
  if (!token) return;
  const findings = await Array.fromAsync(checkProtocol({ deps, mailbox, protocol, steps, token, options }));
  const refused = findings.some(({ step, outcome }) => step === `${protocol}.sign-in` && outcome === 'failed');
  if (!refused) return yield* findings;
  // The gateway asks for a new token as well before it believes a refusal.
  let renewed: AccessToken | undefined;
  yield await steps.run('token', 'token', async () => {
    const obtained = await obtainToken(deps, { ...mailbox, protocols: [protocol] }, true, options);
    renewed = obtained.token;
    return obtained.found;
  });
  if (renewed) yield* checkProtocol({ deps, mailbox, protocol, steps, token: renewed, options });
  else yield* findings;
}

interface Parts {
  readonly application: Application;
  readonly grant: Grant;
  readonly profile: ProviderProfile;
  readonly facts: Facts;
}

/** @throws oauth.needs-consent, oauth.misconfigured, store.unavailable */
async function openParts({ store }: CheckDeps, mailbox: Mailbox): Promise<Parts> {
  const grant = await store.grants.find(mailbox.grantId);
  if (!grant) throw oauthError('oauth.needs-consent', `the grant of ${mailbox.address} is gone`);
  const application = await store.applications.find(grant.applicationId);
  if (!application) throw oauthError('oauth.misconfigured', `the application of ${mailbox.address} is gone`);
  const facts = {
    ...applicationFacts(application, mailbox.address),
    row: rowOf(mailbox),
    access: mailbox.access,
    protocols: mailbox.protocols.join(','),
    ...(mailbox.access === 'shared' ? { delegate: grant.identity } : {}),
  };
  return { application, grant, profile: resolveProvider(application), facts };
}

/**
 * What will stop the mail unless somebody acts. The credential has a step of its own, and so has what the provider answers now:
 * a failure that was stored is no second cause beside it.
 */
async function describeHealth(
  { store, clock }: CheckDeps,
  { grant, application, profile, facts: about }: Parts,
  mailbox: Mailbox,
  asked: Finding,
): Promise<Found> {
  // As it is now: the token may have been renewed a moment ago.
  const now = (await store.grants.find(grant.id)) ?? grant;
  const { inactivityMs } = profile;
  const refused = asked.outcome === 'failed';
  const { failing, ...record } = now.renewal ?? {};
  const judged = refused && 'renewedAt' in record ? { ...now, renewal: record } : now;
  const health = grantHealth({ grant: judged, application, inactivityMs, mailbox: rowOf(mailbox) }, clock.now());
  const facts = { health: health.type };
  if (health.type === 'healthy' && !refused) return { says: 'nothing known that will end the consent', facts };
  if (
    health.type !== 'at-risk' ||
    health.cause.startsWith('credential-') ||
    (refused && health.cause === 'not-renewed')
  )
    return refused && failing && failing.reason !== asked.says
      ? {
          says: `as told above; renewal has failed since ${minuteOf(failing.since)}, before with: ${failing.reason}`,
          facts,
        }
      : { says: refused ? 'as told above: no token' : `as told above: ${health.type}`, facts };
  const at = health.at === undefined ? null : new Date(health.at).toISOString();
  const { blame, passesWhen, remedy } =
    failing && health.cause === 'renewal-failing'
      ? { ...diagnose(failureOf(failing), about), remedy: [{ do: failing.hint }] }
      : {
          blame: WHO_ACTS[health.cause],
          passesWhen: undefined,
          remedy: [
            { do: refused && health.cause === 'inactive' ? 'remove what is told of the token above' : health.remedy },
          ],
        };
  return {
    says: at === null ? health.reason : `${health.reason}; ${endText(health.cause, at)}`,
    facts: { ...facts, cause: health.cause, at },
    warning: {
      id: `health.${health.cause}`,
      cause: health.reason,
      blame,
      ...(passesWhen === undefined ? {} : { passesWhen }),
      remedy,
    },
  };
}

/** As it was thrown, as far as it was stored. */
function failureOf({ code, kind, reason, hint, providerCode }: RenewalFailure): PosternError {
  const detail = providerCode === undefined ? {} : { reason: providerCode };
  // Stored by us from an error's own kind.
  return new PosternError(code, { kind: kind as Kind, hint }, reason, { detail });
}

const WHO_ACTS: Readonly<Record<RiskCause, Blame>> = {
  'renewal-failing': 'operator',
  'credential-expiring': 'operator',
  'credential-expired': 'operator',
  'consent-ending': 'user',
  inactive: 'operator',
  'not-renewed': 'operator',
};

/** A token that cannot be renewed may be refused before its end: only what ends of itself has a date. */
function endText(cause: RiskCause, at: string): string {
  const moment = minuteOf(Date.parse(at));
  return cause === 'renewal-failing'
    ? `the current token ends at ${moment}, and may be refused before`
    : `mail stops at ${moment}`;
}

const minuteOf = (at: number): string => new Date(at).toISOString().slice(0, 16).replace('T', ' ');

function describeGrant(grant: Grant, { name, provider }: Application): string {
  return `${grant.identity} by ${grant.flow}, application ${name} (${provider})`;
}

function usageOf(mailbox: Mailbox, grant: Grant, { provider }: Application, profile: ProviderProfile): Usage {
  const { address, protocols } = mailbox;
  const hosts = protocols.flatMap((protocol) => profile.mail[protocol]?.host ?? []);
  return { address, preset: provider, flow: grant.flow, protocols, hosts };
}
