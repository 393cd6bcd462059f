/** `postern provider`: applications at providers. */
import { Command, Option } from 'commander';
import type { ClientCredential } from '../../oauth/application.ts';
import { resolveProvider } from '../../oauth/provider.ts';
import { presets } from '../../oauth/providers.ts';
import type { Application, Store } from '../../store/types.ts';
import { readSecret, readText } from '../ask.ts';
import { Context, table, when } from '../context.ts';
import { cliError } from '../errors.ts';
import {
  addSettingsOptions,
  checkProviderName,
  keepApplication,
  type SettingsOptions,
  settingsOf,
} from '../new-application.ts';

export function provider(): Command {
  return new Command('provider')
    .description('applications at providers: client id, tenant, credential')
    .addHelpText('after', '\nExample:\n  $ postern provider list\n')
    .addCommand(add())
    .addCommand(list())
    .addCommand(show())
    .addCommand(remove());
}

interface AddOptions extends SettingsOptions {
  readonly preset: string;
  readonly clientId: string;
  readonly tenant?: string;
  readonly clientSecretFile?: string;
  readonly certificate?: string;
  readonly privateKey?: string;
  readonly assertionFile?: string;
  readonly managedIdentity?: string | true;
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
    .option('--client-secret-file <file>', 'file with the client secret, - for standard input')
    .option('--certificate <file>', 'PEM certificate registered for the application')
    .option('--private-key <file>', 'PEM private key of the certificate')
    .option('--assertion-file <file>', 'file in which the platform keeps a federated assertion (JWT)')
    .option('--managed-identity [client-id]', 'use the managed identity of this Azure machine')
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
      const credential = await credentialOf(options);
      await context.withInstance(async (instance) => {
        const application = await keepApplication(instance, {
          name,
          provider: options.preset,
          clientId: options.clientId,
          ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
          settings: settingsOf(options),
          ...(credential === undefined ? {} : { credential }),
        });
        context.result(facts(application), [`added ${name} (${options.preset})`]);
        context.say(`next: postern mailbox add ADDRESS --provider ${name}`);
      });
    });
}

async function credentialOf(options: AddOptions): Promise<ClientCredential | undefined> {
  const { clientSecretFile, certificate, privateKey, assertionFile, managedIdentity } = options;
  const ways = [clientSecretFile, certificate, assertionFile, managedIdentity].filter((way) => way !== undefined);
  if (ways.length > 1)
    throw cliError('cli.usage', 'an application has one credential', {
      hint: 'give a client secret, a certificate, an assertion file or a managed identity, not several',
    });
  if (clientSecretFile !== undefined)
    return { type: 'secret', secret: await readSecret(clientSecretFile, 'client secret') };
  if (certificate !== undefined) {
    if (privateKey === undefined)
      throw cliError('cli.usage', 'a certificate needs its private key', { hint: 'add --private-key FILE' });
    return {
      type: 'certificate',
      certificatePem: readText(certificate, 'certificate'),
      privateKey: await readSecret(privateKey, 'private key'),
    };
  }
  if (assertionFile !== undefined) return { type: 'federated', assertionFile };
  if (managedIdentity === undefined) return undefined;
  return { type: 'managed-identity', ...(managedIdentity === true ? {} : { clientId: managedIdentity }) };
}

function list(): Command {
  return new Command('list')
    .description('applications Postern knows')
    .addHelpText('after', '\nExample:\n  $ postern provider list\n')
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store }) => {
        const applications = await store.applications.list();
        const rows = applications.map((one) => [
          one.name,
          one.provider,
          one.tenant ?? '-',
          one.clientId,
          one.credential ? 'yes' : 'no',
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
        context.result({ ...facts(application), issuer: profile.issuer, mail: profile.mail, scopes: profile.scopes }, [
          `name       ${application.name}`,
          `provider   ${application.provider}`,
          `client id  ${application.clientId}`,
          `issuer     ${profile.issuer}`,
          ...servers,
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

/** @throws cli.not-found */
export async function findApplication(store: Store, name: string): Promise<Application> {
  const found = (await store.applications.byName(name)) ?? (await store.applications.find(name));
  if (found) return found;
  const known = (await store.applications.list()).map((one) => one.name);
  throw cliError('cli.not-found', `there is no provider called ${name}`, {
    hint: known.length === 0 ? 'add one: postern provider add --help' : `there are: ${known.join(', ')}`,
  });
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
