/** `postern apikey`: keys for applications that use the HTTP API. */
import { shellWord } from '../../base/shell.ts';
import { addApiKey, listApiKeys, revokeApiKey } from '../../admin/api-keys.ts';
import { API_ACTIONS, type ApiKey } from '../../store/types-api.ts';
import { validityText, when } from '../context.ts';
import { Subcommand } from '../subcommand.ts';
import { sayWaiting } from '../waiting-mail.ts';
import { between, collect, lifetime, mailboxesOf } from '../value.ts';

export function apikey(): Subcommand {
  return new Subcommand('apikey', 'API keys: one for each application that uses the HTTP API')
    .example('postern apikey add --mailbox shop@example.com --allow messages:send --label shop')
    .addCommands(add(), list(), revoke());
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

function add(): Subcommand {
  return new Subcommand('add', 'make an API key; it is shown once')
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
    .example(
      'postern apikey add --mailbox shop@example.com --allow messages:send,messages:read --rate 600 --expires 90d --label shop',
    )
    .run(async (context, options: AddOptions) => {
      const mailboxes = mailboxesOf(options, 'say which mailboxes it may use');
      const { key, row } = await context.act(addApiKey, {
        ...options,
        actions: options.allow,
        mailboxes,
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

function list(): Subcommand {
  return new Subcommand('list', 'API keys, without the keys')
    .example('postern apikey list --all')
    .option('--all', 'also revoked and expired ones')
    .run(async (context, options: { all?: boolean }) => {
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

function revoke(): Subcommand {
  return new Subcommand('revoke', 'make an API key invalid within seconds')
    .example('postern apikey revoke shop')
    .argument('<id>', 'id, or label when only one has it')
    .run(async (context, name: string) => {
      const { id, label, webhooksDisabled, waiting } = await context.act(revokeApiKey, { name });
      context.result({ revoked: id, label, webhooksDisabled, waiting }, [`revoked ${id} (${label})`]);
      if (webhooksDisabled.length > 0)
        context.say(
          `${webhooksDisabled.length === 1 ? 'its webhook is' : 'its webhooks are'} switched off with it: ${webhooksDisabled.join(', ')}; to go on with another key: postern webhook assign ID --key KEY`,
        );
      sayWaiting(context, id, waiting);
    });
}

function facts(row: ApiKey): Record<string, unknown> {
  const { id, label, actions, mailboxes, networks, rate = null, createdAt, expiresAt = null, lastUsedAt = null } = row;
  return { id, label, actions, mailboxes, networks, rate, createdAt, expiresAt, lastUsedAt };
}
