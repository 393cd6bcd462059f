/** Codes of the check room: what a diagnosis finds that no other room would have thrown. */
import { errorTable } from '../base/error.ts';

export const checkError = errorTable({
  refused: {
    'check.mailbox-closed': 'the sign-in works but the mailbox does not open; the server’s own words say why',
    'check.sender-refused': 'the sign-in works but sending does not; the server’s own words say why',
  },
  later: {
    'check.mailbox-busy': 'the mail server asks for fewer requests for a while',
  },
  misuse: {
    'check.endpoint': 'correct port and TLS mode of the application: postern application set NAME --help',
    'check.clock': 'set the clock of this machine, best by NTP: timedatectl set-ntp true',
    'check.metadata': 'check authority, issuer and tenant of the application: postern application show NAME',
    'check.credential':
      'give the application a credential that is valid: postern application credential add NAME --client-secret-file FILE --secret-expires DATE',
    'check.key-missing': 'a new installation: postern init; otherwise restore the key from where you keep its copy',
    'check.exposed': 'let nobody but the user Postern runs as read and write it: chmod',
    'check.insecure': 'undo the setting; docs/configuration.md says what is safe',
    'check.disk': 'make room on the disk that holds the database',
    'check.certificate': 'replace the certificate; one of the local CA is renewed by `postern serve`',
    'check.port-held':
      'see whose it is: ss -ltnp; stop that program or set another port in postern.yaml, then: postern serve',
    'check.devices': 'look at outbox.devices in postern.yaml',
    'check.unknown-topic': 'postern explain lists what can be explained',
  },
  denied: {
    'check.graph-not-allowed':
      'register it: postern register microsoft --graph --apply --admin-consent; or an administrator consents on the page that postern register microsoft --graph prints',
  },
});
