/** Codes of the store room. */
import { errorTable } from '../base/error.ts';

export const storeError = errorTable({
  later: {
    'store.unavailable':
      'the database did not answer; check that it runs and is reachable, Postern goes on by itself once it is back',
    'store.full': 'make room on the disk of the database (df -h shows it); nothing was lost, Postern goes on by itself',
    'store.swept': 'send it again; when the clock of this machine was set while it came, that is why',
  },
  misuse: {
    'store.conflict': 'the name is taken or the row is still in use; choose another or remove it first',
    'store.not-found': 'it may have been removed meanwhile; list what is there and try again',
    'store.misconfigured':
      'set `database` in postern.yaml or POSTERN_DATABASE_URL to sqlite:/path/postern.db or postgres://user@host/name',
    'store.newer':
      'a newer Postern wrote this database; run that version or a later one, or restore the backup from before the upgrade',
    // Of the operator and no defect, so that a service manager does not start it again for ever.
    'store.damaged': 'the database is damaged; stop Postern and restore the last backup: docs/backup.md',
  },
});
