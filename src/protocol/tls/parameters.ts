/** What both sides of every TLS connection agree on. RFC 9325 (BCP 195): TLS 1.2 or later, forward secrecy, authenticated encryption. */

export const TLS_PARAMETERS = {
  minVersion: 'TLSv1.2',
  /**
   * AES-128-GCM before AES-256-GCM: no weaker against anything known, and a fifth less work per octet. The TLS 1.2 suites
   * are those of RFC 9325 §4.2.
   */
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
  /**
   * The post-quantum hybrid is offered but no key share is sent for it up front (`*` marks the one that is): a server that
   * prefers it asks (RFC 8446 §4.1.4), and all other sessions save its key, 10 KiB each for as long as they live.
   */
  ecdhCurve: '*X25519:X25519MLKEM768:P-256:P-384',
} as const;
