/** `postern application set`: correct an application in place. */
import { shellWord } from '../../base/shell.ts';
import { InvalidArgumentError, Option } from 'commander';
import { setApplication } from '../../admin/applications.ts';
import { remedyText } from '../../oauth/catalogue/diagnose.ts';
import { resolveProvider } from '../../oauth/provider.ts';
import { presets } from '../../oauth/providers.ts';
import { cliError } from '../errors.ts';
import { addSettingsOptions, type SettingsOptions, settingsOf } from '../new-application.ts';
import { Subcommand } from '../subcommand.ts';
import { collect } from '../value.ts';

interface SetOptions extends SettingsOptions {
  readonly name?: string;
  readonly preset?: string;
  readonly clientId?: string;
  readonly tenant?: string;
  readonly unset?: readonly string[];
}

/** What --unset takes: every setting that has a value of the preset behind it. */
const UNSET: readonly string[] =
  'authority issuer ca imap pop3 smtp tenant resource scopes graph mechanisms sendingLimits savesSent inactivityDays'.split(
    ' ',
  );

export function set(): Subcommand {
  const command = new Subcommand('set', 'correct an application in place; consents, mailboxes and app passwords stay')
    .argument('<name>')
    .option('--name <name>', 'call it something else')
    .addOption(new Option('--preset <provider>', 'another provider').choices(presets.map(({ id }) => id)))
    .option('--client-id <id>', 'another application (client) id; consents were given to the old one')
    .option('--tenant <tenant>', 'Microsoft: directory id or domain')
    .option('--authority <url>', 'authority other than the preset’s')
    .option('--issuer <url>', 'OpenID Connect issuer (preset oidc)')
    .option('--unset <list>', `reset a setting to what the preset says: ${UNSET.join(', ')}`, unsettable);
  return addSettingsOptions(command)
    .remark(`What is not named stays as it is. A running gateway uses the new settings within two seconds. Secrets and certificates are changed
by: postern application credential.`)
    .example(
      'postern application set work --imap mail.example.com:993/implicit --ca ca.pem',
      'postern application set work --tenant example.com',
      'postern application set work --unset imap,ca',
    )
    .run(async (context, name: string, options: SetOptions) => {
      const { unset = [], preset, clientId, tenant } = options;
      const settings = settingsOf(options);
      const asked = [options.name, preset, clientId, tenant].some((value) => value !== undefined);
      if (!asked && unset.length === 0 && Object.keys(settings).length === 0)
        throw cliError('cli.usage', 'say what is to change', {
          hint: 'postern application set --help lists the settings',
        });
      await context.withInstance(async (instance) => {
        const change = {
          name: options.name,
          provider: preset,
          clientId,
          tenant: unset.includes('tenant') ? null : tenant,
          settings,
          unset,
        };
        const done = await context.perform(instance, setApplication, { name, change });
        const { application, fields, consentsLost } = done;
        const { issuer, mail } = resolveProvider(application);
        const servers = Object.entries(mail).map(([protocol, { host, port, tls }]) => ({ protocol, host, port, tls }));
        context.result(
          {
            name: application.name,
            provider: application.provider,
            clientId: application.clientId,
            tenant: application.tenant ?? null,
            issuer,
            servers,
            changed: fields,
            consentsLost: consentsLost.map(({ address }) => address),
          },
          fields.length === 0
            ? [`${application.name} is unchanged`]
            : [
                `${application.name}: changed ${fields.join(', ')}`,
                ...servers.map(({ protocol, host, port, tls }) => `${protocol.padEnd(10)} ${host}:${port} ${tls}`),
              ],
        );
        for (const { address } of consentsLost)
          context.say(
            `the consent of ${address} was given to what it was before; sign in again: postern mailbox reconsent ${shellWord(address)}`,
          );
        if (fields.some((field) => OF_AUTHORITY.has(field))) {
          // Loaded here and not above: most corrections have nothing to look at.
          const { authorityTrouble } = await import('../../check/authority.ts');
          const trouble = await authorityTrouble(instance, application);
          if (trouble)
            context.say(
              `it was set, and the provider does not answer as it should there: ${trouble.cause}; ${remedyText(trouble.remedy)}`,
            );
        }
        if (fields.length > 0 && consentsLost.length === 0) context.say('next: postern check');
      });
    });
}

/** What decides who gives tokens: looked at once it is changed. */
const OF_AUTHORITY: ReadonlySet<string> = new Set(['authority', 'ca', 'issuer', 'provider', 'tenant']);

function unsettable(text: string, before: readonly string[] = []): readonly string[] {
  const names = collect(text, before);
  const unknown = names.find((one) => !UNSET.includes(one));
  if (unknown === undefined) return names;
  throw new InvalidArgumentError(`name ${UNSET.join(', ')}.`);
}
