/** Every trouble several times over the life of the processes of one installation. CHAOS_SEED and CHAOS_STEPS repeat and lengthen it. */
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { chaos } from '../bed/process-chaos.ts';

const seed = Number(process.env['CHAOS_SEED'] ?? randomInt(1 << 30));
const steps = Number(process.env['CHAOS_STEPS'] ?? 40);

test(`${steps} steps of chaos over the life of a process (seed ${seed})`, (t) =>
  chaos({
    seed,
    steps,
    onStep(line) {
      process.stderr.write(`process chaos: ${line}\n`);
      t.diagnostic(line);
    },
  }));
