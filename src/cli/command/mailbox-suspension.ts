/** `postern mailbox suspend` and `resume`: nobody gets in for a while, and nothing is lost. */
import { Command } from 'commander';
import { resumeMailbox, suspendMailbox } from '../../admin/mailboxes.ts';
import { Context } from '../context.ts';

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
      const { mailboxes } = await context.act(suspendMailbox, { address, ...options });
      report(context, mailboxes, 'suspended');
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
      const resumed = await context.act(resumeMailbox, { address, ...options });
      if (resumed.wasOpen) context.say(`${resumed.address} is not suspended; nothing to do`);
      report(context, resumed.mailboxes, 'open');
    });
}

function report(context: Context, mailboxes: readonly string[], state: string): void {
  context.result({ mailboxes, state }, [`${mailboxes.join(', ')}: ${state}`]);
}
