/** `postern webhook`: who is told of events by HTTP, by which API key. */
import { Command } from 'commander';
import { opens } from '../../access/api-sign-in.ts';
import { rightLost } from '../../outbox/webhook/owner.ts';
import type { Instance } from '../../server/instance.ts';
import type { Webhook } from '../../store/types-api.ts';
import { Context, table, when } from '../context.ts';
import { cliError } from '../errors.ts';

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
      await context.withInstance(async ({ store }) => {
        const labels = new Map((await store.apiKeys.list()).map(({ id, label }) => [id, label]));
        const rows = await store.webhooks.list();
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
    .description('make a webhook over to another API key, and switch it on again')
    .argument('<id>', 'id of the webhook')
    .requiredOption(
      '--key <id>',
      'id of the API key, which must allow events:read and open the mailboxes of the webhook',
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ postern webhook assign whk_06b1v7c4n2hvr3q8f9t5x0w2ka --key key_06b1v7c4n2hvr3q8f9t5x0w2kb\n',
    )
    .action(async (id: string, { key: keyId }: { key: string }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const { audit, clock, store } = instance;
        const found = await find(instance, id);
        const key = await store.apiKeys.find(keyId);
        if (!key)
          throw cliError('cli.not-found', `there is no API key ${keyId}`, { hint: 'postern apikey list shows them' });
        const lost = rightLost({ ...found, apiKeyId: key.id }, key, clock.now());
        const closed = found.mailboxes.find((one) => !opens(key, one));
        if (lost !== undefined || closed !== undefined)
          throw cliError('cli.usage', lost ?? `the API key ${key.id} does not open ${closed}`, {
            hint: 'choose a key that allows events:read and opens the mailboxes of the webhook: postern apikey list',
          });
        await store.webhooks.update(found.id, { apiKeyId: key.id, state: { type: 'enabled' } });
        const data = { what: 'webhook.assigned', id: found.id, url: found.url, apiKeyId: key.id, by: 'command' };
        await audit.record({ type: 'api.changed', outcome: 'ok', data });
        context.result({ assigned: found.id, apiKeyId: key.id }, [
          `${found.id} belongs to ${key.id} (${key.label}) and is enabled`,
        ]);
      });
    });
}

function remove(): Command {
  return new Command('remove')
    .description('end a webhook, with its log')
    .argument('<id>', 'id of the webhook')
    .addHelpText('after', '\nExample:\n  $ postern webhook remove whk_06b1v7c4n2hvr3q8f9t5x0w2ka\n')
    .action(async (id: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const found = await find(instance, id);
        await instance.store.webhooks.remove(found.id);
        const data = { what: 'webhook.removed', id: found.id, url: found.url, by: 'command' };
        await instance.audit.record({ type: 'api.changed', outcome: 'ok', data });
        context.result({ removed: found.id }, [`removed ${found.id} (${found.url})`]);
      });
    });
}

/** @throws cli.not-found */
async function find({ store }: Pick<Instance, 'store'>, id: string): Promise<Webhook> {
  const found = await store.webhooks.find(id);
  if (found) return found;
  throw cliError('cli.not-found', `there is no webhook ${id}`, { hint: 'postern webhook list shows them' });
}

function facts(row: Webhook, labels: ReadonlyMap<string, string>): Record<string, unknown> {
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
