/** `postern mailbox set`: how mail of a mailbox leaves, and as whom. */
import { Command, Option } from 'commander';
import { checkAddress } from '../../outbox/address.ts';
import { moveMailbox } from '../../oauth/change-application.ts';
import type { Instance } from '../../server/instance.ts';
import { editMailbox } from '../../store/edit.ts';
import type { Mailbox } from '../../store/types.ts';
import { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { findApplication, findMailbox } from '../find.ts';
import { collect } from '../value.ts';

interface SetOptions {
  readonly outgoing?: 'direct' | 'outbox';
  readonly sendAs?: readonly string[];
  readonly notAs?: readonly string[];
  readonly route?: readonly string[];
  readonly provider?: string;
}

const ROUTES = ['smtp', 'graph', 'relay'];

export function set(): Command {
  return new Command('set')
    .description('change how mail of a mailbox leaves, or which application opens it')
    .argument('<address>')
    .addOption(
      new Option(
        '--outgoing <way>',
        'direct: handed to the provider while the program waits; outbox: kept first, delivered then, tried again for two days',
      ).choices(['direct', 'outbox']),
    )
    .option('--send-as <address>', 'another sender that mail in the outbox may have; repeat', collect)
    .option('--not-as <address>', 'take such a sender back; repeat', collect)
    .option(
      '--route <name>',
      'how its mail leaves the outbox: smtp, graph or relay; repeat in the order to try (default: smtp, at Microsoft then graph)',
      collect,
    )
    .option('--provider <name>', 'open it through this application from now on, with the consent there is')
    .addHelpText(
      'after',
      '\nExample:\n  $ postern mailbox set alice@example.com --provider work\n  $ postern mailbox set tickets@example.com --outgoing outbox --send-as support@example.com\n',
    )
    .action(async (address: string, options: SetOptions, command: Command) => {
      const context = new Context(command);
      const { outgoing, route, sendAs = [], notAs = [], provider } = options;
      const settingsAsked = outgoing !== undefined || route !== undefined || sendAs.length + notAs.length > 0;
      if (!settingsAsked && provider === undefined)
        throw cliError('cli.usage', 'say what is to change', {
          hint: 'give --outgoing, --route, --send-as, --not-as or --provider',
        });
      const unknown = route?.find((name) => !ROUTES.includes(name));
      if (unknown !== undefined)
        throw cliError('cli.usage', `there is no route ${unknown}`, { hint: `routes are ${ROUTES.join(', ')}` });
      for (const one of sendAs) checkAddress(one);
      await context.withInstance(async (instance) => {
        if (route?.includes('relay') === true && !instance.config.outbox.relay)
          throw cliError('cli.usage', 'no relay is configured', { hint: 'set outbox.relay in postern.yaml first' });
        const found = await findMailbox(instance, address);
        const moved = provider === undefined ? undefined : await move(context, instance, found, provider);
        if (!settingsAsked) {
          context.result({ address: found.address, provider, moved }, []);
          return;
        }
        const gone = new Set(notAs.map((one) => one.toLowerCase()));
        const change = (now: Mailbox['settings']) => {
          const before = Array.isArray(now['sendAs']) ? (now['sendAs'] as string[]) : [];
          const all = new Set([...before, ...sendAs.map((one) => one.toLowerCase())]);
          return {
            ...now,
            ...(outgoing === undefined ? {} : { outgoing }),
            ...(route === undefined ? {} : { routes: route }),
            sendAs: [...all].filter((one) => !gone.has(one)),
          };
        };
        // Decided on what is there when it is written: the HTTP API holds and releases mailboxes meanwhile.
        const edited = await editMailbox(instance.store, found.address, change);
        if (!edited)
          throw cliError('cli.usage', `${found.address} was removed meanwhile`, { hint: 'nothing was changed' });
        const { settings } = edited;
        const senders = settings.sendAs;
        const way = settings.outgoing === 'outbox' ? 'through the outbox' : 'directly';
        const by = settings.routes === undefined ? '' : `, by ${settings.routes.join(', then ')}`;
        const also = senders.length === 0 ? '' : `, also as ${senders.join(', ')}`;
        context.result(
          {
            address: found.address,
            outgoing: settings.outgoing ?? 'direct',
            routes: settings.routes ?? [],
            sendAs: senders,
          },
          [`mail of ${found.address} leaves ${way}${also}${by}`],
        );
      });
    });
}

/** The mailboxes that went along: one consent opens all of them. */
async function move(
  context: Context,
  instance: Instance,
  mailbox: Mailbox,
  provider: string,
): Promise<readonly string[]> {
  const to = await findApplication(instance.store, provider);
  const { moved } = await moveMailbox(instance, mailbox, to);
  for (const { address } of moved)
    await instance.audit.record({
      type: 'mailbox.moved',
      outcome: 'ok',
      mailbox: address,
      data: { application: to.name },
    });
  const others = moved.filter(({ address }) => address !== mailbox.address).map(({ address }) => address);
  context.say(
    moved.length === 0
      ? `${mailbox.address} is opened through ${to.name} already`
      : `${mailbox.address} is opened through ${to.name} now${others.length === 0 ? '' : `, and with the same consent ${others.join(', ')}`}`,
  );
  return moved.map(({ address }) => address);
}
