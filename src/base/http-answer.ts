/** What HTTP answers say beside their body, and why there was none: for everybody who asks another server something. */

/** `Retry-After`: seconds or a date (RFC 9110 §10.2.3); milliseconds from `now` on, unbounded. */
export function retryAfterMs(text: string | null | undefined, now: number): number | undefined {
  const ms = /^\d+$/.test(text?.trim() ?? '') ? Number(text) * 1000 : Date.parse(text ?? '') - now;
  return Number.isFinite(ms) ? Math.max(ms, 0) : undefined;
}

/** Why no answer came: undici says "fetch failed" and puts the system's reason below. */
export function failureReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return failureReason(error.cause);
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' && !error.message.includes(code)
    ? `${code}: ${error.message}`
    : error.message || error.name;
}

/** The JSON object that a text is; undefined for anything else, such as an error page of something in between. */
export function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
