/** Codes of the access room. */
import { errorTable } from '../base/error.ts';

export const accessError = errorTable({
  'access.network': {
    kind: 'misuse',
    hint: 'write a network as address/length, for example 192.168.1.0/24 or 2001:db8::/32',
  },
  'access.label': { kind: 'misuse', hint: 'give the app password a short label: which program it is for' },
});
