/**
 * An hour of everything at once in 512 MiB: sign-ins, IDLE, bulk reading and storing, the outbox by SMTP and HTTP, webhooks, and
 * hostile peers all along. POSTERN_SOAK_MINUTES=10 makes it shorter, POSTERN_SOAK_SEED repeats one.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { mixedSoak } from '../bed/mixed-soak.ts';
import { growth, judge } from '../bed/soak-verdict.ts';

const minutes = Number(process.env['POSTERN_SOAK_MINUTES'] ?? 60);
const seed = Number(process.env['POSTERN_SOAK_SEED'] ?? randomInt(1 << 30));
/**
 * Up to 96 MiB of garbage lie about (src/server/heap.ts), so single samples swing by a quarter; medians over a third of the run
 * differ by less than a tenth. What is never freed grows with the time: over the third of an hour between the two medians, one KiB for each of the
 * twenty rounds a second would be 24 MiB, a tenth of what is resident.
 */
const MAX_GROWTH = 0.1;

test(`a mixed load for ${minutes} minutes in 512 MiB (seed ${seed})`, async (t) => {
  const result = await mixedSoak({
    seed,
    ms: minutes * 60_000,
    idle: 2100,
    hostile: 600,
    hostileMs: 10_000,
    onProgress: (line) => void process.stderr.write(`mixed soak: ${line}\n`),
  });
  judge(t, result);
  const grown = growth(result.samples);
  t.diagnostic(`the last third takes ${(grown * 100).toFixed(1)} % more than the second`);
  assert.ok(grown < MAX_GROWTH, `${(grown * 100).toFixed(1)} % more`);
});
