/** Codes of discovering settings. */
import { errorTable } from '../../base/error.ts';

export const discoverError = errorTable({
  misuse: {
    'discover.address': 'write it as name@domain',
  },
  garbled: {
    'discover.garbled': 'the file the domain publishes is broken; ask who runs it, or give the servers by hand',
  },
});
