/** Moments in JSON that the command prints. Inside they are milliseconds since the epoch; outside ISO 8601, as everywhere else. */

/** Names of fields that hold a moment: `at`, `since`, `until`, `deadline` and all that end in `At`. */
const MOMENT = /^(?:at|since|until|deadline)$|At$/;
/** 1973: smaller numbers under these names are lengths of time. */
const EARLIEST_MS = 1e11;

/** A copy as JSON has it, with every moment as text. */
export function withIsoTimes(value: unknown): unknown {
  const text = (name: string, one: unknown): unknown =>
    typeof one === 'number' && MOMENT.test(name) && one > EARLIEST_MS ? new Date(one).toISOString() : one;
  return JSON.parse(JSON.stringify(value, text));
}
