/** A million random frames per protocol against both sign-in halves (`npm run soak`); `FUZZ_SEED` repeats a run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fuzzUpgrades } from '../../test/bed/starttls-fuzz.ts';
import { fuzzSessions } from '../../test/bed/session-fuzz.ts';

const FRAMES = 1_000_000;
const MEGABYTE = 2 ** 20;
/** Octets on the heap and in buffers that are really in use. */
function inUse(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

for (const protocol of ['imap', 'pop3', 'smtp'] as const) {
  test(`${protocol}: ${FRAMES} frames, seed ${seed}`, async (t) => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    t.after(() => process.off('unhandledRejection', note));
    const start = performance.now();
    await fuzzSessions(protocol, 20_000, seed);
    const before = inUse();
    const figures = await fuzzSessions(protocol, FRAMES, seed + 1_000_000);
    const grown = (inUse() - before) / MEGABYTE;
    const seconds = Math.round((performance.now() - start) / 1000);
    t.diagnostic(`${protocol} ${JSON.stringify(figures)} ${seconds} s, memory in use ${grown.toFixed(1)} MiB more`);
    assert.deepEqual(unhandled, []);
    assert.ok(figures.frames >= FRAMES && figures.signedIn > 0);
    assert.ok(grown < 30, `memory in use grew by ${grown.toFixed(1)} MiB`);
  });

  test(`${protocol}: ${FRAMES / 4} frames through STARTTLS, seed ${seed}`, async (t) => {
    const figures = await fuzzUpgrades(protocol, FRAMES / 4, seed);
    t.diagnostic(`${protocol} STARTTLS ${JSON.stringify(figures)}`);
    assert.ok(figures.signedIn > 0);
  });
}
