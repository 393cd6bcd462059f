/** Codes of the gateway room. Those about a sign-in say on the wire what a mail program should do next; what the provider says is upstream/errors.ts. */
import { errorTable } from '../base/error.ts';

export const gatewayError = errorTable({
  misuse: {
    'gateway.plain-beyond-loopback':
      'passwords would cross the network unencrypted: set `tls: starttls` or `tls: implicit` for this listener, or bind it to 127.0.0.1',
    'gateway.port-taken':
      'see who holds the port with `ss -ltnp`, then stop that program or choose another port (0 picks a free one)',
    'gateway.cannot-listen':
      'check the host and port of this listener; ports below 1024 need the CAP_NET_BIND_SERVICE capability',
    'gateway.certificate': 'give a PEM certificate chain, leaf first, and the key that belongs to it',
  },
  denied: {
    'gateway.wrong-password':
      'use an app password made by `postern password add`, and the mailbox address as user name',
    'gateway.user-name': 'the app password is right; give the address of one mailbox as user name',
  },
  limit: {
    'gateway.slowed': 'too many wrong passwords came from this address or for this mailbox; wait, then try again',
    'gateway.too-many-connections':
      'close connections that are not needed, or raise the connection limits in the configuration',
    'gateway.sign-in-too-slow': 'the mail program did not sign in within the time allowed; it may simply connect again',
  },
  later: {
    'gateway.ended':
      'Postern stops, or has ended the connection for a reason its log names; the mail program connects again by itself',
  },
});
