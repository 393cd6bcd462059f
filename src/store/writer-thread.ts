/** The thread of the database, before anybody knows which file: loading its code takes as long as all else a start does. */
import { Worker } from 'node:worker_threads';

let early: Worker | undefined;

/** Starts it while the rest is still being loaded; on two cores a start takes a third less. */
export function startWriterEarly(): void {
  early ??= spawn();
  early.unref();
}

/** The one that was started early, once; another one otherwise. */
export function takeWriter(): Worker {
  const thread = early ?? spawn();
  early = undefined;
  return thread;
}

/** Ends it where the database turns out to need none. */
export async function dropWriter(): Promise<void> {
  const thread = early;
  early = undefined;
  await thread?.terminate();
}

function spawn(): Worker {
  // The compiled file lies beside the compiled caller.
  const file = new URL(`./sqlite-writer${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
  return new Worker(file, { name: 'database' });
}
