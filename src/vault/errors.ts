/** Codes of the vault room. */
import { errorTable } from '../base/error.ts';

export const vaultError = errorTable({
  misuse: {
    'vault.locked':
      'the master key cannot be read; check `key` in postern.yaml and that the key file or variable it names is there',
    'vault.exposed': 'make the key file readable by its owner only: chmod 600 FILE',
    'vault.weak-passphrase':
      'take a longer one, for example of five random words, or: openssl rand -base64 24; or set key.insecureWeakPassphrase to true, which takes it as it is',
    'vault.wrong-key':
      'this is not the key the database was set up with; give the right one, or restore database and key from the same backup',
  },
  bug: {
    'vault.damaged':
      'sealed data was altered or cut; restore the last backup, or renew the consent: postern mailbox reconsent ADDRESS',
  },
});
