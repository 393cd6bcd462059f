/** `postern import`: what another program holds. */
import { Subcommand } from '../subcommand.ts';

interface ImportOptions {
  readonly passwordFile?: string;
  readonly plan?: true;
  readonly offline?: true;
  readonly settings?: string;
  readonly cacheStore?: string;
}

export function importFrom(): Subcommand {
  return new Subcommand('import', 'take over what another program holds')
    .example('postern import emailproxy ~/emailproxy.config')
    .addCommand(emailproxy());
}

function emailproxy(): Subcommand {
  return new Subcommand('emailproxy', 'providers, accounts and ports of email-oauth2-proxy')
    .argument('<file>', 'its configuration')
    .option('--cache-store <file>', 'the file it was told to keep tokens in, where that is another')
    .option(
      '--password-file <file>',
      'file with the password that mail programs used at the old proxy, - for standard input: with it consents are taken over too',
    )
    .option('--offline', 'ask no provider: application-only accounts and taken-over consents are tried later')
    .option('--settings <file>', 'settings of the applications that are made, as JSON (as for application add)')
    .option('--plan', 'only say what would be done')
    .remark(`The old proxy sealed its tokens with the password of the mail program, so they open only with it. Without the password, or
where accounts had different ones, the mailbox is made and waits for a new consent. The old file is never changed; stop the
old proxy before you use its ports, and do not let both renew the same consent.`)
    .example(
      'postern import emailproxy ~/emailproxy.config --plan',
      'postern import emailproxy ~/emailproxy.config --password-file -',
    )
    .run(async (context, file: string, options: ImportOptions) => {
      // Loaded here and not above: no other command needs it.
      const { importEmailProxy } = await import('../import-emailproxy.ts');
      await importEmailProxy(context, file, options);
    });
}
