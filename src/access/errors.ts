/** Codes of the access room. */
import { errorTable } from '../base/error.ts';

export const accessError = errorTable({
  misuse: {
    'access.network': 'write a network as address/length, for example 192.168.1.0/24 or 2001:db8::/32',
    'access.label': 'give it a short label: which program it is for',
    'access.mailboxes': 'name the mailboxes, or * for all of them',
    'access.actions': 'postern apikey add --help lists what a key may be allowed to do',
  },
  later: {
    // Passes once somebody sets it up, or starts Postern on the right database: no program may forget its password over it.
    'access.empty':
      'postern check --installation says which database is used; a new installation gets its first mailbox by: postern init --address ADDRESS',
  },
});
