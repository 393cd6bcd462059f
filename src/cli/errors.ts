/** Codes of the command line. */
import { errorTable } from '../base/error.ts';

export const cliError = errorTable({
  'cli.usage': { kind: 'misuse', hint: 'postern --help lists the commands; postern COMMAND --help explains one' },
  'cli.not-found': {
    kind: 'misuse',
    hint: 'postern mailbox list, postern provider list and postern password list show what there is',
  },
  'cli.needs-terminal': { kind: 'misuse', hint: 'give the answer as an option, or run this in a terminal' },
  'cli.test-failed': { kind: 'refused', hint: 'the lines above say what to do for each protocol' },
  'cli.audit-broken': {
    kind: 'refused',
    hint: 'somebody or something altered the audit log: keep the database as it is and find out who could write to it',
  },
});
