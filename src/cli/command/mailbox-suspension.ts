/** `postern mailbox suspend` and `resume`: nobody gets in for a while, and nothing is lost. */
import { Command } from 'commander';
import { resumeGrant, suspendGrant } from '../../oauth/suspension.ts';
import type { Instance } from '../../server/instance.ts';
import { Context } from '../context.ts';
import { findMailbox } from '../find.ts';

export function suspend(): Command {
  return new Command('suspend')
    .description(
      'close a mailbox for a while: open sessions end, no tokens, no renewal; consent, app passwords and settings stay',
    )
    .argument('<address>')
    .option('--reason <text>', 'shown to whoever tries', 'by the administrator')
    .addHelpText('after', '\nExample:\n  $ postern mailbox suspend alice@example.com --reason "left the company"\n')
    .action(async (address: string, options: { reason: string }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const { grantId } = await findMailbox(instance, address);
        await suspendGrant(instance, grantId, options.reason);
        await report(context, instance, grantId, 'suspended');
      });
    });
}

export function resume(): Command {
  return new Command('resume')
    .description('open a suspended mailbox again')
    .argument('<address>')
    .addHelpText('after', '\nExample:\n  $ postern mailbox resume alice@example.com\n')
    .action(async (address: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const { grantId } = await findMailbox(instance, address);
        await resumeGrant(instance, grantId);
        await report(context, instance, grantId, 'open again');
      });
    });
}

/** One grant may open several mailboxes, and then all are concerned. */
async function report(context: Context, { store }: Instance, grantId: string, what: string): Promise<void> {
  const all = (await store.mailboxes.byGrant(grantId)).map(({ address }) => address);
  context.result({ mailboxes: all, state: what }, [`${all.join(', ')}: ${what}`]);
}
