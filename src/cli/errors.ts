/** Codes of the command line. */
import { errorTable, isError, type PosternError } from '../base/error.ts';

export const cliError = errorTable({
  'cli.usage': { kind: 'misuse', hint: 'postern --help lists the commands; postern COMMAND --help explains one' },
  'cli.not-found': {
    kind: 'misuse',
    hint: 'postern mailbox list, postern application list and postern password list show what there is',
  },
  'cli.needs-terminal': { kind: 'misuse', hint: 'give the answer as an option, or run this in a terminal' },
  'cli.nothing-found': {
    kind: 'refused',
    hint: 'give the servers by hand: postern application add NAME --preset oidc --issuer ISSUER --imap HOST:993/implicit --client-id ID',
  },
  'cli.registration': {
    kind: 'misuse',
    hint: 'see what the registration lacks: postern register microsoft --verify --application NAME',
  },
  'cli.test-failed': { kind: 'refused', hint: 'the lines above say what to do for each protocol' },
  'cli.service': { kind: 'misuse', hint: 'postern service install --dry-run shows what would be done' },
  'cli.not-ready': {
    kind: 'later',
    hint: 'is it running? postern serve; what stands in the way is in its log, and postern check says more',
  },
  'cli.no-sandbox': {
    kind: 'later',
    hint: 'start one: postern sandbox; with --port 0 it prints the control endpoint to give with --control',
  },
  'cli.sandbox-refused': { kind: 'misuse', hint: 'list the faults: postern sandbox fault list' },
  'cli.unrecorded': {
    kind: 'later',
    hint: 'see what stands against the audit log (postern check, postern audit verify), then do it again',
  },
  'cli.audit-broken': {
    kind: 'refused',
    hint: 'somebody or something altered the audit log: keep the database as it is and find out who could write to it',
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
