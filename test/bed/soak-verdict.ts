/** What has to hold after a mixed soak, however long it was. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Sample } from './health-watch.ts';
import type { SoakResult } from './mixed-soak.ts';

/** What the Helm chart gives a container. */
const MEMORY = 512 * 1024 * 1024;
const WITHIN_MS = 1000;
const MIB = 2 ** 20;

export function judge(t: TestContext, result: SoakResult): void {
  const { samples, rounds, wrong, accepted, lost, untold, running, log } = result;
  const highest = Math.max(...samples.map((sample) => sample.highest));
  const third = Math.floor(samples.length / 3);
  const middle = median(samples.slice(third, 2 * third));
  const last = median(samples.slice(2 * third));
  const waited = (which: 'ms' | 'ownMs'): string =>
    [0.5, 0.99, 1]
      .map((share) =>
        Math.round(
          quantile(
            samples.map((sample) => sample[which]),
            share,
          ),
        ),
      )
      .join('/');
  t.diagnostic(
    `memory: ${mib(samples[0]!.resident)} MiB first, ${mib(middle)} in the second third, ${mib(last)} in the last, ${mib(highest)} at the most`,
  );
  t.diagnostic(
    `health in ${samples.length} s: ${waited('ms')} ms (median/99 %/most), of the process itself ${waited('ownMs')}`,
  );
  t.diagnostic(`${accepted} messages accepted; rounds ${JSON.stringify(rounds)}`);
  assert.ok(running, log.slice(-3000));
  assert.deepEqual(wrong, []);
  assert.deepEqual({ lost, untold }, { lost: [], untold: [] });
  assert.ok(accepted > 0);
  for (const [name, { well, interrupted }] of Object.entries(rounds)) {
    assert.ok(well > 0, `${name}: not one round went well`);
    assert.ok(interrupted <= 5 + well / 10, `${name}: ${interrupted} rounds of ${well + interrupted} were interrupted`);
  }
  assert.ok(highest <= MEMORY, `${mib(highest)} MiB`);
  const slow = samples.filter(({ ownMs, trouble }) => ownMs >= WITHIN_MS || trouble !== undefined);
  assert.deepEqual(slow, [], 'health did not answer within a second');
  assert.doesNotMatch(log, /unexpected failure|"code":"base\.bug"/);
}

/** The share by which the last third takes more than the second. */
export function growth(samples: readonly Sample[]): number {
  const third = Math.floor(samples.length / 3);
  return median(samples.slice(2 * third)) / median(samples.slice(third, 2 * third)) - 1;
}

const mib = (bytes: number): number => Math.round(bytes / MIB);

function median(samples: readonly Sample[]): number {
  return quantile(
    samples.map(({ resident }) => resident),
    0.5,
  );
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
