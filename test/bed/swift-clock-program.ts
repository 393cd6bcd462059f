/**
 * Loaded first into a real process (`--import`), this makes its time pass faster, from a moment of the test's choosing: leases
 * of the dead run out, and waits that are minutes take seconds. TEST_CLOCK is what {@link swiftClock} in swift-clock.ts wrote.
 */
import process from 'node:process';
import timersPromises from 'node:timers/promises';
import { syncBuiltinESMExports } from 'node:module';

const { base, origin, pace } = JSON.parse(process.env['TEST_CLOCK'] ?? '{}') as {
  base: number;
  origin: number;
  pace: number;
};

const RealDate = Date;
const realNow = Date.now.bind(Date);
const now = (): number => Math.round(base + (realNow() - origin) * pace);

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args: [], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === 'now' ? now : (Reflect.get(target, name) as unknown)),
});

const realTimeout = globalThis.setTimeout;
const realInterval = globalThis.setInterval;
const shorter = (ms: number | undefined): number => (ms ?? 0) / pace;
globalThis.setTimeout = Object.assign(
  (callback: () => void, ms?: number, ...args: []) => realTimeout(callback, shorter(ms), ...args),
  realTimeout,
);
globalThis.setInterval = Object.assign(
  (callback: () => void, ms?: number, ...args: []) => realInterval(callback, shorter(ms), ...args),
  realInterval,
);
const realDelay = timersPromises.setTimeout;
timersPromises.setTimeout = (ms, ...rest) => realDelay(shorter(ms), ...rest);
syncBuiltinESMExports();
// The other clock goes as fast: that they differ would be a machine that slept.
const realMonotonic = performance.now.bind(performance);
performance.now = () => realMonotonic() * pace;
