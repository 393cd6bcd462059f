/** Whether this machine has what a test needs. In continuous integration the test command has already failed if not. */
import { isProvided, missingPackages } from '../../scripts/install-testbed.ts';

/**
 * For the `skip` option of a test: `false` when everything is here, otherwise the reason.
 * Postfix's master runs as root only; Dovecot runs as anybody.
 */
export function without(...packages: readonly string[]): string | false {
  const unknown = packages.filter((name) => !isProvided(name));
  if (unknown.length > 0) throw new Error(`scripts/install-testbed.ts does not install ${unknown.join(', ')}`);
  const missing = missingPackages().filter((name) => packages.includes(name));
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  return packages.includes('postfix') && process.getuid?.() !== 0 ? 'Postfix can only be started by root' : false;
}
