/** Codes of the command line. */
import { errorTable, isError, type PosternError } from '../base/error.ts';

export const cliError = errorTable({
  misuse: {
    'cli.usage': 'postern --help lists the commands; postern COMMAND --help explains one',
    'cli.not-found': 'postern mailbox list, postern application list and postern password list show what there is',
    'cli.needs-terminal': 'give the answer as an option, or run this in a terminal',
    'cli.registration': 'see what the registration lacks: postern register microsoft --verify --application NAME',
    'cli.service': 'postern service install --dry-run shows what would be done',
    'cli.sandbox-refused': 'list the faults: postern sandbox fault list',
  },
  refused: {
    'cli.nothing-found':
      'give the servers by hand: postern application add NAME --preset oidc --issuer ISSUER --imap HOST:993/implicit --client-id ID',
    'cli.test-failed': 'the lines above say what to do for each protocol',
    'cli.audit-broken':
      'somebody or something altered the audit log: keep the database as it is and find out who could write to it',
  },
  later: {
    'cli.not-ready': 'is it running? postern serve; what stands in the way is in its log, and postern check says more',
    'cli.no-sandbox': 'start one: postern sandbox; with --port 0 it prints the control endpoint to give with --control',
    'cli.unrecorded': 'see what stands against the audit log (postern check, postern audit verify), then do it again',
  },
});

/** What an act says of itself, as a failure of the command line. */
export function ofAct(error: PosternError): PosternError {
  const { message, detail, hint } = error;
  const options = hint === '' ? { detail } : { detail, hint };
  if (isError(error, 'admin.not-found')) return cliError('cli.not-found', message, options);
  if (isError(error, 'admin.unrecorded')) return cliError('cli.unrecorded', message, { ...options, cause: error });
  return isError(error, 'admin.input') || isError(error, 'admin.forbidden')
    ? cliError('cli.usage', message, options)
    : error;
}
