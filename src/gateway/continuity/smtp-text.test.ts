/** The end of a message's text is found at the same octet however the text is cut, and however many dots are in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SmtpText } from './smtp-text.ts';

/** Where it ends, and whether servers would disagree about that. */
function ending(octets: Buffer, size: number): string {
  const text = new SmtpText(() => undefined);
  for (let at = 0; at < octets.length; at += size) {
    const { end, ambiguous } = text.dotted(octets.subarray(at, at + size));
    if (ambiguous) return 'ambiguous';
    if (end !== undefined) return String(at + end);
  }
  return 'open';
}

// RFC 5321 §4.5.2
test('the end of a text is found however it is cut', () => {
  const part = fc.constantFrom('\r\n', '.', 'a', '.a', '\r\n..', '.'.repeat(40), 'a.'.repeat(20));
  const last = fc.constantFrom('', '\r\n.\r\n', '\n.\r\n', '\r.\r\n', '\r\n.\n');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), last, fc.integer({ min: 1, max: 90 }), (parts, end, size) => {
      const octets = Buffer.from(`a${parts.join('')}${end}`);
      assert.equal(ending(octets, octets.length), ending(octets, 1));
      assert.equal(ending(octets, size), ending(octets, 1));
    }),
  );
});
