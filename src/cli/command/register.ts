/** `postern register`: our application at a provider, printed step by step or made. */
import { shellWord } from '../../base/shell.ts';
import { writeFileSync } from 'node:fs';
import { Option } from 'commander';
import { resolveProvider } from '../../oauth/provider.ts';
import { googleSteps } from '../../onboard/register/google.ts';
import { readSecret, readText } from '../ask.ts';
import { addApplication, checkApplicationName } from '../../admin/applications.ts';
import { cliError } from '../errors.ts';
import { addSettingsOptions, type SettingsOptions, settingsOf } from '../new-application.ts';
import { microsoft } from '../register-microsoft.ts';
import { Subcommand } from '../subcommand.ts';
import { collect } from '../value.ts';

export function register(): Subcommand {
  return new Subcommand('register', 'register an application at a provider: print the steps, or do them')
    .example('postern register microsoft --protocols imap,smtp --tenant example.com')
    .addCommands(microsoft(), google(), oidc());
}

interface GoogleOptions {
  readonly name: string;
  readonly accounts: 'workspace' | 'personal';
  readonly application: string;
}

function google(): Subcommand {
  return new Subcommand('google', 'the steps for Gmail and Google Workspace, which offers no program for it')
    .option('--name <text>', 'name that people see when they consent', 'Postern')
    .addOption(
      new Option('--accounts <whose>', 'workspace: people of your organisation; personal: any Gmail account')
        .choices(['workspace', 'personal'])
        .default('workspace'),
    )
    .option('--application <name>', 'its name in Postern', 'gmail')
    .example('postern register google --accounts personal')
    .run((context, options: GoogleOptions) => {
      checkApplicationName(options.application);
      const steps = googleSteps(options);
      const add = `postern application add ${shellWord(options.application)} --preset google --client-id CLIENT_ID --client-secret-file FILE`;
      context.result({ steps, next: add }, numbered([...steps, `Tell Postern: ${add}`]));
      context.say(`then: postern mailbox add ADDRESS --application ${shellWord(options.application)}`);
    });
}

interface OidcOptions extends SettingsOptions {
  readonly name: string;
  readonly application: string;
  readonly scope?: readonly string[];
  readonly initialTokenFile?: string;
  readonly managementTokenFile?: string;
  readonly apply?: true;
}

function oidc(): Subcommand {
  const command = new Subcommand(
    'oidc',
    'register at any authorization server that offers dynamic registration (RFC 7591)',
  )
    .argument('<issuer>', 'address of the authorization server')
    .option('--name <text>', 'name that people see when they consent', 'Postern')
    .option('--application <name>', 'its name in Postern', 'own')
    .option('--scope <list>', 'scopes to register for (default: whatever the server allows)', collect)
    .option('--initial-token-file <file>', 'file with an initial access token, for servers that want one')
    .option(
      '--management-token-file <file>',
      'new file for the token that can change or remove the registration (RFC 7592)',
    )
    .option('--apply', 'register, and tell Postern about it; without it the request is printed');
  return addSettingsOptions(command)
    .example('postern register oidc https://id.example.com --apply --imap mail.example.com:993/implicit')
    .run(async (context, issuer: string, options: OidcOptions) => {
      checkApplicationName(options.application);
      if (!URL.canParse(issuer))
        throw cliError('cli.usage', `${issuer} is not an address`, { hint: 'write it as https://…' });
      // Loaded here and not above: no other command needs them.
      const { openHttp } = await import('../../oauth/http.ts');
      const { clientMetadata, readMetadata, registerClient } = await import('../../onboard/register/dynamic.ts');
      const http = openHttp({ ca: options.ca === undefined ? undefined : readText(options.ca, 'CA') });
      try {
        const server = await readMetadata(http, issuer);
        const metadata = clientMetadata(options.name, server, options.scope ?? []);
        if (options.apply !== true) {
          context.result(
            { issuer: server.issuer, registrationEndpoint: server.registrationEndpoint ?? null, metadata },
            [
              server.registrationEndpoint === undefined
                ? `${server.issuer} does not offer dynamic registration. Ask for a client like this:`
                : `With --apply this goes to ${server.registrationEndpoint}:`,
              '',
              JSON.stringify(metadata, null, 2),
            ],
          );
          context.say(
            server.registrationEndpoint === undefined
              ? `then: postern application add ${shellWord(options.application)} --preset oidc --issuer ${shellWord(server.issuer)} --client-id CLIENT_ID`
              : 'nothing was registered; add --apply to do it',
          );
          return;
        }
        const initialToken =
          options.initialTokenFile === undefined
            ? undefined
            : await readSecret(options.initialTokenFile, 'initial access token');
        await context.withInstance(async (instance) => {
          if (await instance.store.applications.byName(options.application))
            throw cliError('cli.usage', `there is an application ${options.application} already`, {
              hint: 'choose another --application NAME',
            });
          const settings = settingsOf({ ...options, issuer: server.issuer });
          // What could not be stored later is found out before anything is made.
          resolveProvider({ name: options.application, provider: 'oidc', tenant: undefined, settings });
          const client = await registerClient(http, server, metadata, { initialToken });
          const application = await context.perform(instance, addApplication, {
            name: options.application,
            provider: 'oidc',
            clientId: client.clientId,
            settings,
            ...(client.clientSecret === undefined
              ? {}
              : { credential: { type: 'secret', secret: client.clientSecret } }),
            ...(client.secretExpiresAt === undefined ? {} : { secretExpiresAt: client.secretExpiresAt }),
          });
          if (client.managementToken !== undefined && options.managementTokenFile !== undefined) {
            writeFileSync(options.managementTokenFile, `${client.managementToken.reveal()}\n`, {
              mode: 0o600,
              flag: 'wx',
            });
          }
          context.result(
            {
              provider: application.name,
              issuer: server.issuer,
              clientId: client.clientId,
              managementUri: client.managementUri ?? null,
            },
            [
              `registered at ${server.issuer}: client id ${client.clientId}`,
              `added ${application.name} (oidc)`,
              ...(client.managementUri === undefined ? [] : [`managed at ${client.managementUri}`]),
            ],
          );
          if (client.managementToken !== undefined && options.managementTokenFile === undefined)
            context.say(
              'the token that could change or remove the registration was not kept; --management-token-file keeps it',
            );
          context.say(`next: postern mailbox add ADDRESS --application ${shellWord(application.name)}`);
        });
      } finally {
        await http.close();
      }
    });
}

const numbered = (steps: readonly string[]): readonly string[] => steps.map((step, index) => `${index + 1}. ${step}`);
