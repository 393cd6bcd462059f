/**
 * Signals that come while the code is still being loaded. The system's own answer to them ends the process as if it had crashed,
 * so `serve` keeps them until it knows what to do. Imports nothing, because it has to be there first.
 */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type EarlySignal = (typeof SIGNALS)[number];

const kept: EarlySignal[] = [];
const keep = (signal: NodeJS.Signals): void => void kept.push(signal as EarlySignal);

export function keepSignals(): void {
  for (const signal of SIGNALS) process.on(signal, keep);
}

/** Ends the keeping. @returns what came, in its order; the caller listens from here on */
export function takeSignals(): readonly EarlySignal[] {
  for (const signal of SIGNALS) process.off(signal, keep);
  return kept.splice(0);
}

/** For whatever is not `serve` after all: the system answers what came, as it answers whatever comes later. */
export function releaseSignals(): void {
  for (const signal of takeSignals()) process.kill(process.pid, signal);
}
