/** A small sample of what `sign-in.fuzz.ts` does for hours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzSessions } from '../../test/bed/session-fuzz.ts';

const seed = Date.now() % 2 ** 31;

for (const protocol of ['imap', 'pop3', 'smtp'] as const) {
  test(`${protocol}: random sessions end or stay within the protocol (seed ${seed})`, async (t) => {
    const figures = await fuzzSessions(protocol, 5000, seed);
    t.diagnostic(`${protocol} ${JSON.stringify(figures)}`);
    assert.ok(figures.signedIn > 0);
  });
}
