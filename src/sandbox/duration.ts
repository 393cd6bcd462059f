/** Durations as people write them. */
import { sandboxError } from './errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `90s`, `30m`, `2h`, `120d` or a number of milliseconds, as milliseconds. @throws sandbox.time */
export function readDuration(value: unknown): number {
  if (typeof value === 'number') return value;
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|[smhdw])$/.exec(String(value)) ?? [];
  if (number === undefined || unit === undefined)
    throw sandboxError('sandbox.time', `${JSON.stringify(value)} is no duration`);
  return Number(number) * UNITS[unit]!;
}
