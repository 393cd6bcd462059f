/** `postern import emailproxy`: stores what the old file says, tries what can be tried, and tells the rest. */
import { lines } from '../base/lines.ts';
import { shellWord } from '../base/shell.ts';
import { asError, isError } from '../base/error.ts';
import type { Secret } from '../base/secret.ts';
import type { ClientCredential } from '../oauth/application.ts';
import { isAppOnly } from '../oauth/flows.ts';
import {
  type EmailProxyConfig,
  type ImportedAccount,
  type ImportedListener,
  type ImportedProvider,
  readEmailProxy,
} from '../onboard/import/emailproxy.ts';
import { fernetOpener } from '../onboard/import/fernet.ts';
import { readServiceAccount } from '../onboard/service-account.ts';
import type { Instance } from '../server/instance.ts';
import type { Application } from '../store/types.ts';
import { readSecret, readText } from './ask.ts';
import { addApplication } from '../admin/applications.ts';
import { adoptMailbox, connectMailbox } from '../admin/mailboxes.ts';
import type { Context } from './context.ts';
import { settingsOf } from './new-application.ts';

interface Options {
  readonly passwordFile?: string;
  readonly plan?: true;
  readonly offline?: true;
  readonly settings?: string;
  readonly cacheStore?: string;
}

/** What became of one account. */
interface Outcome {
  readonly address: string;
  readonly provider: string;
  readonly flow: string;
  readonly protocols: readonly string[];
  /** `open`: tried, it works. `untried`: ought to. `waits`: for a consent. `kept`: the mailbox was here already. */
  readonly state: 'open' | 'untried' | 'waits' | 'kept' | 'planned';
  readonly notes: readonly string[];
  readonly next?: string;
}

/** @throws import.garbled, cli.usage, oauth.misconfigured, store.* */
export async function importEmailProxy(context: Context, file: string, options: Options): Promise<void> {
  const cache = options.cacheStore === undefined ? undefined : readText(options.cacheStore, 'token');
  const config = readEmailProxy(readText(file, 'configuration'), cache);
  const password = await passwordOf(context, config, options);
  if (options.plan === true) {
    const planned = config.accounts.map((account): Outcome => ({
      ...outcomeOf(account, account.provider.preset),
      state: 'planned',
    }));
    return tell(context, config, planned);
  }
  await context.withInstance(async (instance) => {
    const outcomes: Outcome[] = [];
    for (const account of config.accounts) {
      const outcome = await take({ context, instance, password, options }, account);
      context.say(`${account.address}: ${outcome.state}`);
      outcomes.push(outcome);
    }
    tell(context, config, outcomes);
  });
}

/** From its file; on a terminal it is asked for where it would help. Nothing typed: no consent is taken over. */
async function passwordOf(context: Context, config: EmailProxyConfig, options: Options): Promise<Secret | undefined> {
  const { passwordFile, plan } = options;
  if (passwordFile !== undefined) return readSecret(passwordFile, 'password of the mail program');
  const helps = config.accounts.some(
    ({ sealedRefreshToken, flow }) => sealedRefreshToken !== undefined && !isAppOnly(flow),
  );
  if (!helps || plan === true || context.json || !process.stdin.isTTY) return undefined;
  context.say('the old proxy sealed its consents with the password that your mail program uses there');
  const typed = await readSecret(undefined, 'that password, or nothing to consent again');
  return typed.reveal() === '' ? undefined : typed;
}

const outcomeOf = (account: ImportedAccount, provider: string): Omit<Outcome, 'state'> => ({
  address: account.address,
  provider,
  flow: account.flow,
  protocols: account.protocols,
  notes: account.notes,
});

interface Import {
  readonly context: Context;
  readonly instance: Instance;
  readonly password: Secret | undefined;
  readonly options: Options;
}

async function take(run: Import, account: ImportedAccount): Promise<Outcome> {
  const { context, instance, password, options } = run;
  const opened = await openSealed(account, password);
  const application = await applicationFor(run, account.provider, opened.clientSecret);
  const base = { ...outcomeOf(account, application.name), notes: [...account.notes, ...opened.notes] };
  if (await instance.store.mailboxes.find(account.address)) return { ...base, state: 'kept' };
  const { refreshToken } = opened;
  const adopted = { from: 'email-oauth2-proxy', application, account, refreshToken };
  const mailbox = await context.perform(instance, adoptMailbox, adopted);
  const waits: Outcome = {
    ...base,
    state: 'waits',
    next: `postern mailbox reconsent ${shellWord(account.address)}${account.flow === 'device-code' ? ' --flow device' : ''}`,
  };
  const ready = isAppOnly(account.flow) ? application.credential !== undefined : opened.refreshToken !== undefined;
  if (!ready) return waits;
  if (options.offline === true)
    return { ...base, state: 'untried', next: `postern check ${shellWord(account.address)}` };
  try {
    if (isAppOnly(account.flow)) {
      await context.perform(instance, connectMailbox, {
        application,
        address: account.address,
        protocols: account.protocols,
        flow: account.flow,
      });
    } else await instance.tokens.accessToken(mailbox, mailbox.protocols[0]!);
    return { ...base, state: 'open', next: `postern check ${shellWord(account.address)}` };
  } catch (thrown) {
    const error = asError(thrown);
    const notes = [...base.notes, error.message];
    // An outage passes, and the token was stored.
    if (error.kind === 'later')
      return { ...base, notes, state: 'untried', next: `postern check ${shellWord(account.address)}` };
    return { ...waits, notes };
  }
}

interface Opened {
  readonly refreshToken: Secret | undefined;
  readonly clientSecret: Secret | undefined;
  readonly notes: readonly string[];
}

async function openSealed(account: ImportedAccount, password: Secret | undefined): Promise<Opened> {
  const { sealedRefreshToken, salt, iterations, provider } = account;
  if (provider.credential.type === 'login-password')
    return {
      refreshToken: undefined,
      clientSecret: password,
      notes:
        password === undefined
          ? [
              'its client secret is the password that mail programs used at the old proxy; --password-file takes it over',
            ]
          : [],
    };
  const sealedSecret = provider.credential.type === 'sealed-secret' ? provider.credential.sealed : undefined;
  const clientSecret = provider.credential.type === 'secret' ? provider.credential.secret : undefined;
  const nothing = { refreshToken: undefined, clientSecret, notes: [] };
  if ((sealedRefreshToken ?? sealedSecret) === undefined || salt === undefined) return nothing;
  if (password === undefined)
    return {
      ...nothing,
      notes: ['its consent is sealed with the mail program’s password; --password-file takes it over'],
    };
  const open = fernetOpener(password, { salt, iterations });
  try {
    return {
      refreshToken:
        sealedRefreshToken === undefined || isAppOnly(account.flow) ? undefined : await open(sealedRefreshToken),
      clientSecret: sealedSecret === undefined ? clientSecret : await open(sealedSecret),
      notes: [],
    };
  } catch (error) {
    if (!isError(error, 'import.wrong-password')) throw error;
    return { ...nothing, notes: ['the password does not open its consent; it may have had another one'] };
  }
}

/** The application that is here already, or a new one under a name that is free. */
async function applicationFor(
  { context, instance, options }: Import,
  wanted: ImportedProvider,
  clientSecret: Secret | undefined,
): Promise<Application> {
  const settings = settingsOf(options);
  const all = await instance.store.applications.list();
  const same = all.find(
    (one) =>
      one.provider === wanted.preset &&
      one.clientId === wanted.clientId &&
      (one.tenant ?? '') === (wanted.tenant ?? ''),
  );
  if (same) return same;
  const taken = new Set(all.map(({ name }) => name));
  let name = wanted.preset;
  for (let count = 2; taken.has(name); count++) name = `${wanted.preset}-${count}`;
  const credential = await credentialOf(wanted, clientSecret);
  return context.perform(instance, addApplication, {
    name,
    provider: wanted.preset,
    clientId: wanted.clientId,
    settings,
    tenant: wanted.tenant,
    credential,
  });
}

async function credentialOf(
  wanted: ImportedProvider,
  clientSecret: Secret | undefined,
): Promise<ClientCredential | undefined> {
  if (wanted.credential.type === 'certificate') {
    return {
      type: 'certificate',
      certificatePem: readText(wanted.credential.certificateFile, 'certificate'),
      privateKey: await readSecret(wanted.credential.keyFile, 'private key'),
    };
  }
  if (wanted.credential.type === 'service-account') {
    const { key } = wanted.credential;
    return readServiceAccount('file' in key ? await readSecret(key.file, 'service account key') : key);
  }
  return clientSecret === undefined ? undefined : { type: 'secret', secret: clientSecret };
}

const STATES: Readonly<Record<Outcome['state'], string>> = {
  open: 'open: its consent works here',
  untried: 'taken over, not tried yet',
  waits: 'waits for a consent',
  kept: 'was here already, left as it is',
  planned: 'would be taken over',
};

function tell(context: Context, config: EmailProxyConfig, outcomes: readonly Outcome[]): void {
  const yaml = listenersYaml(config);
  context.result(
    {
      accounts: outcomes,
      skipped: config.skipped,
      listeners: config.listeners,
      postern: yaml.join('\n'),
      notes: config.notes,
    },
    lines(
      ...outcomes.flatMap(({ address, provider, flow, protocols, state, notes, next }) => [
        `${address} (${provider}, ${flow}, ${protocols.join(',')}): ${STATES[state]}`,
        ...notes.map((note) => `  ${note}`),
        ...(next === undefined ? [] : [`  next: ${next}`]),
      ]),
      ...config.skipped.flatMap(({ section, why, instead }) => [
        `[${section}] not taken over: ${why}`,
        `  instead: ${instead}`,
      ]),
      '',
      'In mail programs: give each one an app password of its own instead of the old password:',
      '  postern password add --mailbox ADDRESS --label PROGRAM',
      yaml.length > 0 && [
        '',
        'Servers and ports can stay as they are with this in postern.yaml (stop the old proxy first):',
        '',
        ...yaml,
      ],
      ...config.notes.map((note) => `note: ${note}`),
    ),
  );
}

function listenersYaml({ listeners, certificate }: EmailProxyConfig): readonly string[] {
  if (listeners.length === 0) return [];
  return lines(
    'listeners:',
    ...listeners.map(lineOf),
    certificate !== undefined && [
      'tls:',
      `  certificate: ${JSON.stringify(certificate.certificate)}`,
      `  key: ${JSON.stringify(certificate.key)}`,
    ],
  );
}

const lineOf = ({ protocol, tls, host, port }: ImportedListener): string =>
  `  - { protocol: ${protocol}, tls: ${tls}, host: ${JSON.stringify(host)}, port: ${port} }`;
