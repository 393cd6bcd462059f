/** The application step of `postern init`: one that is here, one that was registered, or how to register one. */
import { shellWord } from '../base/shell.ts';
import type { ClientCredential } from '../oauth/application.ts';
import { presetById, presets } from '../oauth/providers.ts';
import type { MicrosoftPreset } from '../oauth/preset.ts';
import { registerCommand, tenantOf } from '../onboard/register/command.ts';
import { planRegistration } from '../onboard/register/plan.ts';
import { googleSteps } from '../onboard/register/google.ts';
import { portalSteps } from '../onboard/register/script.ts';
import { verifyApplication } from '../onboard/register/verify.ts';
import type { Instance } from '../server/instance.ts';
import type { Application } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import type { Context } from './context.ts';
import { type CredentialOptions, readCredential } from './credential-options.ts';
import type { Dialogue } from './dialogue.ts';
import { cliError } from './errors.ts';
import { addApplication, removeApplication, setApplication } from '../admin/applications.ts';
import { findApplication } from '../admin/find.ts';
import { discoverAddress, foundProvider, type FoundProvider } from './find-provider.ts';
import { type SettingsOptions, settingsOf } from './new-application.ts';

export interface ApplicationOptions extends SettingsOptions, CredentialOptions {
  readonly application?: string;
  readonly preset?: string;
  readonly clientId?: string;
  readonly tenant?: string;
  readonly protocols?: readonly Protocol[];
}

/** What the guided way works with. */
export interface Setup<Options = ApplicationOptions> {
  readonly context: Context;
  readonly instance: Instance;
  readonly dialogue: Dialogue;
  readonly options: Options;
  readonly address: string;
}

/** @throws cli.*, oauth.*, discover.address */
export async function applicationFor(setup: Setup): Promise<Application> {
  const { instance, dialogue, options, address } = setup;
  const all = await instance.store.applications.list();
  // What an interrupted start has left is gone on with: the same client is the same application.
  const known = all.find(
    ({ name, clientId }) =>
      (options.application === undefined || name === options.application) &&
      (options.clientId === undefined || clientId === options.clientId) &&
      (options.application !== undefined || options.clientId !== undefined),
  );
  if (known) return updated(setup, known);
  if (options.clientId !== undefined || all.length === 0) return newApplication(setup);
  const found = await providerOf(setup, 'quiet');
  const fitting =
    found === undefined
      ? await ofSameDomain(instance, all, address)
      : all.filter(({ provider }) => provider === found.preset);
  if (!dialogue.interactive) {
    const [only, ...others] = fitting;
    if (only && others.length === 0) return only;
    if (only)
      throw cliError('cli.usage', `several applications are registered at ${nameOfPreset(only.provider)}`, {
        hint: `say which with --application: ${fitting.map(({ name }) => name).join(', ')}`,
      });
    throw noneFits(found, all, address);
  }
  const chosen = await dialogue.choose(
    {
      question: 'Which application?',
      explanation:
        found === undefined
          ? 'Nothing is known about the provider of this address. Choose an application only if it is registered there.'
          : `The mailbox is at ${nameOfPreset(found.preset)}. An application of another provider cannot open it.`,
      option: '--application NAME',
    },
    [
      ...fitting.map(({ name, provider }) => ({ value: name, label: `${name} (${provider})`, hint: 'fits' })),
      ...all
        .filter((one) => !fitting.includes(one))
        .map(({ name, provider }) => ({ value: name, label: `${name} (${provider})` })),
      { value: '', label: 'another one' },
    ],
    fitting[0]?.name ?? '',
  );
  if (chosen !== '') return findApplication(instance.store, chosen);
  return newApplication(setup, found);
}

/** Applications that open other mailboxes of the same domain: as good as having discovered it. */
async function ofSameDomain(
  { store }: Instance,
  all: readonly Application[],
  address: string,
): Promise<readonly Application[]> {
  const domain = address.slice(address.lastIndexOf('@'));
  const grants = new Map((await store.grants.overview()).map((grant) => [grant.id, grant.applicationId]));
  const near = (await store.mailboxes.list()).filter((one) => one.address.endsWith(domain));
  const ids = new Set(near.map(({ grantId }) => grants.get(grantId)));
  return all.filter(({ id }) => ids.has(id));
}

/** Options given again count, so that a wrong one is corrected by saying it again. */
async function updated({ context, instance, options }: Setup, known: Application): Promise<Application> {
  const { application, fields } = await context.perform(instance, setApplication, {
    name: known.id,
    change: { provider: options.preset, tenant: options.tenant, settings: settingsOf(options) },
  });
  context.say(
    `going on with ${known.name}, which is here already${fields.length === 0 ? '' : `; changed ${fields.join(', ')}`}`,
  );
  return application;
}

const nameOfPreset = (preset: string): string => presetById(preset)?.name ?? preset;

/** Never another provider's application in silence: it could open nothing there. */
function noneFits(found: FoundProvider | undefined, all: readonly Application[], address: string): Error {
  const names = all.map(({ name, provider }) => `${name} (${provider})`).join(', ');
  if (found === undefined)
    return cliError('cli.nothing-found', `nothing is known about the provider of ${address}`, {
      hint: `if one of these is registered there, name it with --application: ${names}; otherwise give --preset and --client-id`,
    });
  return cliError(
    'cli.usage',
    `${address} is at ${nameOfPreset(found.preset)}, and no application here is registered there: ${names}`,
    {
      hint: `${registerCommand(found.preset, found)}, then postern init --address ${shellWord(address)} --client-id CLIENT_ID; or --application NAME if you know better`,
    },
  );
}

async function newApplication(setup: Setup, known?: FoundProvider): Promise<Application> {
  const { context, instance, dialogue, options } = setup;
  const found = known ?? (await providerOf(setup));
  const clientId = options.clientId ?? (await askClientId(setup, found));
  if (typeof clientId !== 'string') return clientId;
  const tenant = options.tenant ?? (found.tenant === undefined ? undefined : await askTenant(dialogue, found.tenant));
  const credential = await credentialOf(setup, found.preset);
  const application = await context.perform(instance, addApplication, {
    name: options.application ?? (await freeName(instance, found.preset)),
    provider: found.preset,
    clientId,
    tenant,
    settings: { ...found.settings, ...settingsOf(options) },
    credential,
    secretExpiresAt: options.secretExpires,
  });
  await verify(setup, application);
  return application;
}

async function freeName({ store }: Instance, preset: string): Promise<string> {
  const first = presetById(preset)?.applicationName ?? preset;
  for (let count = 1; ; count++) {
    const name = count === 1 ? first : `${first}-${count}`;
    if (!(await store.applications.byName(name))) return name;
  }
}

async function providerOf(setup: Setup): Promise<FoundProvider>;
/** `quiet`: nobody is asked, and what is not known is undefined. */
async function providerOf(setup: Setup, quiet: 'quiet'): Promise<FoundProvider | undefined>;
async function providerOf(
  { context, dialogue, options, address }: Setup,
  quiet?: 'quiet',
): Promise<FoundProvider | undefined> {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  if (options.preset !== undefined)
    return { preset: options.preset, tenant: tenantOf(options.preset, domain), settings: {} };
  // With an authority of one's own there is nothing to discover, and it names the tenant.
  if (options.authority !== undefined) return { preset: 'microsoft', tenant: undefined, settings: {} };
  if (options.issuer !== undefined) return { preset: 'oidc', tenant: undefined, settings: {} };
  context.say(`looking for the provider of ${domain}…`);
  const { candidates } = await discoverAddress(address, options.ca === undefined ? {} : { ca: options.ca });
  for (const { name, evidence, caution } of candidates)
    context.say(`found ${name}, from ${evidence}${caution === undefined ? '' : `; careful: ${caution}`}`);
  const [best] = candidates;
  if (quiet) return best && foundProvider(best, domain);
  if (!best) context.say(`nothing is known about ${domain}`);
  if (!best && !dialogue.interactive) {
    throw cliError('cli.nothing-found', `nothing is known about the provider of ${domain}`, {
      hint: 'say which it is: --preset microsoft for Microsoft 365; postern discover ADDRESS shows what was tried',
    });
  }
  const chosen = await dialogue.choose(
    {
      question: 'Which provider?',
      explanation: 'Where the mailbox is. If a mail filter stands in front, the provider behind it counts.',
      option: '--preset PROVIDER',
    },
    presets.map(({ id, name }) => ({ value: id, label: name, ...(id === best?.preset ? { hint: 'found' } : {}) })),
    best?.preset ?? 'microsoft',
  );
  const same = candidates.find(({ preset }) => preset === chosen);
  return same ? foundProvider(same, domain) : { preset: chosen, tenant: tenantOf(chosen, domain), settings: {} };
}

/** The client id, or the application itself where it was registered on the way. */
async function askClientId(setup: Setup, found: FoundProvider): Promise<string | Application> {
  const { context, dialogue, options, address } = setup;
  const { tenant = found.tenant, issuer } = options;
  const command = registerCommand(found.preset, { tenant, issuer });
  if (!dialogue.interactive) {
    throw cliError(
      'cli.needs-terminal',
      `an application at ${presetById(found.preset)?.name ?? found.preset} is needed`,
      {
        hint: `${command}, then postern init --address ${shellWord(address)} --client-id CLIENT_ID`,
      },
    );
  }
  const preset = presetById(found.preset);
  const organisation = preset?.family === 'microsoft' && found.tenant !== undefined ? preset : undefined;
  const way = await dialogue.choose(
    {
      question: 'Is an application registered already?',
      explanation:
        'The provider has to know Postern as an application of yours. That is done once for all mailboxes of an organisation, by somebody who may register applications there.',
      option: '--client-id ID',
    },
    [
      { value: 'have', label: 'yes, I have its client id' },
      ...(organisation === undefined
        ? []
        : [
            {
              value: 'apply',
              label: 'no, register it now with the Azure CLI (az)',
              hint: 'you are signed in there as an administrator',
            },
          ]),
      { value: 'steps', label: 'no, show me the steps' },
    ],
    'have',
  );
  if (way === 'apply' && organisation !== undefined) return registerNow(setup, organisation, command);
  if (way === 'steps') {
    for (const [index, step] of stepsFor(found, options).entries()) process.stderr.write(`${index + 1}. ${step}\n`);
    context.say(`with commands and Exchange script: ${command}`);
  }
  return dialogue.text(
    {
      question: 'Client id?',
      explanation: 'The application (client) id, as the registration’s overview shows it. Not a secret.',
      option: '--client-id ID',
    },
    undefined,
    (text) => (/^\S{3,200}$/.test(text) ? undefined : 'it is one word'),
  );
}

function planOf({ cloud, accounts }: MicrosoftPreset, options: ApplicationOptions) {
  return planRegistration({
    name: 'Postern',
    flow: 'authorization-code',
    protocols: options.protocols ?? ['imap', 'smtp'],
    cloud,
    accounts,
    smtpBy: 'role-assignment',
    mailboxes: [],
  });
}

function stepsFor({ preset }: FoundProvider, options: ApplicationOptions): readonly string[] {
  const known = presetById(preset);
  if (known?.family === 'microsoft') return portalSteps(planOf(known, options));
  if (known?.register === 'google') return googleSteps({ name: 'Postern', accounts: 'workspace' });
  return [
    'Ask the provider for an OAuth client of the kind native or desktop application, public, with redirect URI http://localhost/.',
    ...(known?.notes ?? []),
  ];
}

async function registerNow(
  { context, instance, options }: Setup,
  preset: MicrosoftPreset,
  command: string,
): Promise<Application> {
  const { registerPlan } = await import('./register-apply.ts');
  const { tenant } = options;
  const clientId = await registerPlan(context, instance, planOf(preset, options), {
    application: options.application ?? (await freeName(instance, preset.id)),
    ...(tenant === undefined ? {} : { tenant }),
  });
  const made = (await instance.store.applications.list()).find((one) => one.clientId === clientId);
  if (made) return made;
  throw cliError('cli.not-found', 'the application was registered, but Postern does not know it', {
    hint: `${command} --apply`,
  });
}

function askTenant(dialogue: Dialogue, domain: string): Promise<string> {
  return dialogue.text(
    {
      question: 'Tenant?',
      explanation:
        'The organisation: its directory id, or a domain that is verified there. “organizations” where people of several sign in.',
      option: '--tenant TENANT',
    },
    domain,
  );
}

async function credentialOf({ dialogue, options }: Setup, preset: string): Promise<ClientCredential | undefined> {
  const given = await readCredential(options);
  if (given || presetById(preset)?.needsSecret !== true) return given;
  const secret = await dialogue.secret({
    question: 'Client secret?',
    explanation: `${presetById(preset)?.name ?? preset} asks for it although the application runs on your machine. It is typed unseen and kept sealed.`,
    option: '--client-secret-file FILE',
  });
  return { type: 'secret', secret };
}

/** Before anybody signs in: what is wrong with the registration shows here, in words. */
async function verify({ context, instance, options }: Setup, application: Application): Promise<void> {
  const preset = presetById(application.provider);
  if (preset?.family !== 'microsoft' || application.credential !== undefined) return;
  const checks = await verifyApplication(instance, application, planOf(preset, options));
  const failed = checks.find(({ outcome }) => outcome === 'failed');
  for (const { name, outcome, found } of checks) if (outcome === 'ok') context.say(`${name}: ${found}`);
  if (!failed) return;
  // Wrong from the start, so the next try asks again.
  await context.perform(instance, removeApplication, { name: application.id });
  throw cliError(
    'cli.registration',
    `${failed.name}: ${failed.found}`,
    failed.next === undefined ? {} : { hint: failed.next },
  );
}
