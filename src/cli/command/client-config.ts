/** `postern client-config`: ready configuration for one mail program. */
import { shellWord } from '../../base/shell.ts';
import { Option } from 'commander';
import { addAppPassword } from '../../admin/app-passwords.ts';
import type { Instance } from '../../server/instance.ts';
import { isCatchAll } from '../../store/table/mailboxes.ts';
import { PROTOCOLS, type Protocol } from '../../store/protocols.ts';
import type { AppPassword } from '../../store/types-access.ts';
import type { Mailbox } from '../../store/types.ts';
import { A_DEVICE, fromAnywhere } from '../client-config/devices.ts';
import { programs, type MailProgram } from '../client-config/programs.ts';
import { PLACEHOLDER, type Security } from '../client-config/settings.ts';
import { protocolsFor, writeConfig } from '../client-config/write.ts';
import type { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { collect, hostName, protocols } from '../value.ts';
import { findOpened } from '../../admin/find.ts';

interface Options {
  readonly for: string;
  readonly security?: Security;
  readonly host?: string;
  readonly newPassword?: true;
  readonly caFile?: string;
  readonly protocols?: readonly Protocol[];
  readonly network?: readonly string[];
}

export function clientConfig(): Subcommand {
  return new Subcommand('client-config', 'ready configuration of a mail program for one mailbox')
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
    .option('--protocols <list>', 'set it up for these alone (default: what the program uses)', protocols)
    .option('--new-password', 'make an app password for the program and put it in')
    .option(
      '--network <cidr>',
      'networks the app password may be used from, for example 192.168.1.40/32; repeat (default: anywhere)',
      collect,
    )
    .example(
      'postern client-config alice@example.com --for msmtp --new-password > ~/.msmtprc',
      'postern client-config alice@example.com --for mutt --ca-file /usr/local/share/postern-ca.pem',
      'postern client-config scans@example.com --for printer --new-password --network 192.168.1.40/32',
    )
    .runWithInstance(async (context, instance, address: string, options: Options) => {
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
      const wanted = protocolsFor(program, mailbox, options.protocols);
      const made =
        options.newPassword === true ? await newPassword(context, instance, mailbox, wanted, options) : undefined;
      const written = await writeConfig(instance, mailbox, program, {
        ...options,
        password: made?.password ?? PLACEHOLDER,
      });
      const { file, lines } = written;
      const notes = [...written.notes, ...(made && program.elsewhere ? fromAnywhere(made.row) : [])];
      context.result(
        {
          program: options.for,
          file: file ?? null,
          text: `${lines.join('\n')}\n`,
          notes,
          password: made?.password ?? null,
        },
        lines,
      );
      if (file !== undefined) context.say(`for ${program.title}: ${file}`);
      for (const note of notes) context.say(note);
      // Formats that keep the password out of the file: it is shown here or nowhere, with --quiet as well.
      if (made !== undefined && !context.json && !lines.some((line) => line.includes(made.password)))
        process.stderr.write(`postern: app password, shown once: ${made.password}\n`);
      // Formats that take it from the environment have no place for it in their text.
      const placed = lines.some((line) => PLACED.test(line));
      if (made === undefined)
        context.say(
          `${placed ? `${PLACEHOLDER} stands for` : 'make the app password with'}: ${howToMake(mailbox, program, wanted, options)}`,
        );
    });
}

/** The placeholder by itself: not POSTERN_APP_PASSWORD, the variable that code and shell commands read it from. */
const PLACED = /(?<!POSTERN_)APP_PASSWORD/;

function howToMake(
  mailbox: Mailbox,
  program: MailProgram,
  wanted: readonly Protocol[],
  { for: label, network = [] }: Options,
): string {
  const only = wanted.length === PROTOCOLS.length ? [] : ['--protocols', wanted.join(',')];
  const from = network.length === 0 && program.elsewhere ? [A_DEVICE] : network;
  const words = [
    'postern',
    'password',
    'add',
    '--mailbox',
    mailbox.address,
    ...only,
    ...from.flatMap((one) => ['--network', one]),
    '--label',
    label,
  ];
  const mind = from === network ? '' : ' (with the device’s own address)';
  return `${words.map(shellWord).join(' ')}${mind}`;
}

async function newPassword(
  context: Context,
  instance: Instance,
  mailbox: Mailbox,
  wanted: readonly Protocol[],
  { for: name, network }: Options,
): Promise<{ readonly password: string; readonly row: AppPassword }> {
  const { password, row } = await context.perform(instance, addAppPassword, {
    label: programs[name]!.title,
    mailboxes: [mailbox.address],
    protocols: wanted,
    networks: network,
  });
  // It goes into the configuration that is printed, the one place where it is shown.
  return { password: password.reveal(), row };
}
