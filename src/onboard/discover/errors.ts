/** Codes of discovering settings. */
import { errorTable } from '../../base/error.ts';

export const discoverError = errorTable({
  'discover.address': { kind: 'misuse', hint: 'write it as name@domain' },
  'discover.garbled': {
    kind: 'garbled',
    hint: 'the file the domain publishes is broken; ask who runs it, or give the servers by hand',
  },
});
