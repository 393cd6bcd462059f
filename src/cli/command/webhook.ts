/** `postern webhook`: who is told of events by HTTP, by which API key. */
import { Command } from 'commander';
import { listApiKeys } from '../../admin/api-keys.ts';
import { MAX_LISTED } from '../../admin/schema.ts';
import { assignWebhook, listWebhooks, removeWebhook, type ShownWebhook } from '../../admin/webhooks.ts';
import { Context, table, when } from '../context.ts';

export function webhook(): Command {
  return new Command('webhook')
    .description('webhooks: which receivers are told of events, and by which API key; they are made by the HTTP API')
    .addHelpText('after', '\nExample:\n  $ postern webhook list\n')
    .addCommand(list())
    .addCommand(assign())
    .addCommand(remove());
}

function list(): Command {
  return new Command('list')
    .description('all webhooks, oldest first')
    .addHelpText('after', '\nExample:\n  $ postern webhook list\n')
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const keys = await context.perform(instance, listApiKeys, { all: true });
        const labels = new Map(keys.map(({ id, label }) => [id, label]));
        const { rows } = await context.perform(instance, listWebhooks, { limit: MAX_LISTED });
        context.result(
          rows.map((row) => facts(row, labels)),
          rows.length === 0
            ? []
            : table(
                ['ID', 'URL', 'EVENTS', 'MAILBOXES', 'API KEY', 'MADE', 'STATE'],
                rows.map((row) => [
                  row.id,
                  row.url,
                  row.types.length === 0 ? 'all' : row.types.join(','),
                  row.mailboxes.join(','),
                  row.apiKeyId === undefined ? 'none' : `${row.apiKeyId} (${labels.get(row.apiKeyId) ?? 'gone'})`,
                  when(row.createdAt),
                  row.state.type === 'enabled' ? 'enabled' : `off since ${when(row.state.since)}: ${row.state.reason}`,
                ]),
              ),
        );
        if (rows.length === 0) context.say('no webhook');
        else if (rows.some(({ apiKeyId }) => apiKeyId === undefined))
          context.say(
            'those without an API key were made by an earlier version and end with none; give them to one: postern webhook assign ID --key KEY',
          );
      });
    });
}

function assign(): Command {
  return new Command('assign')
    .description('give a webhook to another API key, and switch it on again')
    .argument('<id>', 'id of the webhook')
    .requiredOption(
      '--key <id>',
      'id of the API key, which must allow events:read and open the mailboxes of the webhook',
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ postern webhook assign whk_06b1v7c4n2hvr3q8f9t5x0w2ka --key key_06b1v7c4n2hvr3q8f9t5x0w2kb\n',
    )
    .action(async (id: string, { key }: { key: string }, command: Command) => {
      const context = new Context(command);
      const done = await context.act(assignWebhook, { id, key });
      context.result({ assigned: done.id, apiKeyId: done.key.id }, [
        `${done.id} belongs to ${done.key.id} (${done.key.label}) and is enabled`,
      ]);
    });
}

function remove(): Command {
  return new Command('remove')
    .description('end a webhook, with its log')
    .argument('<id>', 'id of the webhook')
    .addHelpText('after', '\nExample:\n  $ postern webhook remove whk_06b1v7c4n2hvr3q8f9t5x0w2ka\n')
    .action(async (id: string, _options: object, command: Command) => {
      const context = new Context(command);
      const removed = await context.act(removeWebhook, { id });
      context.result({ removed: removed.id }, [`removed ${removed.id} (${removed.url})`]);
    });
}

function facts(row: ShownWebhook, labels: ReadonlyMap<string, string>): Record<string, unknown> {
  const { id, apiKeyId, url, types, mailboxes, state, createdAt } = row;
  return {
    id,
    url,
    types,
    mailboxes,
    apiKeyId: apiKeyId ?? null,
    apiKeyLabel: labels.get(apiKeyId ?? '') ?? null,
    enabled: state.type === 'enabled',
    disabled: state.type === 'enabled' ? null : { since: new Date(state.since).toISOString(), reason: state.reason },
    createdAt: new Date(createdAt).toISOString(),
  };
}
