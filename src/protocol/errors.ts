/** Codes of the protocol room. */
import { errorTable } from '../base/error.ts';

export const protocolError = errorTable({
  'wire.closed': {
    kind: 'later',
    hint: 'the other side hung up; if it happens again, look at its log for this moment',
  },
  'wire.timeout': {
    kind: 'later',
    hint: 'the other side was silent for too long; check the network between the two, then try again',
  },
  'wire.line-too-long': {
    kind: 'limit',
    hint: 'the other side sent a line beyond the protocol’s bounds; check that it speaks this protocol on this port',
  },
  'wire.literal-too-long': { kind: 'limit', hint: 'the other side announced more data than is allowed before sign-in' },
  'wire.no-room': {
    kind: 'later',
    hint: 'so much is held for other connections that nothing more is taken; it passes by itself: connect again in a minute',
  },
  'wire.bare-newline': {
    kind: 'garbled',
    hint: 'lines must end in CRLF; a lone CR or LF is refused because it can smuggle commands',
  },
  'wire.injected': {
    kind: 'garbled',
    hint: 'plain text followed STARTTLS in the same breath: somebody may be tampering with this connection',
  },
  'wire.syntax': {
    kind: 'garbled',
    hint: 'what the other side sent does not follow the protocol; check host, port and protocol',
  },
  'wire.refused': {
    kind: 'refused',
    hint: 'the server turns this machine away for good: its own words say why; ask whoever runs it',
  },
  'wire.unreachable': {
    kind: 'later',
    hint: 'check the host name and port and that a firewall lets the connection through',
  },
  'tls.untrusted': {
    kind: 'refused',
    hint: 'the certificate did not verify; if the server is yours, give its CA file or pin its fingerprint in the configuration',
  },
  'tls.certificate': {
    kind: 'misuse',
    hint: 'give a PEM certificate chain (leaf first) and the PEM private key that belongs to it',
  },
  'tls.failed': { kind: 'later', hint: 'the TLS handshake failed; TLS 1.2 or later is required on both sides' },
  'tls.stripped': {
    kind: 'refused',
    hint: 'the server did not offer STARTTLS although it must: somebody may be tampering with this connection; nothing was sent',
  },
  'sasl.refused': { kind: 'denied', hint: 'the server did not accept the token for this mailbox' },
  'sasl.unavailable': { kind: 'later', hint: 'the server could not check the sign-in just now; it passes by itself' },
  'sasl.malformed': {
    kind: 'garbled',
    hint: 'the sign-in message could not be read; check which mechanism the mail program uses',
  },
  'sasl.no-mechanism': {
    kind: 'refused',
    hint: 'the server offers neither XOAUTH2 nor OAUTHBEARER; check host and port in the provider settings',
  },
});
