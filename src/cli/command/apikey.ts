/** `postern apikey`: keys for applications that use the HTTP API. */
import { shellWord } from '../../base/shell.ts';
import { Command } from 'commander';
import { createApiKey, revokeApiKey } from '../../access/api-key.ts';
import { disableWithoutRight } from '../../outbox/webhook/owner.ts';
import { API_ACTIONS, type ApiKey } from '../../store/types-api.ts';
import { Context, table, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { between, collect, lifetime } from '../value.ts';
import { findOpened } from '../find.ts';

export function apikey(): Command {
  return new Command('apikey')
    .description('API keys: one for each application that uses the HTTP API')
    .addHelpText(
      'after',
      '\nExample:\n  $ postern apikey add --mailbox shop@example.com --allow messages:send --label shop\n',
    )
    .addCommand(add())
    .addCommand(list())
    .addCommand(revoke());
}

interface AddOptions {
  readonly mailbox?: readonly string[];
  readonly all?: boolean;
  readonly allow: readonly string[];
  readonly network?: readonly string[];
  readonly rate?: number;
  readonly expires?: number;
  readonly label: string;
}

function add(): Command {
  return new Command('add')
    .description('make an API key; it is shown once')
    .option('--mailbox <address>', 'mailbox it may use; repeat or separate by commas', collect)
    .option('--all', 'it may use every mailbox, also ones added later')
    .requiredOption(
      '--allow <actions>',
      `what it may do: ${API_ACTIONS.join(', ')}; messages:* for all of a kind, * for everything`,
      collect,
    )
    .option('--network <cidr>', 'networks it may be used from; repeat (default: anywhere)', collect)
    .option('--rate <number>', 'requests a minute (default: no limit)', between(1, 1_000_000))
    .option('--expires <duration>', 'lifetime: 30m, 12h, 90d, 2w (default: until revoked)', lifetime)
    .requiredOption('--label <text>', 'which application it is for')
    .addHelpText(
      'after',
      '\nExample:\n  $ postern apikey add --mailbox shop@example.com --allow messages:send,messages:read --rate 600 --expires 90d --label shop\n',
    )
    .action(async (options: AddOptions, command: Command) => {
      const context = new Context(command);
      if ((options.mailbox === undefined) === (options.all !== true)) {
        throw cliError('cli.usage', 'say which mailboxes it may use', {
          hint: 'give --mailbox ADDRESS (repeatable) or --all',
        });
      }
      await context.withInstance(async (instance) => {
        const mailboxes = options.all === true ? ['*'] : [];
        for (const address of options.mailbox ?? []) mailboxes.push((await findOpened(instance, address)).address);
        const { key, row } = await createApiKey(instance, {
          label: options.label,
          actions: options.allow,
          mailboxes,
          networks: options.network ?? [],
          ...(options.rate === undefined ? {} : { rate: options.rate }),
          ...(options.expires === undefined ? {} : { expiresAt: instance.clock.now() + options.expires }),
        });
        // The one place where it is shown.
        context.result({ ...facts(row), key: key.reveal() }, [key.reveal()]);
        context.say(
          `shown once; send it as "Authorization: Bearer …"; revoke it with: postern apikey revoke ${shellWord(row.id)}`,
        );
      });
    });
}

function list(): Command {
  return new Command('list')
    .description('API keys, without the keys')
    .addHelpText('after', '\nExample:\n  $ postern apikey list --all\n')
    .option('--all', 'also revoked and expired ones')
    .action(async (options: { all?: boolean }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store, clock }) => {
        const now = clock.now();
        const rows = (await store.apiKeys.list()).filter(
          (row) => options.all === true || stateOf(row, now) === 'valid',
        );
        context.result(
          rows.map((row) => ({ ...facts(row), state: stateOf(row, now) })),
          rows.length === 0
            ? []
            : table(
                ['ID', 'LABEL', 'ACTIONS', 'MAILBOXES', 'NETWORKS', 'LAST USED', 'STATE'],
                rows.map((row) => [
                  row.id,
                  row.label,
                  row.actions.join(','),
                  row.mailboxes.join(','),
                  row.networks.length === 0 ? 'anywhere' : row.networks.join(','),
                  when(row.lastUsedAt),
                  stateOf(row, now) === 'valid' && row.expiresAt !== undefined
                    ? `until ${when(row.expiresAt)}`
                    : stateOf(row, now),
                ]),
              ),
        );
        if (rows.length === 0) context.say('no API key yet; postern apikey add --help');
      });
    });
}

function revoke(): Command {
  return new Command('revoke')
    .description('make an API key invalid within seconds')
    .addHelpText('after', '\nExample:\n  $ postern apikey revoke shop\n')
    .argument('<id>', 'id, or label when only one has it')
    .action(async (name: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const rows = (await instance.store.apiKeys.list()).filter(
          (row) => row.id === name || (row.label === name && row.revokedAt === undefined),
        );
        const [row, ...more] = rows;
        if (!row)
          throw cliError('cli.not-found', `there is no API key ${name}`, { hint: 'postern apikey list shows them' });
        if (more.length > 0)
          throw cliError('cli.usage', `several API keys are called ${name}`, {
            hint: `name one by its id: ${rows.map(({ id }) => id).join(', ')}`,
          });
        await revokeApiKey(instance, row.id);
        const { store } = instance;
        const keys = new Map((await store.apiKeys.list()).map((key) => [key.id, key]));
        const disabled = (await disableWithoutRight(instance, await store.webhooks.list(), keys)).map(({ id }) => id);
        context.result({ revoked: row.id, label: row.label, webhooksDisabled: disabled }, [
          `revoked ${row.id} (${row.label})`,
        ]);
        if (disabled.length > 0)
          context.say(
            `${disabled.length === 1 ? 'its webhook is' : 'its webhooks are'} switched off with it: ${disabled.join(', ')}; to go on with another key: postern webhook assign ID --key KEY`,
          );
      });
    });
}

function stateOf(row: ApiKey, now: number): 'valid' | 'expired' | 'revoked' {
  if (row.revokedAt !== undefined) return 'revoked';
  return row.expiresAt !== undefined && row.expiresAt <= now ? 'expired' : 'valid';
}

function facts(row: ApiKey): Record<string, unknown> {
  const { id, label, actions, mailboxes, networks, rate } = row;
  const time = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString());
  return {
    id,
    label,
    actions,
    mailboxes,
    networks,
    rate: rate ?? null,
    createdAt: time(row.createdAt),
    expiresAt: time(row.expiresAt),
    lastUsedAt: time(row.lastUsedAt),
  };
}
