/** `postern init`: from nothing to a mailbox that works and a configured mail program. Running it again changes nothing that is there. */
import { existsSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Option } from 'commander';
import { machineError } from '../../base/error.ts';
import { makeFolder } from '../../base/folder.ts';
import { systemClock } from '../../base/clock.ts';
import { giveToOwner } from '../../base/owner.ts';
import { presets } from '../../oauth/providers.ts';
import { certificateFiles } from '../../server/certificate.ts';
import { makeHome } from '../../server/home.ts';
import { ensureKey } from '../../server/instance.ts';
import { programs } from '../client-config/programs.ts';
import type { Context } from '../context.ts';
import { addCredentialOptions } from '../credential-options.ts';
import { openDialogue } from '../dialogue.ts';
import { addSettingsOptions } from '../new-application.ts';
import type { SetupOptions } from '../setup.ts';
import { Subcommand } from '../subcommand.ts';
import { protocols, way } from '../value.ts';

interface InitOptions extends SetupOptions {
  readonly yes?: true;
  readonly mailbox?: boolean;
}

export function init(): Subcommand {
  const command = new Subcommand(
    'init',
    'set everything up: configuration, key, local CA, a provider, a mailbox, a mail program',
  )
    .option('-y, --yes', 'ask nothing: take every default')
    .option('--no-mailbox', 'only configuration, key and local CA')
    .option('--address <address>', 'the mailbox to open')
    .option('--application <name>', 'the application to use, or a name for a new one')
    .addOption(
      new Option('--preset <provider>', 'which provider (default: what is discovered)').choices(
        presets.map(({ id }) => id),
      ),
    )
    .option('--client-id <id>', 'the application (client) id of your registration')
    .option('--tenant <tenant>', 'Microsoft: directory id or domain (default: the domain of the address)')
    .option('--protocols <list>', 'imap, pop3, smtp (default: imap,smtp)', protocols)
    .option('--flow <way>', 'browser, paste (no browser here), device, app-only (default: what this machine can)', way)
    .option('--redirect-uri <uri>', 'with --flow paste: the redirect URI registered for the application')
    .addOption(
      new Option('--for <program>', 'mail program to write a configuration for').choices(Object.keys(programs)),
    );
  addCredentialOptions(command)
    .option('--authority <url>', 'authority other than the preset’s')
    .option('--issuer <url>', 'OpenID Connect issuer (preset oidc)');
  return addSettingsOptions(command)
    .remark(`On a terminal every question comes with an explanation and a default; each can be answered by its option instead. Without a
terminal and without --address only the installation is made. Running it again goes on where it stopped.`)
    .example('postern init', 'postern init --address alice@example.com --client-id CLIENT_ID --flow paste --for msmtp')
    .run(async (context, options: InitOptions) => {
      const made = await makeInstallation(context);
      const interactive = process.stdin.isTTY && process.stderr.isTTY && !context.json && options.yes !== true;
      if (options.mailbox === false || (!interactive && options.address === undefined)) {
        context.result(made.facts, made.lines);
        context.say('next: postern init --address ADDRESS, or postern register --help');
        return;
      }
      if (!context.json) process.stdout.write(`${made.lines.join('\n')}\n`);
      // Loaded here and not above: no other command needs it.
      const { setUp } = await import('../setup.ts');
      await setUp(context, openDialogue(interactive), options, made.facts);
    });
}

interface Made {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly lines: readonly string[];
}

/** Configuration, key, local CA and database; what is there stays as it is. */
async function makeInstallation(context: Context): Promise<Made> {
  const config = context.config();
  makeHome(config.home);
  const key = await ensureKey(config);
  const madeConfig = !existsSync(config.home.config);
  if (madeConfig) {
    try {
      makeFolder(dirname(config.home.config));
      writeFileSync(config.home.config, STARTING_CONFIG, { mode: 0o600, flag: 'wx', flush: true });
    } catch (error) {
      throw machineError(error, config.home.config) ?? error;
    }
    giveToOwner(config.home.config);
  }
  const certificate = await certificateFiles(config, systemClock, 'keep', {
    warn: (_, text) => context.say(text),
  });
  await context.withInstance(async () => undefined);
  return {
    facts: {
      home: config.home.state,
      config: config.home.config,
      key: config.key.source,
      ca: certificate.ca ?? null,
      made: { config: madeConfig, key: key === 'made' },
    },
    lines: [
      `configuration  ${config.home.config}${madeConfig ? ' (new)' : ''}`,
      `database       ${config.database.reveal().startsWith('sqlite:') ? config.home.database : 'PostgreSQL'}`,
      `master key     ${config.key.source === 'file' ? config.key.path : `from the ${config.key.source}`}${key === 'made' ? ' (new; nothing opens without it: back it up, apart from the database)' : ''}`,
      ...(certificate.ca === undefined
        ? []
        : [`local CA       ${certificate.ca} (import it in mail programs that use TLS)`]),
    ],
  };
}

const STARTING_CONFIG = `# Postern's configuration. Every key has a default; docs/configuration.md lists them all.
# Listeners are on this machine only. For other machines use TLS:
# listeners:
#   - { protocol: imap, tls: implicit, host: 0.0.0.0, port: 993 }
#   - { protocol: smtp, tls: starttls, host: 0.0.0.0, port: 587 }
# hostname: mail.example.com
# tls: { certificate: /etc/postern/fullchain.pem, key: /etc/postern/privkey.pem }
`;
