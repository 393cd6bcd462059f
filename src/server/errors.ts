/** Codes of the server room. */
import { errorTable } from '../base/error.ts';

export const serverError = errorTable({
  misuse: {
    'server.config': 'correct postern.yaml; docs/configuration.md lists every key',
    'server.not-initialised': 'run `postern init` first',
    'server.home': 'give the user Postern runs as a folder of its own, or set POSTERN_HOME to one',
    'server.not-yours': 'run the command as the user who owns the installation: sudo -H -u OWNER postern …',
    'server.key-missing': 'restore the master key from your backup; no other key opens this database: docs/backup.md',
    'server.key-unusable': 'restore the master key from your backup; no other key opens this database: docs/backup.md',
    'server.port-taken': 'see who holds the port with `ss -ltnp`, then stop that program or choose another port',
    'server.already-running':
      'one SQLite database is served by one process: stop the other one, use `workers` for more processes, or PostgreSQL for more machines',
    'server.database-missing': 'put the database back or restore the last backup',
    'server.database-mark': 'restore installation.json of the state folder from the last backup: docs/backup.md',
    'server.database-names': 'let the database file have one name, which everybody uses: docs/backup.md',
  },
  later: {
    'server.database-gone':
      'start Postern again once the database is in its place; a service manager does so by itself',
    'server.disk-full':
      'make room on the disk (df -h shows it), then start Postern again; a service manager does so by itself',
    'server.certificate':
      'put a PEM certificate chain (leaf first) and the PEM private key that belongs to it in place, then start Postern again; a service manager does so by itself',
    'server.no-metrics': 'look whether `postern serve` runs and where console.port is',
    'server.notice-delayed': 'it is sent again by itself; look at the receiver if this lasts',
  },
  bug: {
    'server.worker-failed': 'the log lines before this one say why the worker stopped',
  },
  refused: {
    'server.notice-undeliverable': 'correct notices: in postern.yaml, then try it: postern notice test',
  },
});
