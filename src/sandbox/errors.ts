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
  'sandbox.no-such-fault': { kind: 'misuse', hint: 'list the faults: postern sandbox fault list' },
  'sandbox.fault-limits': {
    kind: 'misuse',
    hint: 'docs/sandbox-faults.md says what each fault takes; their names: postern sandbox fault list',
  },
  'sandbox.fault': { kind: 'later', hint: 'a fault that was set answers here; clear it: postern sandbox fault clear' },
  'sandbox.graph': {
    kind: 'refused',
    hint: 'the emulated Microsoft Graph refused as the real one would; the code in detail says why',
  },
  'sandbox.request': { kind: 'misuse', hint: 'see the control endpoint in docs/sandbox.md' },
  'sandbox.time': { kind: 'misuse', hint: 'give a duration such as 90s, 2h or 30d' },
});
