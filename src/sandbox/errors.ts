/** Codes of the sandbox room. */
import { errorTable } from '../base/error.ts';

export const sandboxError = errorTable({
  misuse: {
    'sandbox.port-taken':
      'stop the program that uses the port, or let the sandbox choose free ports: postern sandbox --port 0',
    'sandbox.no-redirect':
      'give the whole authorization URL that the client built, starting with the sandbox authority',
    'sandbox.no-such-fault': 'list the faults: postern sandbox fault list',
    'sandbox.fault-limits':
      'docs/sandbox-faults.md says what each fault takes; their names: postern sandbox fault list',
    'sandbox.request': 'see the control endpoint in docs/sandbox.md',
    'sandbox.time': 'give a duration such as 90s, 2h or 30d',
  },
  denied: {
    'sandbox.refused': 'the emulated tenant refused as Microsoft would; the AADSTS code in detail says why',
  },
  later: {
    'sandbox.fault': 'a fault that was set answers here; clear it: postern sandbox fault clear',
  },
  refused: {
    'sandbox.graph': 'the emulated Microsoft Graph refused as the real one would; the code in detail says why',
  },
});
