/** `postern mailbox suspend` and `resume`: nobody gets in for a while, and nothing is lost. */
import { resumeMailbox, suspendMailbox } from '../../admin/mailboxes.ts';
import type { Context } from '../context.ts';
import { Subcommand } from '../subcommand.ts';

const GRANT = 'the whole grant: every mailbox that the same consent or application opens, and its renewal';

export function suspend(): Subcommand {
  return new Subcommand(
    'suspend',
    'close a mailbox for a while: open sessions end, programs and the outbox get no tokens; consent, app passwords and settings stay',
  )
    .argument('<address>')
    .option('--reason <text>', 'shown to whoever tries', 'by the administrator')
    .option('--grant', GRANT)
    .addHelpText(
      'after',
      '\nExamples:\n  $ postern mailbox suspend alice@example.com --reason "left the company"\n  $ postern mailbox suspend alice@example.com --grant\n',
    )
    .run(async (context, address: string, options: { reason: string; grant?: true }) => {
      const { mailboxes } = await context.act(suspendMailbox, { address, ...options });
      report(context, mailboxes, 'suspended');
    });
}

export function resume(): Subcommand {
  return new Subcommand('resume', 'open a suspended mailbox again')
    .argument('<address>')
    .option('--grant', GRANT)
    .example('postern mailbox resume alice@example.com')
    .run(async (context, address: string, options: { grant?: true }) => {
      const resumed = await context.act(resumeMailbox, { address, ...options });
      if (resumed.wasOpen) context.say(`${resumed.address} is not suspended; nothing to do`);
      report(context, resumed.mailboxes, 'open');
    });
}

function report(context: Context, mailboxes: readonly string[], state: string): void {
  context.result({ mailboxes, state }, [`${mailboxes.join(', ')}: ${state}`]);
}
