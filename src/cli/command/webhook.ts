/** `postern webhook`: who is told of events by HTTP, by which API key. */
import { z } from 'zod';
import { listApiKeys } from '../../admin/api-keys.ts';
import { MAX_LISTED } from '../../admin/schema.ts';
import { assignWebhook, listWebhooks, removeWebhook, shownWebhook } from '../../admin/webhooks.ts';
import { table, when } from '../context.ts';
import { Subcommand } from '../subcommand.ts';

export function webhook(): Subcommand {
  return new Subcommand(
    'webhook',
    'webhooks: which receivers are told of events, and by which API key; they are made by the HTTP API',
  )
    .example('postern webhook list')
    .addCommands(list(), assign(), remove());
}

function list(): Subcommand {
  return new Subcommand('list', 'all webhooks, oldest first')
    .example('postern webhook list')
    .runWithInstance(async (context, instance) => {
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
                row.apiKeyId === null ? 'none' : `${row.apiKeyId} (${labels.get(row.apiKeyId) ?? 'gone'})`,
                when(row.createdAt),
                row.disabled === null ? 'enabled' : `off since ${when(row.disabled.since)}: ${row.disabled.reason}`,
              ]),
            ),
      );
      if (rows.length === 0) context.say('no webhook');
      else if (rows.some(({ apiKeyId }) => apiKeyId === null))
        context.say(
          'those without an API key were made by an earlier version and end with none; give them to one: postern webhook assign ID --key KEY',
        );
    });
}

function assign(): Subcommand {
  return new Subcommand('assign', 'give a webhook to another API key, and switch it on again')
    .argument('<id>', 'id of the webhook')
    .requiredOption(
      '--key <id>',
      'id of the API key, which must allow events:read and open the mailboxes of the webhook',
    )
    .example('postern webhook assign whk_06b1v7c4n2hvr3q8f9t5x0w2ka --key key_06b1v7c4n2hvr3q8f9t5x0w2kb')
    .run(async (context, id: string, { key }: { key: string }) => {
      const done = await context.act(assignWebhook, { id, key });
      context.result({ assigned: done.id, apiKeyId: done.key.id }, [
        `${done.id} belongs to ${done.key.id} (${done.key.label}) and is enabled`,
      ]);
    });
}

function remove(): Subcommand {
  return new Subcommand('remove', 'end a webhook, with its log')
    .argument('<id>', 'id of the webhook')
    .example('postern webhook remove whk_06b1v7c4n2hvr3q8f9t5x0w2ka')
    .run(async (context, id: string) => {
      const removed = await context.act(removeWebhook, { id });
      context.result({ removed: removed.id }, [`removed ${removed.id} (${removed.url})`]);
    });
}

function facts(row: z.output<typeof shownWebhook>, labels: ReadonlyMap<string, string>): Record<string, unknown> {
  const { id, url, types, mailboxes, apiKeyId, enabled, disabled, createdAt } = z.encode(shownWebhook, row);
  const apiKeyLabel = labels.get(apiKeyId ?? '') ?? null;
  return { id, url, types, mailboxes, apiKeyId, apiKeyLabel, enabled, disabled, createdAt };
}
