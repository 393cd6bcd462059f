/** Codes of the sandbox room. */
import { errorTable } from '../base/error.ts';

export const sandboxError = errorTable({
  'sandbox.port-taken': {
    kind: 'misuse',
    hint: 'stop the program that uses the port, or let the sandbox choose free ports: postern sandbox --port 0',
  },
  'sandbox.refused': {
    kind: 'denied',
    hint: 'the emulated tenant refused as Microsoft would; the AADSTS code in detail says why',
  },
  'sandbox.no-redirect': {
    kind: 'misuse',
    hint: 'give the whole authorization URL that the client built, starting with the sandbox authority',
  },
});
