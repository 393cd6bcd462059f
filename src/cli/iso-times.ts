/** Moments in JSON that the command prints. Inside they are milliseconds since the epoch; outside ISO 8601, as everywhere else. */

/** Names of fields that hold a moment: `at`, `since`, `until` and all that end in `At`. */
const MOMENT = /^(?:at|since|until)$|At$/;
/** 1973: smaller numbers under these names are lengths of time. */
const EARLIEST_MS = 1e11;

/** A copy with every moment as text. */
export function withIsoTimes(value: unknown, name = ''): unknown {
  if (typeof value === 'number')
    return MOMENT.test(name) && value > EARLIEST_MS ? new Date(value).toISOString() : value;
  if (Array.isArray(value)) return value.map((one) => withIsoTimes(one, name));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withIsoTimes(one, key)]));
}
