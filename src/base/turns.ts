/** Work that takes long, in parts, so that everything else a process does goes on between them. */

/** Nobody notices a pause of this length; a hundred times a second is often enough for everybody else. */
const TURN_MS = 10;

let last: Promise<unknown> = Promise.resolve();

/**
 * Runs a generator to its end, one at a time in the whole process, and lets others go on whenever it has had its turn. It
 * yields where it may pause: often enough that what is between two yields takes no time that counts.
 * @throws what `work` throws
 */
export function inTurns<T>(work: Generator<undefined, T>): Promise<T> {
  const done = last.then(() => run(work));
  last = done.catch(() => undefined);
  return done;
}

async function run<T>(work: Generator<undefined, T>): Promise<T> {
  let began = performance.now();
  for (let step = work.next(); ; step = work.next()) {
    if (step.done === true) return step.value;
    if (performance.now() - began < TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
}
