/** `postern provider`: applications at providers. */
import { shellWord } from '../../base/shell.ts';
import { Command, Option } from 'commander';
import { noServer } from '../../oauth/mail-endpoint.ts';
import { resolveProvider } from '../../oauth/provider.ts';
import { presets } from '../../oauth/providers.ts';
import { type Application, PROTOCOLS } from '../../store/types.ts';
import { Context, table, when } from '../context.ts';
import { addCredentialOptions, type CredentialOptions, readCredential } from '../credential-options.ts';
import { cliError } from '../errors.ts';
import { findApplication } from '../find.ts';
import { providerFor } from '../find-provider.ts';
import {
  addSettingsOptions,
  checkProviderName,
  keepApplication,
  type SettingsOptions,
  settingsOf,
} from '../new-application.ts';
import { countdown, credential } from './credential.ts';
import { set } from './provider-set.ts';

export function provider(): Command {
  return new Command('provider')
    .description('applications at providers: client id, tenant, credential')
    .addHelpText('after', '\nExample:\n  $ postern provider list\n')
    .addCommand(add())
    .addCommand(list())
    .addCommand(show())
    .addCommand(set())
    .addCommand(credential())
    .addCommand(remove());
}

interface AddOptions extends SettingsOptions, CredentialOptions {
  readonly preset: string;
  readonly clientId: string;
  readonly tenant?: string;
  readonly for?: string;
}

function add(): Command {
  const command = new Command('add')
    .description('tell Postern about an application you registered')
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
    .addHelpText(
      'after',
      '\nExample:\n  $ postern provider add work --preset microsoft --client-id 0000-… --tenant example.com\n  $ postern provider add robot --client-id 0000-… --tenant example.com --certificate app.pem --private-key app.key\n',
    )
    .action(async (name: string, options: AddOptions, command: Command) => {
      const context = new Context(command);
      checkProviderName(name);
      const credential = await readCredential(options);
      const discovered = options.for === undefined ? undefined : await providerFor(context, options.for, options.ca);
      const preset =
        command.getOptionValueSource('preset') === 'cli' ? options.preset : (discovered?.preset ?? options.preset);
      const tenant = options.tenant ?? discovered?.tenant;
      await context.withInstance(async (instance) => {
        const application = await keepApplication(instance, {
          name,
          provider: preset,
          clientId: options.clientId,
          ...(tenant === undefined ? {} : { tenant }),
          settings: { ...discovered?.settings, ...settingsOf(options) },
          ...(credential === undefined ? {} : { credential }),
          ...(options.secretExpires === undefined ? {} : { secretExpiresAt: options.secretExpires }),
        });
        context.result(facts(application), [`added ${name} (${preset})`]);
        if (credential?.type === 'secret' && options.secretExpires === undefined)
          context.say('nobody knows when this secret ends; with --secret-expires DATE you are told in time');
        context.say(`next: postern mailbox add ADDRESS --provider ${shellWord(name)}`);
      });
    });
}

function list(): Command {
  return new Command('list')
    .description('applications Postern knows')
    .addHelpText('after', '\nExample:\n  $ postern provider list\n')
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store, clock }) => {
        const applications = await store.applications.list();
        const rows = applications.map((one) => [
          one.name,
          one.provider,
          one.tenant ?? '-',
          one.clientId,
          credentialText(one, clock.now()),
        ]);
        context.result(
          applications.map(facts),
          applications.length === 0 ? [] : table(['NAME', 'PROVIDER', 'TENANT', 'CLIENT ID', 'CREDENTIAL'], rows),
        );
        if (applications.length === 0) context.say('no application yet; postern provider add --help');
      });
    });
}

function show(): Command {
  return new Command('show')
    .description('one application: endpoints, scopes, mailboxes')
    .addHelpText('after', '\nExample:\n  $ postern provider show work\n')
    .argument('<name>')
    .action(async (name: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store }) => {
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
    });
}

function remove(): Command {
  return new Command('remove')
    .description('forget an application that no mailbox uses')
    .addHelpText('after', '\nExample:\n  $ postern provider remove work\n')
    .argument('<name>')
    .action(async (name: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store, audit }) => {
        const application = await findApplication(store, name);
        const used = (await store.grants.list()).filter((grant) => grant.applicationId === application.id);
        if (used.length > 0) {
          throw cliError('cli.usage', `${name} is used by ${used.length} grant${used.length === 1 ? '' : 's'}`, {
            hint: 'remove their mailboxes first: postern mailbox list, postern mailbox remove ADDRESS',
          });
        }
        await store.applications.remove(application.id);
        await audit.record({ type: 'application.removed', outcome: 'ok', data: { id: application.id, name } });
        context.result({ removed: name }, [`removed ${name}`]);
      });
    });
}

function credentialText({ credential, credentials = [] }: Application, now: number): string {
  const [first] = credentials;
  if (!first) return credential ? 'yes' : 'no';
  return `${first.type}, ends ${countdown(first, now)}${credentials.length > 1 ? `, ${credentials.length - 1} more` : ''}`;
}

function facts({ id, name, provider, clientId, tenant, credential, createdAt }: Application): Record<string, unknown> {
  return {
    id,
    name,
    provider,
    clientId,
    tenant: tenant ?? null,
    credential: credential !== undefined,
    createdAt: new Date(createdAt).toISOString(),
  };
}
