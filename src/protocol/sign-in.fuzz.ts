/** A million random frames per protocol against both sign-in halves (`npm run soak`); `FUZZ_SEED` repeats a run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import process from 'node:process';
import { fuzzSessions } from '../../test/bed/session-fuzz.ts';

const FRAMES = 1_000_000;
const MEGABYTE = 2 ** 20;
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

for (const protocol of ['imap', 'pop3', 'smtp'] as const) {
  test(`${protocol}: ${FRAMES} frames, seed ${seed}`, async (t) => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    t.after(() => process.off('unhandledRejection', note));
    const start = performance.now();
    await fuzzSessions(protocol, 20_000, seed);
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const figures = await fuzzSessions(protocol, FRAMES, seed + 1_000_000);
    globalThis.gc?.();
    const grown = (process.memoryUsage().rss - before) / MEGABYTE;
    const seconds = Math.round((performance.now() - start) / 1000);
    t.diagnostic(`${protocol} ${JSON.stringify(figures)} ${seconds} s, resident memory ${grown.toFixed(1)} MiB more`);
    assert.deepEqual(unhandled, []);
    assert.ok(figures.frames >= FRAMES && figures.signedIn > 0);
    assert.ok(grown < 150, `resident memory grew by ${grown.toFixed(1)} MiB`);
  });
}
