/** Codes of the protocol room. */
import { errorTable } from '../base/error.ts';

export const protocolError = errorTable({
  later: {
    'wire.closed': 'the other side hung up; if it happens again, look at its log for this moment',
    'wire.timeout': 'the other side was silent for too long; check the network between the two, then try again',
    'wire.no-room':
      'so much is held for other connections that nothing more is taken; it passes by itself: connect again in a minute',
    'wire.unreachable': 'check the host name and port and that a firewall lets the connection through',
    'tls.failed':
      'the TLS handshake with the server failed; it needs TLS 1.2 or later, and the port where TLS begins as configured',
    'sasl.unavailable': 'the server could not check the sign-in just now; it passes by itself',
  },
  limit: {
    'wire.line-too-long':
      'the other side sent a line beyond the protocol’s bounds; check that it speaks this protocol on this port',
    'wire.literal-too-long': 'the other side announced more data than is allowed before sign-in',
  },
  garbled: {
    'wire.bare-newline': 'lines must end in CRLF; a lone CR or LF is refused because it can smuggle commands',
    'wire.injected': 'plain text followed STARTTLS in the same breath: somebody may be tampering with this connection',
    'wire.syntax': 'what the other side sent does not follow the protocol; check host, port and protocol',
    'sasl.malformed': 'the sign-in message could not be read; check which mechanism the mail program uses',
  },
  refused: {
    'tls.program':
      'a mail program or device could not begin TLS with this machine; the log line names its address and what to change there: postern explain program-tls',
    'wire.refused': 'the server turns this machine away for good: its own words say why; ask whoever runs it',
    'tls.untrusted':
      'the certificate did not verify; if the server is yours, give its CA file or pin its fingerprint in the configuration',
    'tls.stripped':
      'the server did not offer STARTTLS although it must: somebody may be tampering with this connection; nothing was sent',
    'sasl.no-mechanism':
      'the server offers neither XOAUTH2 nor OAUTHBEARER; check host and port in the provider settings',
  },
  misuse: {
    'tls.certificate': 'give a PEM certificate chain (leaf first) and the PEM private key that belongs to it',
  },
  denied: {
    'sasl.refused': 'the server did not accept the token for this mailbox',
  },
});
