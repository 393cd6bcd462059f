/** All commands, assembled. Also read by the documentation and by shell completion. */
import { asStarted, COMMAND } from './command-name.ts';
import { Command } from 'commander';
import { version } from '../server/version.ts';
import { apikey } from './command/apikey.ts';
import { audit } from './command/audit.ts';
import { check } from './command/check.ts';
import { clientConfig } from './command/client-config.ts';
import { compact } from './command/compact.ts';
import { completion } from './command/completion.ts';
import { discover } from './command/discover.ts';
import { events } from './command/events.ts';
import { explain } from './command/explain.ts';
import { importFrom } from './command/import.ts';
import { init } from './command/init.ts';
import { mailbox } from './command/mailbox.ts';
import { notice } from './command/notice.ts';
import { outbox } from './command/outbox.ts';
import { password } from './command/password.ts';
import { application } from './command/application.ts';
import { ready } from './command/ready.ts';
import { register } from './command/register.ts';
import { sandbox } from './command/sandbox.ts';
import { sendmail } from './command/sendmail.ts';
import { serve } from './command/serve.ts';
import { service } from './command/systemd-service.ts';
import { supportBundle } from './command/support-bundle.ts';
import { suppression } from './command/suppression.ts';
import { token } from './command/token.ts';
import { updateData } from './command/update-data.ts';
import { webhook } from './command/webhook.ts';

/** Help is about any installation. */
const HELP = { command: COMMAND };

export function program(): Command {
  const root = new Command('postern')
    .description(
      'The gate to mailboxes that only open with OAuth 2.0: IMAP, POP3 and SMTP with a user name and an app password.',
    )
    .version(version, '-V, --version', 'print the version')
    .option('--home <folder>', 'configuration, database and keys (default: POSTERN_HOME, else XDG folders)')
    .option('--json', 'print results as JSON')
    .option('-q, --quiet', 'no talk on standard error but errors')
    // main.ts reports errors, in our voice or as JSON; help asked for by mistake goes to standard error, but not with --json.
    .configureOutput({
      outputError: () => undefined,
      writeOut: (text) => void process.stdout.write(asStarted(text, HELP)),
      writeErr: (text) => void (process.argv.includes('--json') || process.stderr.write(asStarted(text, HELP))),
    })
    .addHelpText(
      'after',
      '\nExample:\n  $ postern sandbox --gateway     see it work, without any account\n  $ postern init                  set it up for real\n',
    );
  for (const command of [
    init,
    serve,
    ready,
    service,
    discover,
    register,
    importFrom,
    application,
    mailbox,
    password,
    clientConfig,
    outbox,
    suppression,
    sendmail,
    apikey,
    webhook,
    token,
    check,
    explain,
    updateData,
    supportBundle,
    events,
    notice,
    audit,
    compact,
    sandbox,
    completion,
  ])
    root.addCommand(command());
  return finish(root);
}

/** Errors are thrown to main.ts instead of ending the process, in every command. */
function finish(command: Command): Command {
  command.exitOverride().configureHelp({ showGlobalOptions: false });
  for (const child of command.commands) finish(child.copyInheritedSettings(command));
  return command;
}
