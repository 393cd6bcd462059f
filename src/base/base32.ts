/** Crockford's base 32 in lower case: no i, l, o or u, so that nothing is misread when a person types it. */

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** `bytes` as base 32, most significant bits first, padded with zero bits in front: 16 octets give 26 characters. */
export function base32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let held = (5 - ((bytes.length * 8) % 5)) % 5; // the padding in front
  for (const byte of bytes) {
    bits = (bits << 8) | byte;
    held += 8;
    while (held >= 5) {
      held -= 5;
      text += ALPHABET[(bits >> held) & 31]!;
    }
    bits &= (1 << held) - 1;
  }
  return text;
}
