/** Some seconds of the mixed soak; POSTERN_SOAK_SEED repeats one. */
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { mixedSoak } from '../bed/mixed-soak.ts';
import { judge } from '../bed/soak-verdict.ts';

const seed = Number(process.env['POSTERN_SOAK_SEED'] ?? randomInt(1 << 30));

test(`a mixed load for ten seconds in 512 MiB (seed ${seed})`, async (t) => {
  judge(t, await mixedSoak({ seed, ms: 10_000, idle: 500, hostile: 200, hostileMs: 1000 }));
});
