/** Waiting in a test for what other work of this process brings about: bounded, and told by name when it does not come. */
import assert from 'node:assert/strict';

/** A busy machine takes seconds for what takes milliseconds; more is a fault. */
const WITHIN_MS = 10_000;

/** @param awaited what is waited for, in words; without them the condition itself is shown */
export async function eventually(
  isSo: () => boolean | Promise<boolean>,
  awaited = String(isSo),
  withinMs = WITHIN_MS,
): Promise<void> {
  for (const end = performance.now() + withinMs; !(await isSo());) {
    assert.ok(performance.now() < end, `not within ${withinMs / 1000} seconds: ${awaited}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
