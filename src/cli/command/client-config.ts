/** `postern client-config`: ready configuration for one mail program. */
import { shellWord } from '../../base/shell.ts';
import { Command, Option } from 'commander';
import { addAppPassword } from '../../admin/app-passwords.ts';
import type { Instance } from '../../server/instance.ts';
import { isCatchAll } from '../../store/table/mailboxes.ts';
import type { Mailbox } from '../../store/types.ts';
import { programs, type MailProgram } from '../client-config/programs.ts';
import { PLACEHOLDER, type Security } from '../client-config/settings.ts';
import { writeConfig } from '../client-config/write.ts';
import { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { hostName } from '../value.ts';
import { findOpened } from '../../admin/find.ts';

interface Options {
  readonly for: string;
  readonly security?: Security;
  readonly host?: string;
  readonly newPassword?: true;
  readonly caFile?: string;
}

export function clientConfig(): Command {
  return new Command('client-config')
    .description('ready configuration of a mail program for one mailbox')
    .argument('<address>')
    .addOption(new Option('--for <program>', 'which mail program').choices(Object.keys(programs)).makeOptionMandatory())
    .addOption(
      new Option('--security <kind>', 'of the connection to the gateway (default: the safest there is)').choices([
        'tls',
        'starttls',
        'plain',
      ]),
    )
    .option(
      '--host <name>',
      'name that the program uses for this machine (default: localhost, or the gateway’s)',
      hostName,
    )
    .option(
      '--ca-file <path>',
      'where the program finds a copy of the gateway’s CA (default: the file of this installation)',
    )
    .option('--new-password', 'make an app password for the program and put it in')
    .addHelpText(
      'after',
      '\nExample:\n  $ postern client-config alice@example.com --for msmtp --new-password > ~/.msmtprc\n  $ postern client-config alice@example.com --for mutt --ca-file /usr/local/share/postern-ca.pem\n',
    )
    .action(async (address: string, options: Options, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const mailbox = await findOpened(instance, address);
        if (isCatchAll(mailbox.address))
          throw cliError(
            'cli.usage',
            `${mailbox.address} stands for every address of its domain, and a program signs in to one of them`,
            {
              hint: `name it: postern client-config ${shellWord(`SOMEBODY${mailbox.address.slice(1)}`)} --for ${shellWord(options.for)}`,
            },
          );
        const program = programs[options.for]!;
        // What cannot be written is found out before a password is made that nobody would see.
        await writeConfig(instance, mailbox, program, { ...options, password: PLACEHOLDER });
        const made = options.newPassword === true ? await newPassword(context, instance, mailbox, program) : undefined;
        const written = await writeConfig(instance, mailbox, program, { ...options, password: made ?? PLACEHOLDER });
        const { file, lines, notes } = written;
        context.result(
          { program: options.for, file: file ?? null, text: `${lines.join('\n')}\n`, notes, password: made ?? null },
          lines,
        );
        if (file !== undefined) context.say(`for ${program.title}: ${file}`);
        for (const note of notes) context.say(note);
        // Formats that keep the password out of the file: it is shown here or nowhere, with --quiet as well.
        if (made !== undefined && !context.json && !lines.some((line) => line.includes(made)))
          process.stderr.write(`postern: app password, shown once: ${made}\n`);
        if (made === undefined)
          context.say(
            `${PLACEHOLDER} stands for: postern password add --mailbox ${shellWord(mailbox.address)} --label ${shellWord(options.for)}`,
          );
      });
    });
}

async function newPassword(
  context: Context,
  instance: Instance,
  mailbox: Mailbox,
  program: MailProgram,
): Promise<string> {
  const { password } = await context.perform(instance, addAppPassword, {
    label: program.title,
    mailboxes: [mailbox.address],
    protocols: mailbox.protocols.filter((protocol) => program.protocols.includes(protocol)),
  });
  // It goes into the configuration that is printed, the one place where it is shown.
  return password.reveal();
}
