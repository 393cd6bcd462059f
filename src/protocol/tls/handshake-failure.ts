/** Why a program's TLS handshake failed, and how whoever runs this gets to know: one line an hour for each address and protocol, and a counter. */
import { clientOf } from '../../base/client-of.ts';
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
  if (
    /^(?:NO_SHARED_.*|SSLV3_ALERT_HANDSHAKE_FAILURE|TLSV1_ALERT_INSUFFICIENT_SECURITY|NO_SUITABLE_.*|WRONG_(?:SIGNATURE_TYPE|CURVE))$/.test(
      reason,
    )
  )
    return 'no-common-cipher';
  if (/^(?:TLSV1_ALERT_UNKNOWN_CA|SSLV3_ALERT_(?:BAD_CERTIFICATE|CERTIFICATE_[A-Z]+))$/.test(reason))
    return 'certificate-refused';
  return /^(?:WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST)$/.test(reason) ? 'not-tls' : 'other';
}

const HOUR_MS = 60 * 60_000;

/** What is left for a program that never learns TLS 1.2. `device`: it is in the lane for devices already. */
const WITHOUT_TLS: Readonly<Record<string, string>> = {
  smtp: 'let it send without TLS to the listener for devices (outbox.devices), in a network you trust',
  device:
    'let it send in plain text to this same listener, in a network you trust: switch its encryption off, or, where it uses STARTTLS whenever that is offered, set outbox.devices.tls: plain',
  imap: 'run it on this machine, where it may go without TLS, or put a TLS tunnel such as stunnel on its own machine',
};

/** Some programs speak TLS 1.2 only where it begins at once: PHP's imap_open with `/ssl`, but not with `/tls`. */
const AT_ONCE = 'if it uses STARTTLS, try “SSL/TLS” with the port where TLS begins with the first octet; ';
const TLS_AT_ONCE: Readonly<Record<string, string>> = { imap: AT_ONCE, pop3: AT_ONCE, smtp: AT_ONCE };

/** What happened, and what to do. */
const REMEDY: Record<
  HandshakeFailure,
  (offered: string, protocol: string, code: string) => readonly [message: string, hint: string]
> = {
  'old-version': (offered, protocol) => [
    `a mail program or device speaks no TLS newer than ${offered}, and was turned away: 1.2 is the oldest taken here`,
    `look for newer firmware, or TLS 1.2 in its settings; ${TLS_AT_ONCE[protocol] ?? ''}otherwise ${WITHOUT_TLS[protocol] ?? WITHOUT_TLS['imap']} (docs/operations.md, "Old devices and TLS")`,
  ],
  'no-common-cipher': () => [
    'a mail program or device offers no cipher, key exchange or signature in common with what is used here, and was turned away',
    'allow it, in its settings, AES-GCM with ECDHE, the curves X25519, P-256 or P-384, and signatures with SHA-256 (TLS 1.2), or look for newer firmware; with a certificate of your own, check that its key is of a kind the device knows: RSA, from 2,048 bits, where it knows no ECDSA (docs/operations.md, "Old devices and TLS")',
  ],
  'certificate-refused': () => [
    'a mail program or device does not trust the certificate of this gateway, and hung up',
    'import ca.pem there, or use a certificate it trusts; if the name is wrong, set hostname in postern.yaml to the name the program connects to',
  ],
  'not-tls': () => [
    'a mail program or device speaks plain text to a port on which TLS begins with the first octet',
    'choose “SSL/TLS” for this port in its settings, or give it the port where STARTTLS is offered',
  ],
  other: (_offered, _protocol, code) => [
    `a mail program or device could not begin TLS (${code === '' ? 'no reason was given' : code})`,
    'look at its own log, and for newer firmware; `openssl s_client -connect HOST:PORT` shows what this gateway offers; port scanners cause this too and need nothing',
  ],
  left: () => [
    'a mail program or device connected to a port on which TLS begins with the first octet, and hung up before it began TLS',
    'if it waited for a greeting, choose “SSL/TLS” in its settings instead of STARTTLS, or give it the other port; port scanners and health checks do the same and need nothing',
  ],
};

/**
 * A failure in words. @param protocol `device` for the listener for devices @param offered the newest version it speaks, where known
 * @param code of OpenSSL
 */
export function inWords(
  reason: HandshakeFailure,
  protocol: string,
  offered = 'TLS 1.1',
  code = '',
): { readonly message: string; readonly hint: string; readonly offered: string } {
  const [message, hint] = REMEDY[reason](offered, protocol, code);
  return { message, hint, offered };
}

/** What hangs up or speaks nothing known may be anybody: a port scanner, a health check. The others are programs that somebody set up. */
export const SOMEBODYS: ReadonlySet<HandshakeFailure> = new Set<HandshakeFailure>([
  'old-version',
  'no-common-cipher',
  'certificate-refused',
  'not-tls',
]);

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
    if (error.code !== 'tls.program' || reason === undefined) return;
    this.#count(protocol, reason);
    const times = this.#rarely.due(`${protocol} ${reason} ${clientOf(remoteAddress)}`);
    if (times === undefined) return;
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    const known = typeof error.detail['offered'] === 'string' ? error.detail['offered'] : undefined;
    const { message, hint, offered } = inWords(reason, protocol, known, code);
    const facts = reason === 'old-version' ? { offered } : {};
    const fields = { code: error.code, protocol, remoteAddress, reason, ...facts, times, hint };
    // Who hangs up may be anybody; the others are programs that somebody wants to work.
    if (reason === 'left') this.#log.info(fields, message);
    else this.#log.warn(fields, message);
  }
}
