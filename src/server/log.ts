/** The log: JSON lines by pino, or text for a terminal; every finished line goes through the scrubber. */
import { printable } from '../base/printable.ts';
import cluster from 'node:cluster';
import { styleText } from 'node:util';
import { type DestinationStream, type Logger, pino } from 'pino';
import { PosternError } from '../base/error.ts';
import type { Log, LogFields } from '../base/log.ts';
import { isNaming, scrub, scrubJson } from '../base/secret.ts';
import { LineWriter, type LogLosses, type Outlet, standardError } from './log-writer.ts';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'auto' | 'json' | 'text';
}

export interface ServerLog extends Log {
  /** Writes what is still buffered; for an orderly end and for a crash. */
  flush(): void;
  /** Lines that could not be written. Absent where the log is not written. */
  readonly losses?: () => LogLosses;
}

/**
 * @param outlet where finished lines go; standard error unless a test looks at them
 * @param words puts command lines in a text into the form that works for whoever reads the log
 */
export function openLog(
  options: LogOptions,
  outlet: Outlet = standardError(),
  words?: (text: string) => string,
): ServerLog {
  const text = options.format === 'text' || (options.format === 'auto' && outlet.isTTY);
  const who = cluster.isWorker ? { worker: process.pid } : null;
  const said = words === undefined ? same : (line: string): string => inWords(line, words);
  const last = text ? asText : scrubJson;
  const shape = (line: string): string => last(said(line));
  const lines = new LineWriter(outlet, (lost, why) =>
    shape(
      `${JSON.stringify({
        level: 'warn',
        time: new Date().toISOString(),
        ...who,
        lost,
        why,
        msg: 'the log can be written again; lines were lost meanwhile',
      })}\n`,
    ),
  );
  const destination: DestinationStream = {
    // Scrubbing the finished line catches a secret wherever it hides: nested keys, messages, stacks.
    write: (line: string) => lines.write(shape(line)),
  };
  const logger = pino(
    {
      level: options.level,
      // Not by the environment: node:cluster takes its variable out of it.
      base: who,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      // By key here, by value in the destination.
      serializers: { err: describeError, error: describeError },
    },
    destination,
  );
  return { ...wrap(logger), flush: () => lines.flush(), losses: () => lines.losses };
}

const same = (line: string): string => line;

/** Few lines have a command in them, and only those are read again. */
function inWords(line: string, words: (text: string) => string): string {
  if (!line.includes('postern ')) return line;
  const value: unknown = JSON.parse(line, (_key, one: unknown) => (typeof one === 'string' ? words(one) : one));
  return `${JSON.stringify(value)}\n`;
}

/** By key as well as by value: these never hold anything that may be read. */
const SECRET_KEYS = new Set([
  'password',
  'passphrase',
  'secret',
  'token',
  'accessToken',
  'refreshToken',
  'idToken',
  'clientSecret',
  'authorization',
  'privateKey',
]);

/** The fields with what such keys hold masked, two levels deep; the very same object where there is nothing to mask. */
function masked(fields: LogFields, depth = 0): LogFields {
  let copy: Record<string, unknown> | undefined;
  for (const [key, value] of Object.entries(fields)) {
    const shown = SECRET_KEYS.has(key) ? '[secret]' : depth === 0 && isPlain(value) ? masked(value, 1) : value;
    if (shown !== value) (copy ??= { ...fields })[key] = shown;
  }
  return copy ?? fields;
}

function isPlain(value: unknown): value is LogFields {
  return typeof value === 'object' && value !== null && !(value instanceof Error);
}

function wrap(logger: Logger): Log {
  return {
    debug: (fields, message) => logger.debug(masked(fields), message),
    info: (fields, message) => logger.info(masked(fields), message),
    warn: (fields, message) => logger.warn(masked(fields), message),
    error: (fields, message) => logger.error(masked(fields), message),
    child: (fields: LogFields) => wrap(logger.child(masked(fields))),
  };
}

function describeError(error: unknown): unknown {
  if (error instanceof PosternError) {
    return { ...error.toJSON(), ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }) };
  }
  if (error instanceof Error) {
    const { name, message, stack, cause } = error;
    return { name, message, stack, ...(cause === undefined ? {} : { cause: describeError(cause) }) };
  }
  return error;
}

function asText(line: string): string {
  const { level, time, msg, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const colour = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim';
  const rest = Object.entries(facts)
    .map(([key, value]) => asFact(key, typeof value === 'string' ? value : JSON.stringify(value)))
    .join(' ');
  const word = styleText(colour, String(level).padEnd(5));
  return `${String(time).slice(11, 19)} ${word} ${printable(scrub(String(msg)))}${rest === '' ? '' : ` ${styleText('dim', rest)}`}\n`;
}

function asFact(key: string, value: string): string {
  // With its name, which may be what tells that it is a secret; the name itself stays.
  const shown = isNaming(key, value) ? value : scrub(`${key}=${value}`).replace(/^[^=]*=/, '');
  return `${key}=${printable(shown)}`;
}
