/** `postern mailbox set`: how mail of a mailbox leaves, and as whom. */
import { Option } from 'commander';
import { checkAddress } from '../../outbox/address.ts';
import { moveMailbox, setMailbox } from '../../admin/mailboxes.ts';
import type { Instance } from '../../server/instance.ts';
import type { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { collect } from '../value.ts';
import { sendingText } from './mailbox-facts.ts';

interface SetOptions {
  readonly outgoing?: 'direct' | 'outbox';
  readonly sendAs?: readonly string[];
  readonly notAs?: readonly string[];
  readonly route?: readonly string[];
  readonly application?: string;
}

const ROUTES = ['smtp', 'graph', 'relay'] as const;

export function set(): Subcommand {
  return new Subcommand('set', 'change how mail of a mailbox leaves, or which application opens it')
    .argument('<address>')
    .addOption(
      new Option(
        '--outgoing <way>',
        'direct: handed to the provider while the program waits; outbox: kept first, delivered then, tried again for two days',
      ).choices(['direct', 'outbox']),
    )
    .option('--send-as <address>', 'another sender that mail in the outbox may have; repeat', collect)
    .option('--not-as <address>', 'remove such a sender; repeat', collect)
    .option(
      '--route <name>',
      'how its mail leaves the outbox: smtp, graph or relay; repeat in the order to try (default: smtp, at Microsoft then graph)',
      collect,
    )
    .option('--application <name>', 'open it through this application from now on, with the consent there is')
    .example(
      'postern mailbox set alice@example.com --application work',
      'postern mailbox set tickets@example.com --outgoing outbox --send-as support@example.com',
    )
    .run(async (context, address: string, options: SetOptions) => {
      const { outgoing, route, sendAs = [], notAs = [], application } = options;
      const settingsAsked = outgoing !== undefined || route !== undefined || sendAs.length + notAs.length > 0;
      if (!settingsAsked && application === undefined)
        throw cliError('cli.usage', 'say what is to change', {
          hint: 'give --outgoing, --route, --send-as, --not-as or --application',
        });
      const routes = route?.map((name) => {
        const known = ROUTES.find((one) => one === name);
        if (known !== undefined) return known;
        throw cliError('cli.usage', `there is no route ${name}`, { hint: `routes are ${ROUTES.join(', ')}` });
      });
      for (const one of sendAs) checkAddress(one);
      await context.withInstance(async (instance) => {
        const moved = application === undefined ? undefined : await move(context, instance, address, application);
        if (!settingsAsked) {
          context.result({ address: moved!.address, application, moved: moved!.moved }, []);
          return;
        }
        const asked = { address, outgoing, routes, sendAs, notAs };
        const set = await context.perform(instance, setMailbox, asked);
        context.result({ ...set, routes: set.routes ?? [] }, [
          `mail of ${set.address} leaves ${sendingText({ settings: set })}`,
        ]);
      });
    });
}

/** The mailboxes that went along: one consent opens all of them. */
async function move(
  context: Context,
  instance: Instance,
  named: string,
  to: string,
): Promise<{ readonly address: string; readonly moved: readonly string[] }> {
  const done = await context.perform(instance, moveMailbox, { address: named, application: to });
  const { address, application, moved } = done;
  const others = moved.filter((one) => one !== address);
  context.say(
    moved.length === 0
      ? `${address} is opened through ${application} already`
      : `${address} is opened through ${application} now${others.length === 0 ? '' : `, and with the same consent ${others.join(', ')}`}`,
  );
  return done;
}
