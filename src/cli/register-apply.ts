/** `postern register microsoft --apply` and `--verify`: the Azure CLI, the store, and what came of it. */
import { lines } from '../base/lines.ts';
import { shellWord } from '../base/shell.ts';
import { openCredentials, type ClientCredential } from '../oauth/application.ts';
import { resolveProvider } from '../oauth/provider.ts';
import { applyPlan, type Applied, type Registered } from '../onboard/register/apply.ts';
import { openAz } from '../onboard/register/az.ts';
import { makeCertificate } from '../onboard/register/certificate.ts';
import { presetById } from '../oauth/providers.ts';
import { exchangeScript } from '../onboard/register/exchange-script.ts';
import { consentPage, type Plan } from '../onboard/register/plan.ts';
import { type Check, verifyApplication } from '../onboard/register/verify.ts';
import { verifyInDirectory } from '../onboard/register/verify-directory.ts';
import type { Instance } from '../server/instance.ts';
import type { Application, Flow } from '../store/types.ts';
import { readSecret, readText } from './ask.ts';
import { addApplication, addCredential } from '../admin/applications.ts';
import { flowOfCredential } from './consent.ts';
import type { Context } from './context.ts';
import { cliError } from './errors.ts';
import { onInterrupt } from './interrupt.ts';
import { type SettingsOptions, settingsOf } from './new-application.ts';
import { afterConsent, flowOf, type MicrosoftOptions, planOf, saveExchangeScript } from './microsoft-plan.ts';

/** Carries the registration out and stores it. @throws register.*, cli.*, oauth.* */
export async function applyRegistration(context: Context, options: MicrosoftOptions): Promise<void> {
  const plan = planOf(options);
  using stop = onInterrupt(() =>
    cliError('cli.usage', 'stopped', { hint: 'run the same command again: it goes on where it stopped' }),
  );
  await context.withInstance(async (instance) => {
    const named = await instance.store.applications.byName(options.application);
    // What could not be stored later is found out before anything is made.
    resolveProvider({
      name: options.application,
      provider: plan.preset.id,
      tenant: options.tenant,
      settings: settingsOf(options),
    });
    const certificate = plan.flow === 'certificate' ? await certificateOf(plan, options, instance) : undefined;
    const applied = await applyPlan(plan, {
      az: openAz(),
      progress: (line) => context.say(line),
      hasCredential: async (clientId) => {
        const known = await byClientId(instance, clientId);
        if (named && named.clientId !== clientId) throw nameTaken(named);
        return known?.credential !== undefined;
      },
      keep: (made) => keep(context, instance, plan, options, made),
      adminConsent: options.adminConsent === true,
      signal: stop.signal,
      ...(certificate === undefined ? {} : { certificate }),
      ...(options.assertionFile === undefined ? {} : { assertionFile: options.assertionFile }),
    });
    const checks = options.verify === true ? await verifyNow(instance, applied.clientId, plan) : [];
    report(context, plan, options, applied, checks);
  });
}

/**
 * The same for `postern init`: a person’s consent, no certificate; says what it does and where an administrator consents.
 * @returns the client id
 */
export async function registerPlan(
  context: Context,
  instance: Instance,
  plan: Plan,
  options: KeepOptions,
): Promise<string> {
  const { clientId, consent } = await applyPlan(plan, {
    az: openAz(),
    progress: (line) => context.say(line),
    hasCredential: async (id) => (await byClientId(instance, id))?.credential !== undefined,
    keep: (made) => keep(context, instance, plan, options, made),
    adminConsent: false,
  });
  if (consent === 'pending')
    context.say(`where people may not consent by themselves, an administrator opens: ${consentPage(plan, clientId)}`);
  return clientId;
}

type KeepOptions = Pick<MicrosoftOptions, 'application' | 'tenant' | keyof SettingsOptions>;

const nameTaken = ({ name, clientId }: Application): Error =>
  cliError('cli.usage', `the application ${name} is another one (${clientId})`, {
    hint: 'choose another --application NAME',
  });

async function byClientId({ store }: Instance, clientId: string): Promise<Application | undefined> {
  return (await store.applications.list()).find((one) => one.clientId === clientId);
}

async function certificateOf(
  plan: Plan,
  options: MicrosoftOptions,
  instance: Instance,
): Promise<Extract<ClientCredential, { type: 'certificate' }>> {
  if (options.certificate === undefined) return makeCertificate(plan.name, 365, instance.clock.now());
  if (options.privateKey === undefined)
    throw cliError('cli.usage', 'a certificate needs its private key', { hint: 'add --private-key FILE' });
  return {
    type: 'certificate',
    certificatePem: readText(options.certificate, 'certificate'),
    privateKey: await readSecret(options.privateKey, 'private key'),
  };
}

const YEAR_MS = 365 * 86_400_000;

/** Called with the credential in hand: it is stored before anything else is done. */
async function keep(
  context: Context,
  instance: Instance,
  plan: Plan,
  options: KeepOptions,
  made: Registered,
): Promise<void> {
  const known = await byClientId(instance, made.clientId);
  const secretExpiresAt = made.credential?.type === 'secret' ? instance.clock.now() + YEAR_MS : undefined;
  if (known) {
    const { credential } = made;
    if (credential) await context.perform(instance, addCredential, { name: known.id, credential, secretExpiresAt });
    return;
  }
  await context.perform(instance, addApplication, {
    name: options.application,
    provider: plan.preset.id,
    clientId: made.clientId,
    ...(plan.accounts === 'organization' ? { tenant: options.tenant ?? made.tenantId } : {}),
    settings: settingsOf(options),
    credential: made.credential,
    secretExpiresAt,
  });
}

function report(
  context: Context,
  plan: Plan,
  options: MicrosoftOptions,
  applied: Applied,
  checks: readonly Check[],
): void {
  const exchange = exchangeScript(plan, applied);
  saveExchangeScript(context, options, exchange);
  const consent = applied.consent === 'pending' ? consentPage(plan, applied.clientId) : undefined;
  context.result(
    {
      ...applied,
      provider: options.application,
      consentPage: consent ?? null,
      exchangeScript: exchange,
      checks,
    },
    lines(
      `${plan.name}: client id ${applied.clientId}, enterprise application ${applied.objectId}`,
      `Postern knows it as ${options.application}`,
      consent !== undefined && [
        '',
        'An administrator has to consent, once for everybody:',
        '',
        `  ${consent}`,
        ...afterConsent(consent),
      ],
      options.exchangeScript === undefined && [
        '',
        'Now in Exchange Online (PowerShell; --exchange-script FILE writes it to a file):',
        '',
        ...exchange.trimEnd().split('\n'),
      ],
      ...checkLines(checks),
    ),
  );
  const [address = 'ADDRESS'] = plan.mailboxes;
  context.say(
    `next: postern mailbox add ${shellWord(address)} --application ${shellWord(options.application)}${plan.appOnly ? ' --flow app-only' : ''} --protocols ${plan.protocols.join(',')}`,
  );
}

/** Looks whether the registration of a provider took effect; the exit code says so. @throws cli.not-found */
export async function verifyRegistration(context: Context, options: MicrosoftOptions): Promise<void> {
  await context.withInstance(async (instance) => {
    const application = await instance.store.applications.byName(options.application);
    if (!application) {
      throw cliError('cli.not-found', `there is no application called ${options.application}`, {
        hint: 'name one of: postern application list',
      });
    }
    const preset = presetById(application.provider);
    const flow = options.flow === undefined ? await flowOfApplication(instance, application) : flowOf(options.flow);
    const plan = planOf(
      {
        ...options,
        cloud: preset?.family === 'microsoft' ? preset.cloud : options.cloud,
        ...(application.tenant === undefined ? {} : { tenant: application.tenant }),
      },
      flow,
    );
    const checks = [
      ...(await verifyApplication(instance, application, plan)),
      ...(await verifyInDirectory(openAz(), application.clientId, plan)),
    ];
    context.result({ provider: application.name, checks }, checkLines(checks).slice(1));
    if (checks.some(({ outcome }) => outcome === 'failed')) process.exitCode = 69;
  });
}

async function flowOfApplication({ vault }: Instance, application: Application): Promise<Flow> {
  const [held] = await openCredentials(vault, application);
  return held ? flowOfCredential(held.credential) : 'authorization-code';
}

const SPREADS_MS = 10_000;
const TRIES = 6;

/** A new application and its credential take up to a minute to be known everywhere in the directory. */
async function verifyNow(instance: Instance, clientId: string, plan: Plan): Promise<readonly Check[]> {
  const application = await byClientId(instance, clientId);
  if (!application) throw cliError('cli.not-found', `there is no application with client id ${clientId}`);
  for (let attempt = 1; ; attempt++) {
    const checks = await verifyApplication(instance, application, plan);
    const fresh = checks.some(
      ({ outcome, found }) => outcome === 'failed' && /AADSTS(?:700016|7000215|700027)\b/.test(found),
    );
    if (!fresh || attempt === TRIES) return [...checks, ...(await verifyInDirectory(openAz(), clientId, plan))];
    await instance.clock.sleep(SPREADS_MS);
  }
}

const MARKS = { ok: 'ok     ', failed: 'FAILED ', unknown: '?      ' } as const;

function checkLines(checks: readonly Check[]): readonly string[] {
  if (checks.length === 0) return [];
  return [
    '',
    ...checks.flatMap(({ name, outcome, found, next }) => [
      `${MARKS[outcome]}${name}: ${found}`,
      ...(next === undefined ? [] : [`       next: ${next}`]),
    ]),
  ];
}
