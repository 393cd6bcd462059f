/** Why a program's TLS handshake failed, and how whoever runs this gets to know: one line an hour for each address, and a counter. */
import type { Clock } from '../../base/clock.ts';
import type { PosternError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { Rarely } from '../../base/rarely.ts';

export type HandshakeFailure =
  | 'old-version'
  | 'no-common-cipher'
  | 'certificate-refused'
  | 'not-tls'
  | 'left'
  | 'other';

/** By OpenSSL's reason, as Node names it. The alerts are the other side's. */
export function reasonOf(code: string | undefined): HandshakeFailure {
  if (code === undefined || !code.startsWith('ERR_SSL_')) return 'left';
  const reason = code.slice('ERR_SSL_'.length);
  if (/^(?:UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|TLSV1_ALERT_PROTOCOL_VERSION)$/.test(reason)) return 'old-version';
  if (/^(?:NO_SHARED_CIPHER|SSLV3_ALERT_HANDSHAKE_FAILURE|NO_SUITABLE_.*)$/.test(reason)) return 'no-common-cipher';
  if (/^(?:TLSV1_ALERT_UNKNOWN_CA|SSLV3_ALERT_(?:BAD_CERTIFICATE|CERTIFICATE_[A-Z]+))$/.test(reason))
    return 'certificate-refused';
  return /^(?:WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST)$/.test(reason) ? 'not-tls' : 'other';
}

const HOUR_MS = 60 * 60_000;

/** What to do, for those that somebody has to do something about. */
const REMEDY: Partial<Record<HandshakeFailure, (offered: string) => readonly [message: string, hint: string]>> = {
  'old-version': (offered) => [
    `a mail program or device speaks no TLS newer than ${offered}, and was turned away: 1.2 is the oldest taken here`,
    'look for newer firmware, or TLS 1.2 in its settings; otherwise let it send without TLS to the listener for devices, in a network you trust (docs/operations.md, "Old devices and TLS")',
  ],
  'no-common-cipher': () => [
    'a mail program or device offers no cipher that is used here, and was turned away',
    'update it; with a certificate of your own, check that it is not an RSA key below 2,048 bits or of a kind the device does not know (docs/operations.md, "Old devices and TLS")',
  ],
  'certificate-refused': () => [
    'a mail program or device does not trust the certificate of this gateway, and hung up',
    'import ca.pem there, or use a certificate it trusts; if the name is wrong, set hostname in postern.yaml to the name the program connects to',
  ],
};

export class HandshakeFailures {
  readonly #log: Log;
  readonly #rarely: Rarely;
  readonly #count: (protocol: string, reason: HandshakeFailure) => void;

  constructor(options: {
    readonly clock: Clock;
    readonly log: Log;
    count(protocol: string, reason: HandshakeFailure): void;
  }) {
    this.#log = options.log;
    this.#rarely = new Rarely(options.clock, HOUR_MS);
    this.#count = options.count;
  }

  /** Takes note of a failed handshake; any other failure is none of its business. */
  note(protocol: string, remoteAddress: string, error: PosternError): void {
    const reason = error.detail['reason'] as HandshakeFailure | undefined;
    if (error.code !== 'tls.failed' || reason === undefined) return;
    this.#count(protocol, reason);
    const offered = typeof error.detail['offered'] === 'string' ? error.detail['offered'] : 'TLS 1.1';
    const remedy = REMEDY[reason]?.(offered);
    const times = remedy && this.#rarely.due(`${reason} ${remoteAddress}`);
    if (remedy === undefined || times === undefined) return;
    const [message, hint] = remedy;
    const facts = reason === 'old-version' ? { offered } : {};
    this.#log.warn({ code: error.code, protocol, remoteAddress, reason, ...facts, times, hint }, message);
  }
}
