/** Codes of the upstream room. They are what a mail program meets at the gateway, and are named after it. */
import { errorTable } from '../base/error.ts';

export const upstreamError = errorTable({
  denied: {
    'gateway.consent-needed': 'the app password is right; renew the consent with `postern mailbox reconsent ADDRESS`',
  },
  refused: {
    'gateway.provider-refused':
      'the app password is right; `postern mailbox test ADDRESS` says what the provider objects to',
  },
  later: {
    'gateway.provider-unreachable':
      'the app password is right; try again in a while, `postern mailbox test ADDRESS` shows what fails',
    'gateway.maildrop-in-use':
      'the app password is right; another program has this mailbox open by POP3, and only one may (RFC 1939 §4): wait until it is done, or let the programs fetch at different times',
    'gateway.login-delay':
      'the app password is right; the provider wants more time between two sign-ins by POP3: let the program fetch less often',
  },
  misuse: {
    'gateway.misconfigured':
      'the app password is right; `postern mailbox test ADDRESS` says what is wrong in the settings',
  },
});
