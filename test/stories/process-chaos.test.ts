/** Some trouble over the life of the processes of one installation (test/bed/process-chaos.ts); the long form is in test/soak. */
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { chaos } from '../bed/process-chaos.ts';

const seed = Number(process.env['CHAOS_SEED'] ?? randomInt(1 << 30));

test(`chaos over the life of a process (seed ${seed})`, (t) =>
  chaos({ seed, steps: 8, budgetMs: 15_000, onStep: (line) => t.diagnostic(line) }));
