/** Codes of the server room. */
import { errorTable } from '../base/error.ts';

export const serverError = errorTable({
  'server.config': { kind: 'misuse', hint: 'correct postern.yaml; docs/configuration.md lists every key' },
  'server.not-initialised': { kind: 'misuse', hint: 'run `postern init` first' },
  'server.home': {
    kind: 'misuse',
    hint: 'give the user Postern runs as a folder of its own, or set POSTERN_HOME to one',
  },
  'server.not-yours': {
    kind: 'misuse',
    hint: 'run the command as the user who owns the installation: sudo -H -u OWNER postern …',
  },
  'server.key-missing': {
    kind: 'misuse',
    hint: 'restore the master key from your backup; no other key opens this database: docs/backup.md',
  },
  'server.key-unusable': {
    kind: 'misuse',
    hint: 'restore the master key from your backup; no other key opens this database: docs/backup.md',
  },
  'server.port-taken': {
    kind: 'misuse',
    hint: 'see who holds the port with `ss -ltnp`, then stop that program or choose another port',
  },
  'server.already-running': {
    kind: 'misuse',
    hint: 'one SQLite database is served by one process: stop the other one, use `workers` for more processes, or PostgreSQL for more machines',
  },
  'server.database-missing': {
    kind: 'misuse',
    hint: 'put the database back or restore the last backup',
  },
  'server.database-mark': {
    kind: 'misuse',
    hint: 'restore installation.json of the state folder from the last backup: docs/backup.md',
  },
  'server.database-names': {
    kind: 'misuse',
    hint: 'let the database file have one name, which everybody uses: docs/backup.md',
  },
  'server.database-gone': {
    kind: 'later',
    hint: 'start Postern again once the database is in its place; a service manager does so by itself',
  },
  'server.disk-full': {
    kind: 'later',
    hint: 'make room on the disk (df -h shows it), then start Postern again; a service manager does so by itself',
  },
  'server.certificate': {
    kind: 'later',
    hint: 'put a PEM certificate chain (leaf first) and the PEM private key that belongs to it in place, then start Postern again; a service manager does so by itself',
  },
  'server.no-metrics': { kind: 'later', hint: 'look whether `postern serve` runs and where console.port is' },
  'server.worker-failed': { kind: 'bug', hint: 'the log lines before this one say why the worker stopped' },
  'server.notice-delayed': { kind: 'later', hint: 'it is sent again by itself; look at the receiver if this lasts' },
  'server.notice-undeliverable': {
    kind: 'refused',
    hint: 'correct notices: in postern.yaml, then try it: postern notice test',
  },
});
