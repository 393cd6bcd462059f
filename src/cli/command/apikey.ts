/** `postern apikey`: keys for applications that use the HTTP API. */
import { shellWord } from '../../base/shell.ts';
import { Command } from 'commander';
import { addApiKey, listApiKeys, revokeApiKey } from '../../admin/api-keys.ts';
import { API_ACTIONS, type ApiKey } from '../../store/types-api.ts';
import { Context, validityText, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { between, collect, lifetime } from '../value.ts';

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
      const { key, row } = await context.act(addApiKey, {
        ...options,
        actions: options.allow,
        mailboxes: options.all === true ? ['*'] : (options.mailbox ?? []),
        networks: options.network,
        lifetime: options.expires,
      });
      // The one place where it is shown.
      context.result({ ...facts(row), key: key.reveal() }, [key.reveal()]);
      context.say(
        `shown once; send it as "Authorization: Bearer …"; revoke it with: postern apikey revoke ${shellWord(row.id)}`,
      );
    });
}

function list(): Command {
  return new Command('list')
    .description('API keys, without the keys')
    .addHelpText('after', '\nExample:\n  $ postern apikey list --all\n')
    .option('--all', 'also revoked and expired ones')
    .action(async (options: { all?: boolean }, command: Command) => {
      const context = new Context(command);
      context.list(
        await context.act(listApiKeys, options),
        (row) => ({ ...facts(row), state: row.state }),
        {
          ID: ({ id }) => id,
          LABEL: ({ label }) => label,
          ACTIONS: ({ actions }) => actions.join(','),
          MAILBOXES: ({ mailboxes }) => mailboxes.join(','),
          NETWORKS: ({ networks }) => networks.join(',') || 'anywhere',
          'LAST USED': ({ lastUsedAt }) => when(lastUsedAt),
          STATE: validityText,
        },
        'no API key yet; postern apikey add --help',
      );
    });
}

function revoke(): Command {
  return new Command('revoke')
    .description('make an API key invalid within seconds')
    .addHelpText('after', '\nExample:\n  $ postern apikey revoke shop\n')
    .argument('<id>', 'id, or label when only one has it')
    .action(async (name: string, _options: object, command: Command) => {
      const context = new Context(command);
      const { id, label, webhooksDisabled } = await context.act(revokeApiKey, { name });
      context.result({ revoked: id, label, webhooksDisabled }, [`revoked ${id} (${label})`]);
      if (webhooksDisabled.length > 0)
        context.say(
          `${webhooksDisabled.length === 1 ? 'its webhook is' : 'its webhooks are'} switched off with it: ${webhooksDisabled.join(', ')}; to go on with another key: postern webhook assign ID --key KEY`,
        );
    });
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
