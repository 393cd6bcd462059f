/** How time grows with the length of what is read, by this thread's own processor time: a busy machine does not matter. */
import assert from 'node:assert/strict';
import process from 'node:process';

/** Of four times as much, in how many times as long. */
const MAX_GROWTH = 8;
/** Milliseconds below which a time says nothing. */
const FLOOR = 1;
const ROUNDS = 6;

/**
 * Milliseconds of the processor, whether it was read or refused. User and system time together: the kernel knows their sum exactly
 * and divides it by where its clock's ticks fell, so that one of them alone may stand still and then jump by all of both. And this
 * thread alone: collecting garbage and compiling on others comes when it likes.
 */
export async function cost(work: () => unknown): Promise<number> {
  const before = process.threadCpuUsage();
  try {
    await work();
  } catch {
    // Refused: that took its time as well.
  }
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

/**
 * What takes less than this at the second of three sizes is not looked at further: the square of it would take longer. A hundred
 * milliseconds is what a mebibyte may take.
 */
const MEASURABLE = 12;

/**
 * Linear is judged by the last two of three sizes: what grows with the square does so most where there is most of it. Each size
 * counts with the least it took in any round, as a collection of garbage or the compiler may fall into any single one.
 *
 * @param read something of so many octets
 * @param sizes each four times the one before
 * @throws when four times as much takes more than eight times as long, in all rounds together
 */
export async function grows(
  read: (octets: number) => () => unknown,
  what: string,
  sizes: readonly [number, number, number],
  measurable = MEASURABLE,
): Promise<void> {
  const middle = read(sizes[1]);
  if ((await cost(middle)) < measurable) return;
  const reads = [read(sizes[0]), middle, read(sizes[2])] as const;
  const least: [number, number, number] = [Infinity, Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++) {
    for (const size of [0, 1, 2] as const) least[size] = Math.min(least[size], await cost(reads[size]));
    if (least[2] <= MAX_GROWTH * Math.max(FLOOR, least[1])) return;
  }
  const table = sizes.map((size, at) => `${size} octets ${least[at]?.toFixed(1)} ms`).join(', ');
  assert.fail(`${what}: four times as much took over ${MAX_GROWTH} times as long: ${table}`);
}
