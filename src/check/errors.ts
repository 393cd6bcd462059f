/** Codes of the check room: what a diagnosis finds that no other room would have thrown. */
import { errorTable } from '../base/error.ts';

export const checkError = errorTable({
  'check.mailbox-closed': {
    kind: 'refused',
    hint: 'the sign-in works but the mailbox does not open; the server’s own words say why',
  },
  'check.mailbox-busy': { kind: 'later', hint: 'the mail server asks for fewer requests for a while' },
  'check.sender-refused': {
    kind: 'refused',
    hint: 'the sign-in works but sending does not; the server’s own words say why',
  },
  'check.endpoint': {
    kind: 'misuse',
    hint: 'correct port and TLS mode of the application: postern application set NAME --help',
  },
  'check.clock': { kind: 'misuse', hint: 'set the clock of this machine, best by NTP: timedatectl set-ntp true' },
  'check.metadata': {
    kind: 'misuse',
    hint: 'check authority, issuer and tenant of the application: postern application show NAME',
  },
  'check.credential': {
    kind: 'misuse',
    hint: 'give the application a credential that is valid: postern application credential add NAME --client-secret-file FILE --secret-expires DATE',
  },
  'check.key-missing': {
    kind: 'misuse',
    hint: 'a new installation: postern init; otherwise restore the key from where you keep its copy',
  },
  'check.exposed': { kind: 'misuse', hint: 'let nobody but the user Postern runs as read and write it: chmod' },
  'check.insecure': { kind: 'misuse', hint: 'undo the setting; docs/configuration.md says what is safe' },
  'check.disk': { kind: 'misuse', hint: 'make room on the disk that holds the database' },
  'check.certificate': {
    kind: 'misuse',
    hint: 'replace the certificate; one of the local CA is renewed by `postern serve`',
  },
  'check.port-held': {
    kind: 'misuse',
    hint: 'see whose it is: ss -ltnp; stop that program or set another port in postern.yaml, then: postern serve',
  },
  'check.devices': { kind: 'misuse', hint: 'look at outbox.devices in postern.yaml' },
  'check.unknown-topic': { kind: 'misuse', hint: 'postern explain lists what can be explained' },
  'check.graph-not-allowed': {
    kind: 'denied',
    hint: 'register it: postern register microsoft --graph --apply --admin-consent; or an administrator consents on the page that postern register microsoft --graph prints',
  },
});
