/** `postern application`: applications at providers. */
import { shellWord } from '../../base/shell.ts';
import { Option } from 'commander';
import { noServer } from '../../oauth/mail-endpoint.ts';
import { resolveProvider } from '../../oauth/provider.ts';
import { presets } from '../../oauth/providers.ts';
import { type Application } from '../../store/types.ts';
import { PROTOCOLS } from '../../store/protocols.ts';
import { when } from '../context.ts';
import { addCredentialOptions, type CredentialOptions, readCredential } from '../credential-options.ts';
import { addApplication, checkApplicationName, removeApplication } from '../../admin/applications.ts';
import { findApplication } from '../../admin/find.ts';
import { providerFor } from '../find-provider.ts';
import { addSettingsOptions, type SettingsOptions, settingsOf } from '../new-application.ts';
import { credential, endText } from './credential.ts';
import { set } from './application-set.ts';
import { Subcommand } from '../subcommand.ts';

export function application(): Subcommand {
  return new Subcommand('application', 'applications at providers: client id, tenant, credential')
    .example('postern application list')
    .addCommands(add(), list(), show(), set(), credential(), remove());
}

interface AddOptions extends SettingsOptions, CredentialOptions {
  readonly preset: string;
  readonly clientId: string;
  readonly tenant?: string;
  readonly for?: string;
}

function add(): Subcommand {
  const command = new Subcommand('add', 'tell Postern about an application you registered')
    .argument('<name>', 'your short name for it, for example work')
    .addOption(
      new Option('--preset <provider>', 'which provider').choices(presets.map(({ id }) => id)).default('microsoft'),
    )
    .requiredOption('--client-id <id>', 'the application (client) id')
    .option('--tenant <tenant>', 'Microsoft: directory id or domain (default: organizations)')
    .option('--for <address>', 'take provider and servers from what is discovered for this address');
  addCredentialOptions(command)
    .option('--authority <url>', 'authority other than the preset’s')
    .option('--issuer <url>', 'OpenID Connect issuer (preset oidc)');
  return addSettingsOptions(command)
    .example(
      'postern application add work --preset microsoft --client-id 1b4e28ba-2fa1-11d2-883f-0016d3cca427 --tenant example.com',
      'postern application add robot --client-id 1b4e28ba-2fa1-11d2-883f-0016d3cca427 --tenant example.com --certificate app.pem --private-key app.key',
    )
    .run(async (context, name: string, options: AddOptions) => {
      checkApplicationName(name);
      const credential = await readCredential(options);
      const discovered = options.for === undefined ? undefined : await providerFor(context, options.for, options.ca);
      const preset =
        command.getOptionValueSource('preset') === 'cli' ? options.preset : (discovered?.preset ?? options.preset);
      const tenant = options.tenant ?? discovered?.tenant;
      await context.withInstance(async (instance) => {
        const application = await context.perform(instance, addApplication, {
          name,
          provider: preset,
          clientId: options.clientId,
          tenant,
          settings: { ...discovered?.settings, ...settingsOf(options) },
          credential,
          secretExpiresAt: options.secretExpires,
        });
        context.result(facts(application), [`added ${name} (${preset})`]);
        if (credential?.type === 'secret' && options.secretExpires === undefined)
          context.say('nobody knows when this secret ends; with --secret-expires DATE you are told in time');
        context.say(`next: postern mailbox add ADDRESS --application ${shellWord(name)}`);
      });
    });
}

function list(): Subcommand {
  return new Subcommand('list', 'applications Postern knows')
    .example('postern application list')
    .runWithInstance(async (context, { store, clock }) => {
      context.list(
        await store.applications.list(),
        facts,
        {
          NAME: ({ name }) => name,
          PROVIDER: ({ provider }) => provider,
          TENANT: ({ tenant }) => tenant ?? '-',
          'CLIENT ID': ({ clientId }) => clientId,
          CREDENTIAL: (one) => credentialText(one, clock.now()),
        },
        'no application yet; postern application add --help',
      );
    });
}

function show(): Subcommand {
  return new Subcommand('show', 'one application: endpoints, scopes, mailboxes')
    .example('postern application show work')
    .argument('<name>')
    .runWithInstance(async (context, { store }, name: string) => {
      const application = await findApplication(store, name);
      const profile = resolveProvider(application);
      const servers = Object.entries(profile.mail).map(
        ([protocol, server]) => `${protocol.padEnd(10)} ${server.host}:${server.port} ${server.tls}`,
      );
      // Another authority than the preset's: its servers are not taken for it, and that is said.
      const missing = profile.foreign ? PROTOCOLS.filter((protocol) => !profile.mail[protocol]) : [];
      const noGraph = profile.microsoft && profile.foreign && profile.graph === undefined;
      context.result({ ...facts(application), issuer: profile.issuer, mail: profile.mail, scopes: profile.scopes }, [
        `name       ${application.name}`,
        `provider   ${application.provider}`,
        `client id  ${application.clientId}`,
        `issuer     ${profile.issuer}`,
        ...servers,
        ...missing.map((protocol) => `${protocol.padEnd(10)} -  ${noServer(profile, protocol)}`),
        ...(noGraph ? ['graph      -  none is named, so mail leaves by SMTP alone'] : []),
        `added      ${when(application.createdAt)}`,
      ]);
    });
}

function remove(): Subcommand {
  return new Subcommand('remove', 'forget an application that no mailbox uses')
    .example('postern application remove work')
    .argument('<name>')
    .run(async (context, name: string) => {
      await context.act(removeApplication, { name });
      context.result({ removed: name }, [`removed ${name}`]);
    });
}

function credentialText({ credential, credentials = [] }: Application, now: number): string {
  const [first] = credentials;
  if (!first) return credential ? 'yes' : 'no';
  return `${first.type}, ends ${endText(first, now)}${credentials.length > 1 ? `, ${credentials.length - 1} more` : ''}`;
}

function facts({ id, name, provider, clientId, tenant, credential, createdAt }: Application): Record<string, unknown> {
  return {
    id,
    name,
    provider,
    clientId,
    tenant: tenant ?? null,
    credential: credential !== undefined,
    createdAt,
  };
}
