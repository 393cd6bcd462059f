/** A small sample of what `sign-in.fuzz.ts` does for hours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzSessions } from '../../test/bed/session-fuzz.ts';
import { fuzzUpgrades } from '../../test/bed/starttls-fuzz.ts';

const seed = Date.now() % 2 ** 31;

for (const protocol of ['imap', 'pop3', 'smtp'] as const) {
  test(`${protocol}: random sessions end or stay within the protocol (seed ${seed})`, async (t) => {
    const figures = await fuzzSessions(protocol, 5000, seed);
    t.diagnostic(`${protocol} ${JSON.stringify(figures)}`);
    assert.ok(figures.signedIn > 0);
  });

  test(`${protocol}: random sessions through STARTTLS keep plain and encrypted apart (seed ${seed})`, async (t) => {
    const figures = await fuzzUpgrades(protocol, 5000, seed);
    t.diagnostic(`${protocol} STARTTLS ${JSON.stringify(figures)}`);
    for (const code of ['tls.failed', 'wire.injected']) assert.ok((figures.failures[code] ?? 0) > 0, `${code} was met`);
  });
}
