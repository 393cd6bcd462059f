/** How time grows with the length of what is read, by this process's own processor time: a busy machine does not matter. */
import assert from 'node:assert/strict';
import process from 'node:process';

/** Of four times as much, in how many times as long. */
const MAX_GROWTH = 8;
/** Milliseconds below which a time says nothing. */
const FLOOR = 1;
const ROUNDS = 4;

/** Milliseconds of the processor, whether it was read or refused. */
export async function cost(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  try {
    await work();
  } catch {
    // Refused: that took its time as well.
  }
  return process.cpuUsage(before).user / 1000;
}

/**
 * What takes less than this at the second of three sizes is not looked at further: the square of it would take longer. A hundred
 * milliseconds is what a mebibyte may take.
 */
const MEASURABLE = 12;

/**
 * @param read something of so many octets
 * @param sizes each four times the one before
 * @throws when four times as much takes more than eight times as long, in each of several tries
 */
export async function grows(
  read: (octets: number) => () => unknown,
  what: string,
  sizes: readonly [number, number, number],
  measurable = MEASURABLE,
): Promise<void> {
  const middle = read(sizes[1]);
  if ((await cost(middle)) < measurable) return;
  await compare(read(sizes[0]), middle, what, sizes[1]);
  await compare(middle, read(sizes[2]), what, sizes[2]);
}

async function compare(less: () => unknown, more: () => unknown, what: string, size: number): Promise<void> {
  let ratio = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS && ratio > MAX_GROWTH; round++)
    ratio = Math.min(ratio, (await cost(more)) / Math.max(FLOOR, await cost(less)));
  assert.ok(ratio <= MAX_GROWTH, `${what}: four times as much, ${size} octets, took ${ratio.toFixed(1)} times as long`);
}
