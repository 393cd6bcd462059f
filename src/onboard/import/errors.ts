/** Codes of importing what another program holds. */
import { errorTable } from '../../base/error.ts';

export const importError = errorTable({
  'import.garbled': {
    kind: 'misuse',
    hint: 'name the configuration file of email-oauth2-proxy, usually emailproxy.config',
  },
  'import.wrong-password': {
    kind: 'denied',
    hint: 'give the password that the mail program used for this account at the old proxy, or leave it out and consent again: postern mailbox reconsent ADDRESS',
  },
});
