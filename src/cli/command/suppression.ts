/** `postern suppression`: addresses that get no mail. */
import { Command, Option } from 'commander';
import { isAddress } from '../../outbox/address.ts';
import { type Suppression, SUPPRESSION_REASONS } from '../../store/types-api.ts';
import type { Instance } from '../../server/instance.ts';
import { Context, table, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { between } from '../value.ts';
import { findMailbox } from '../find.ts';

export function suppression(): Command {
  return new Command('suppression')
    .description('addresses that get no mail, from one mailbox or from all')
    .addHelpText('after', '\nExample:\n  $ postern suppression list\n')
    .addCommand(add())
    .addCommand(list())
    .addCommand(remove());
}

const mailboxOption = (): Option => new Option('--mailbox <address>', 'only for this mailbox (default: for all)');

function add(): Command {
  return new Command('add')
    .description('let an address get no mail any more')
    .argument('<address>', 'who gets no mail')
    .addOption(mailboxOption())
    .addOption(new Option('--reason <word>', 'why').choices([...SUPPRESSION_REASONS]).default('manual'))
    .option('--note <text>', 'what led to it, for people')
    .addHelpText('after', '\nExample:\n  $ postern suppression add bob@example.net --note "asked by phone"\n')
    .action(
      async (
        address: string,
        options: { mailbox?: string; reason: Suppression['reason']; note?: string },
        command: Command,
      ) => {
        const context = new Context(command);
        if (!isAddress(address)) {
          throw cliError('cli.usage', `${address} is no address`, { hint: 'an address is local@domain' });
        }
        await context.withInstance(async (instance) => {
          const { store, clock, audit } = instance;
          const mailbox = await scopeOf(instance, options.mailbox);
          const row = { address, mailbox, reason: options.reason, note: options.note, createdAt: clock.now() };
          const added = await store.suppressions.put(row);
          const data = { what: 'suppressions.added', count: 1, by: 'command' };
          await audit.record({ type: 'api.changed', outcome: 'ok', data });
          context.result({ ...facts(row), added }, [`${address} gets no mail from ${scopeWords(mailbox)}`]);
        });
      },
    );
}

function list(): Command {
  return new Command('list')
    .description('suppressed addresses, by address')
    .addOption(mailboxOption())
    .option('--limit <number>', 'at most so many', between(1, 100_000), 1000)
    .addHelpText('after', '\nExample:\n  $ postern suppression list --mailbox shop@example.com\n')
    .action(async (options: { mailbox?: string; limit: number }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const { mailbox, limit } = options;
        const mailboxes = mailbox === undefined ? undefined : [await scopeOf(instance, mailbox), '*'];
        const rows = await instance.store.suppressions.list({ limit, ...(mailboxes ? { mailboxes } : {}) });
        const lines = rows.map((row) => [row.address, row.mailbox, row.reason, when(row.createdAt), row.note ?? '']);
        context.result(
          rows.map(facts),
          rows.length === 0 ? [] : table(['ADDRESS', 'MAILBOX', 'REASON', 'SINCE', 'NOTE'], lines),
        );
        if (rows.length === 0) context.say('no address is suppressed');
      });
    });
}

function remove(): Command {
  return new Command('remove')
    .description('let an address get mail again')
    .argument('<address>', 'who gets mail again')
    .addOption(mailboxOption())
    .addHelpText('after', '\nExample:\n  $ postern suppression remove bob@example.net\n')
    .action(async (address: string, options: { mailbox?: string }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const mailbox = await scopeOf(instance, options.mailbox);
        if (!(await instance.store.suppressions.remove(address, mailbox))) {
          throw cliError('cli.not-found', `${address} is not suppressed for ${scopeWords(mailbox)}`, {
            hint: 'postern suppression list shows for which mailbox it is',
          });
        }
        const data = { what: 'suppression.removed', address, mailbox, by: 'command' };
        await instance.audit.record({ type: 'api.changed', outcome: 'ok', data });
        context.result({ removed: address, mailbox }, [`${address} gets mail again from ${scopeWords(mailbox)}`]);
      });
    });
}

async function scopeOf(instance: Instance, mailbox: string | undefined): Promise<string> {
  return mailbox === undefined || mailbox === '*' ? '*' : (await findMailbox(instance, mailbox)).address;
}

const scopeWords = (mailbox: string): string => (mailbox === '*' ? 'every mailbox' : mailbox);

function facts({ address, mailbox, reason, note, createdAt }: Suppression): Record<string, unknown> {
  return { address, mailbox, reason, note: note ?? null, createdAt: new Date(createdAt).toISOString() };
}
