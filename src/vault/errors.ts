/** Codes of the vault room. */
import { errorTable } from '../base/error.ts';

export const vaultError = errorTable({
  'vault.locked': {
    kind: 'misuse',
    hint: 'the master key cannot be read; check `key` in postern.yaml and that the key file or variable it names is there',
  },
  'vault.exposed': {
    kind: 'misuse',
    hint: 'make the key file readable by its owner only: chmod 600 FILE',
  },
  'vault.weak-passphrase': {
    kind: 'misuse',
    hint: 'take a longer one, for example of five random words, or: openssl rand -base64 24; key.insecureWeakPassphrase: true takes it as it is',
  },
  'vault.wrong-key': {
    kind: 'misuse',
    hint: 'this is not the key the database was set up with; give the right one, or restore database and key from the same backup',
  },
  'vault.damaged': {
    kind: 'bug',
    hint: 'sealed data was altered or cut; restore the last backup, or renew the consent: postern mailbox reconsent ADDRESS',
  },
});
