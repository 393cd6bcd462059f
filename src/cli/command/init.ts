/** `postern init`: configuration, key and local CA. Running it again changes nothing that is there. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { certificateFiles } from '../../server/certificate.ts';
import { ensureKey } from '../../server/instance.ts';
import { Context } from '../context.ts';

export function init(): Command {
  return new Command('init')
    .description('make configuration, key and local CA')
    .option('-y, --yes', 'ask nothing (nothing is asked at present; for scripts that say so anyway)')
    .addHelpText(
      'after',
      '\nExample:\n  $ postern init\n  $ postern provider add work --preset microsoft --client-id CLIENT_ID --tenant example.com\n',
    )
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      const config = context.config();
      const key = await ensureKey(config);
      const madeConfig = !existsSync(config.home.config);
      if (madeConfig) {
        mkdirSync(dirname(config.home.config), { recursive: true, mode: 0o700 });
        writeFileSync(config.home.config, STARTING_CONFIG, { mode: 0o600, flag: 'wx' });
      }
      const certificate = await certificateFiles(config, systemClock);
      await context.withInstance(async () => undefined);
      context.result(
        {
          home: config.home.state,
          config: config.home.config,
          key: config.key.source,
          ca: certificate.ca ?? null,
          made: { config: madeConfig, key: key === 'made' },
        },
        [
          `configuration  ${config.home.config}${madeConfig ? ' (new)' : ''}`,
          `database       ${config.database.reveal().startsWith('sqlite:') ? config.home.database : 'PostgreSQL'}`,
          `master key     ${config.key.source === 'file' ? config.key.path : `from the ${config.key.source}`}${key === 'made' ? ' (new; back it up, nothing opens without it)' : ''}`,
          ...(certificate.ca === undefined
            ? []
            : [`local CA       ${certificate.ca} (import it in mail programs that use TLS)`]),
        ],
      );
      context.say('next: postern provider add NAME --preset microsoft --client-id CLIENT_ID --tenant TENANT');
    });
}

const STARTING_CONFIG = `# Postern's configuration. Every key has a default; docs/configuration.md lists them all.
# Listeners are on this machine only. For other machines use TLS:
# listeners:
#   - { protocol: imap, tls: implicit, host: 0.0.0.0, port: 993 }
#   - { protocol: smtp, tls: starttls, host: 0.0.0.0, port: 587 }
# hostname: mail.example.com
# tls: { certificate: /etc/postern/fullchain.pem, key: /etc/postern/privkey.pem }
`;
