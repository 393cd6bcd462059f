/** `postern suppression`: addresses that get no mail. */
import { Option } from 'commander';
import { addSuppressions, listSuppressions, removeSuppression } from '../../admin/suppressions.ts';
import { isAddress } from '../../outbox/address.ts';
import { type Suppression, SUPPRESSION_REASONS } from '../../store/types-api.ts';
import { when } from '../context.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { between } from '../value.ts';

export function suppression(): Subcommand {
  return new Subcommand('suppression', 'addresses to which nothing is sent, by one mailbox or by all')
    .example('postern suppression list')
    .addCommands(add(), list(), remove());
}

const mailboxOption = (): Option => new Option('--mailbox <address>', 'only for this mailbox (default: for all)');

function add(): Subcommand {
  return new Subcommand('add', 'stop sending to an address')
    .argument('<address>', 'who gets no mail')
    .addOption(mailboxOption())
    .addOption(new Option('--reason <word>', 'why').choices([...SUPPRESSION_REASONS]).default('manual'))
    .option('--note <text>', 'what led to it, for people')
    .example('postern suppression add bob@example.net --note "asked by phone"')
    .run(
      async (context, address: string, options: Pick<Suppression, 'reason'> & { mailbox?: string; note?: string }) => {
        if (!isAddress(address)) {
          throw cliError('cli.usage', `${address} is no address`, { hint: 'an address is local@domain' });
        }
        const { rows, added } = await context.act(addSuppressions, { items: [{ address, ...options }] });
        const row = rows[0]!;
        const said = `${row.mailbox === '*' ? 'no mailbox sends' : `${row.mailbox} does not send`} to ${address} any more`;
        context.result({ ...facts(row), added: added > 0 }, [said]);
        if (added === 0)
          context.say('it was suppressed already; reason and note stay as they were: postern suppression list');
      },
    );
}

function list(): Subcommand {
  return new Subcommand('list', 'suppressed addresses, by address')
    .addOption(mailboxOption())
    .option('--limit <number>', 'how many at most', between(1, 100_000), 1000)
    .example('postern suppression list --mailbox shop@example.com')
    .run(async (context, options: { mailbox?: string; limit: number }) => {
      const { mailbox, limit } = options;
      const mailboxes = mailbox === undefined ? undefined : [mailbox, '*'];
      context.list(
        (await context.act(listSuppressions, { limit, mailboxes })).rows,
        facts,
        {
          ADDRESS: (row) => row.address,
          MAILBOX: (row) => row.mailbox,
          REASON: (row) => row.reason,
          SINCE: (row) => when(row.createdAt),
          NOTE: (row) => row.note ?? '',
        },
        'no address is suppressed',
      );
    });
}

function remove(): Subcommand {
  return new Subcommand('remove', 'send to an address again')
    .argument('<address>', 'who gets mail again')
    .addOption(mailboxOption())
    .example('postern suppression remove bob@example.net')
    .run(async (context, address: string, options: { mailbox?: string }) => {
      const { mailbox } = await context.act(removeSuppression, { address, ...options });
      context.result({ removed: address, mailbox }, [
        `${mailbox === '*' ? 'mailboxes may send' : `${mailbox} may send`} to ${address} again`,
      ]);
    });
}

function facts({ address, mailbox, reason, note, createdAt }: Suppression): Record<string, unknown> {
  return { address, mailbox, reason, note: note ?? null, createdAt };
}
