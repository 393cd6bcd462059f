/** Which settings of a configuration are no longer those a process runs with. */
import { isDeepStrictEqual } from 'node:util';
import { asError } from '../base/error.ts';
import type { Config } from './config.ts';
import type { Running } from './running.ts';
import { sendable } from './worker-messages.ts';

/** Names as in postern.yaml, two levels deep: `console.port`, `listeners`. Never a value: some are secret. */
export function changedSettings(running: Config, read: Config): readonly string[] {
  return changed(plain(running), plain(read), 1);
}

/** Says which settings of the file a running process does not have. */
export function sayDifference(
  { config, log, reread }: Pick<Running, 'config' | 'log' | 'reread'>,
  none: 'say-none' | 'quiet' = 'quiet',
): void {
  try {
    const settings = changedSettings(config, reread());
    if (settings.length > 0)
      log.warn({ settings }, `these settings have changed since the start and need a restart: ${settings.join(', ')}`);
    else if (none === 'say-none') log.info({}, 'no setting has changed since the start');
  } catch (error) {
    const { code, hint, message } = asError(error);
    log.error({ code, hint }, `the configuration has an error; the settings from the start stay in use: ${message}`);
  }
}

type Settings = Readonly<Record<string, unknown>>;

/** As it would arrive in another process: without undefined values. */
const plain = (config: Config): Settings =>
  JSON.parse(JSON.stringify({ ...sendable(config), home: undefined })) as Settings;

function changed(a: Settings, b: Settings, depth: number): readonly string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((name) => {
    if (isDeepStrictEqual(a[name], b[name])) return [];
    if (depth === 0 || !isSettings(a[name]) || !isSettings(b[name])) return [name];
    return changed(a[name], b[name], depth - 1).map((below) => `${name}.${below}`);
  });
}

function isSettings(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
