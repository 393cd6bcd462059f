/** Codes of the upstream room. They are what a mail program meets at the gateway, and are named after it. */
import { errorTable } from '../base/error.ts';

export const upstreamError = errorTable({
  'gateway.consent-needed': {
    kind: 'denied',
    hint: 'the app password is right; renew the consent with `postern mailbox reconsent ADDRESS`',
  },
  'gateway.provider-refused': {
    kind: 'refused',
    hint: 'the app password is right; `postern mailbox test ADDRESS` says what the provider objects to',
  },
  'gateway.provider-unreachable': {
    kind: 'later',
    hint: 'the app password is right; try again in a while, `postern mailbox test ADDRESS` shows what fails',
  },
  'gateway.maildrop-in-use': {
    kind: 'later',
    hint: 'the app password is right; another program has this mailbox open by POP3, and only one may (RFC 1939 §4): wait until it is done, or let the programs fetch at different times',
  },
  'gateway.login-delay': {
    kind: 'later',
    hint: 'the app password is right; the provider wants more time between two sign-ins by POP3: let the program fetch less often',
  },
  'gateway.misconfigured': {
    kind: 'misuse',
    hint: 'the app password is right; `postern mailbox test ADDRESS` says what is wrong in the settings',
  },
});
