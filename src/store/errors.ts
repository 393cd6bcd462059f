/** Codes of the store room. */
import { errorTable } from '../base/error.ts';

export const storeError = errorTable({
  'store.unavailable': {
    kind: 'later',
    hint: 'the database did not answer; check that it runs and is reachable, Postern goes on by itself once it is back',
  },
  'store.full': {
    kind: 'later',
    hint: 'make room on the disk of the database (df -h shows it); nothing was lost, Postern goes on by itself',
  },
  'store.swept': {
    kind: 'later',
    hint: 'send it again; when the clock of this machine was set while it came, that is why',
  },
  'store.conflict': {
    kind: 'misuse',
    hint: 'the name is taken or the row is still in use; choose another or remove it first',
  },
  'store.not-found': { kind: 'misuse', hint: 'it may have been removed meanwhile; list what is there and try again' },
  'store.misconfigured': {
    kind: 'misuse',
    hint: 'set `database` in postern.yaml or POSTERN_DATABASE_URL to sqlite:/path/postern.db or postgres://user@host/name',
  },
  'store.newer': {
    kind: 'misuse',
    hint: 'a newer Postern wrote this database; run that version or a later one, or restore the backup from before the upgrade',
  },
  'store.damaged': {
    // Of the operator and no defect, so that a service manager does not start it again for ever.
    kind: 'misuse',
    hint: 'the database is damaged; stop Postern and restore the last backup: docs/backup.md',
  },
});
