/** Codes of the server room. */
import { errorTable } from '../base/error.ts';

export const serverError = errorTable({
  'server.config': { kind: 'misuse', hint: 'correct postern.yaml; docs/configuration.md lists every key' },
  'server.not-initialised': { kind: 'misuse', hint: 'run `postern init` first' },
  'server.home': {
    kind: 'misuse',
    hint: 'give the user Postern runs as a folder of its own, or set POSTERN_HOME to one',
  },
  'server.port-taken': {
    kind: 'misuse',
    hint: 'see who holds the port with `ss -ltnp`, then stop that program or choose another port',
  },
  'server.no-metrics': { kind: 'later', hint: 'look whether `postern serve` runs and where console.port is' },
  'server.worker-failed': { kind: 'bug', hint: 'the log lines before this one say why the worker stopped' },
  'server.notice-delayed': { kind: 'later', hint: 'it is sent again by itself; look at the receiver if this lasts' },
  'server.notice-undeliverable': {
    kind: 'refused',
    hint: 'correct notices: in postern.yaml, then try it: postern notice test',
  },
});
