/** What every room may say about its work. The composition root gives a real one (pino, scrubbed); tests give {@link nullLog}. */

/** Facts of one line. Keys are lower camel case; `sessionId` links log and audit lines. Values are scrubbed before writing. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** The same log with these fields on every line. */
  child(fields: LogFields): Log;
}

export const nullLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => nullLog };
