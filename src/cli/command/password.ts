/** `postern password`: app passwords, one for each program. */
import { shellWord } from '../../base/shell.ts';
import { Option } from 'commander';
import { addAppPassword, listAppPasswords, revokeAppPassword } from '../../admin/app-passwords.ts';
import { isCatchAll } from '../../store/table/mailboxes.ts';
import { type AppPassword } from '../../store/types-access.ts';
import { PROTOCOLS, type Protocol } from '../../store/protocols.ts';
import { validityText, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { sayWaiting } from '../waiting-mail.ts';
import { collect, lifetime, mailboxesOf, protocols } from '../value.ts';

export function password(): Subcommand {
  return new Subcommand('password', 'app passwords: one for each program')
    .example('postern password add --mailbox alice@example.com --label mutt')
    .addCommands(add(), list(), revoke());
}

interface AddOptions {
  readonly mailbox?: readonly string[];
  readonly all?: boolean;
  readonly protocols?: readonly Protocol[];
  readonly network?: readonly string[];
  readonly expires?: number;
  readonly outgoing?: 'direct' | 'outbox';
  readonly dropOwnSentCopy?: boolean;
  readonly label: string;
}

function add(): Subcommand {
  return new Subcommand('add', 'make an app password; it is shown once')
    .option('--mailbox <address>', 'mailbox it opens; repeat or separate by commas', collect)
    .option('--all', 'it opens every mailbox, also ones added later')
    .option('--protocols <list>', 'imap, pop3, smtp (default: all three)', protocols)
    .option(
      '--network <cidr>',
      'networks it may be used from, for example 192.168.1.0/24; repeat (default: anywhere)',
      collect,
    )
    .addOption(
      new Option('--outgoing <way>', 'how mail handed over with it leaves (default: as its mailbox says)').choices([
        'direct',
        'outbox',
      ]),
    )
    .option(
      '--drop-own-sent-copy',
      'leave out the copy its program stores in Sent (IMAP) when the provider keeps one of the same message, sent and dated within the last 15 minutes',
    )
    .option('--expires <duration>', 'lifetime: 30m, 12h, 90d, 2w (default: until revoked)', lifetime)
    .requiredOption('--label <text>', 'which program it is for')
    .example(
      'postern password add --mailbox alice@example.com --protocols smtp --network 192.168.1.40/32 --label "printer, 2nd floor"',
    )
    .run(async (context, options: AddOptions) => {
      const mailboxes = mailboxesOf(options, 'say which mailboxes it opens');
      if (options.dropOwnSentCopy === true && options.protocols?.includes('imap') === false) {
        throw cliError('cli.usage', '--drop-own-sent-copy is about copies that are stored by IMAP', {
          hint: 'leave it out, or add imap to --protocols',
        });
      }
      const { password, row } = await context.act(addAppPassword, {
        ...options,
        protocols: options.protocols ?? PROTOCOLS,
        mailboxes,
        networks: options.network,
        lifetime: options.expires,
      });
      // The one place where it is shown.
      context.result({ ...facts(row), password: password.reveal() }, [password.reveal()]);
      context.say(
        `shown once; user name: ${userNames(row.mailboxes)}; revoke it with: postern password revoke ${shellWord(row.id)}`,
      );
    });
}

/** `*@domain` opens every address of its domain, and is none of them. */
function userNames(mailboxes: readonly string[]): string {
  const names = mailboxes.map((one) => {
    if (one === '*') return 'the address of each mailbox';
    return isCatchAll(one) ? `the address of each mailbox, such as SOMEBODY${one.slice(1)}` : one;
  });
  return names.join(' or ');
}

function list(): Subcommand {
  return new Subcommand('list', 'app passwords, without the passwords')
    .example('postern password list --all')
    .option('--all', 'also revoked and expired ones')
    .run(async (context, options: { all?: boolean }) => {
      context.list(
        await context.act(listAppPasswords, options),
        (row) => ({ ...facts(row), state: row.state }),
        {
          ID: ({ id }) => id,
          LABEL: ({ label }) => label,
          MAILBOXES: ({ mailboxes }) => mailboxes.join(','),
          PROTOCOLS: (row) => row.protocols.join(','),
          NETWORKS: ({ networks }) => networks.join(',') || 'anywhere',
          'MAIL LEAVES': ({ outgoing }) =>
            outgoing === undefined ? 'as its mailbox says' : outgoing === 'outbox' ? 'by the outbox' : 'directly',
          'OWN SENT COPY': ({ dropOwnSentCopy }) => (dropOwnSentCopy === true ? 'dropped' : 'kept'),
          'LAST USED': ({ lastUsedAt }) => when(lastUsedAt),
          STATE: validityText,
        },
        'no app password yet; postern password add --help',
      );
    });
}

function revoke(): Subcommand {
  return new Subcommand('revoke', 'make an app password invalid and end its sessions within seconds')
    .example('postern password revoke "office printer"')
    .argument('<id>', 'id, or label when only one has it')
    .run(async (context, name: string) => {
      const { id, label, waiting } = await context.act(revokeAppPassword, { name });
      context.result({ revoked: id, label, waiting }, [`revoked ${id} (${label})`]);
      sayWaiting(context, id, waiting);
    });
}

function facts(row: AppPassword): Record<string, unknown> {
  const { id, label, mailboxes, protocols, networks, outgoing = null, dropOwnSentCopy = false, createdAt } = row;
  const { expiresAt = null, lastUsedAt = null } = row;
  return { id, label, mailboxes, protocols, networks, outgoing, dropOwnSentCopy, createdAt, expiresAt, lastUsedAt };
}
