/** `postern mailbox suspend` and `resume`: nobody gets in for a while, and nothing is lost. */
import { shellWord } from '../../base/shell.ts';
import { Command } from 'commander';
import { resumeGrant, resumeMailbox, suspendGrant, suspendMailbox } from '../../oauth/suspension.ts';
import type { Instance } from '../../server/instance.ts';
import type { Mailbox } from '../../store/types.ts';
import { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { findMailbox } from '../../admin/find.ts';

const GRANT = 'the whole grant: every mailbox that the same consent or application opens, and its renewal';

export function suspend(): Command {
  return new Command('suspend')
    .description(
      'close a mailbox for a while: open sessions end, programs and the outbox get no tokens; consent, app passwords and settings stay',
    )
    .argument('<address>')
    .option('--reason <text>', 'shown to whoever tries', 'by the administrator')
    .option('--grant', GRANT)
    .addHelpText(
      'after',
      '\nExamples:\n  $ postern mailbox suspend alice@example.com --reason "left the company"\n  $ postern mailbox suspend alice@example.com --grant\n',
    )
    .action(async (address: string, options: { reason: string; grant?: true }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const mailbox = await findMailbox(instance, address);
        if (options.grant) await suspendGrant(instance, mailbox.grantId, options.reason);
        else await suspendMailbox(instance, mailbox, options.reason);
        report(context, await concerned(instance, mailbox, options.grant), 'suspended');
      });
    });
}

export function resume(): Command {
  return new Command('resume')
    .description('open a suspended mailbox again')
    .argument('<address>')
    .option('--grant', GRANT)
    .addHelpText('after', '\nExample:\n  $ postern mailbox resume alice@example.com\n')
    .action(async (address: string, options: { grant?: true }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const mailbox = await findMailbox(instance, address);
        const { state } = (await instance.store.grants.find(mailbox.grantId)) ?? {};
        if (options.grant) await resumeGrant(instance, mailbox.grantId);
        else if (mailbox.suspended) await resumeMailbox(instance, mailbox);
        else if (state?.type !== 'suspended') context.say(`${mailbox.address} is not suspended; nothing to do`);
        else
          throw cliError('cli.usage', `${mailbox.address} is closed because its whole grant is suspended`, {
            hint: `to open it with every other mailbox of the grant: postern mailbox resume ${shellWord(mailbox.address)} --grant`,
          });
        report(context, await concerned(instance, mailbox, options.grant), 'open');
      });
    });
}

async function concerned({ store }: Instance, mailbox: Mailbox, grant: true | undefined): Promise<readonly string[]> {
  if (!grant) return [mailbox.address];
  return (await store.mailboxes.byGrant(mailbox.grantId)).map(({ address }) => address);
}

function report(context: Context, mailboxes: readonly string[], state: string): void {
  context.result({ mailboxes, state }, [`${mailboxes.join(', ')}: ${state}`]);
}
