/** How a peer’s certificate is judged: TLS 1.2 or later, verification on, always. Named here so that settings and sockets mean the same. */

export interface TlsPolicy {
  /** PEM text of CA certificates to trust besides the system's. */
  readonly ca?: string;
  /** SHA-256 fingerprints (hex, no colons, lower case) of leaf certificates to accept, and no others. */
  readonly fingerprints?: readonly string[];
}
