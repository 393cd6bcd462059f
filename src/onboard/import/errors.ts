/** Codes of importing what another program holds. */
import { errorTable } from '../../base/error.ts';

export const importError = errorTable({
  misuse: {
    'import.garbled': 'name the configuration file of email-oauth2-proxy, usually emailproxy.config',
  },
  denied: {
    'import.wrong-password':
      'give the password that the mail program used for this account at the old proxy, or leave it out and consent again: postern mailbox reconsent ADDRESS',
  },
});
