/** Crockford's base 32 in lower case: no i, l, o or u, so that nothing is misread when a person types it. */

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** `bytes` as base 32, most significant bits first, padded with zero bits in front: 16 octets give 26 characters. */
export function base32(bytes: Uint8Array): string {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  let text = '';
  for (let left = Math.ceil((bytes.length * 8) / 5); left > 0; left--) {
    text = ALPHABET[Number(value & 31n)]! + text;
    value >>= 5n;
  }
  return text;
}
