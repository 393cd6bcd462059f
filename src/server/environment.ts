/** The environment variables that win over postern.yaml. */
import { readFileSync } from 'node:fs';
import { machineError } from '../base/error.ts';
import { editDistance } from '../base/edit-distance.ts';
import { Secret } from '../base/secret.ts';
import { moveAway, shellWord } from '../base/shell.ts';
import { serverError } from './errors.ts';
import { type Environment, nonEmpty } from './home.ts';
import { accessRefused, isAccessRefused } from './ownership.ts';

/** Variables we read; each also as NAME_FILE, a file whose first line is the value. */
const VARIABLES = [
  'POSTERN_DATABASE_URL',
  'POSTERN_MASTER_KEY',
  'POSTERN_PASSPHRASE',
  'POSTERN_HOSTNAME',
  'POSTERN_WORKERS',
  'POSTERN_LOG_LEVEL',
  'POSTERN_LOG_FORMAT',
] as const;
const OTHER_VARIABLES = ['POSTERN_HOME', 'POSTERN_CONFIG', 'POSTERN_NO_BROWSER'];

/**
 * A misspelt variable would be ignored in silence. Others of the name POSTERN_… are let be: Kubernetes and container links make
 * some for a service called postern (POSTERN_PORT, POSTERN_SERVICE_HOST), and commands that notices run are given POSTERN_NOTICE_….
 */
export function refuseMisspelt(env: Environment): void {
  const known: readonly string[] = [...VARIABLES, ...VARIABLES.map((name) => `${name}_FILE`), ...OTHER_VARIABLES];
  for (const name of Object.keys(env)) {
    if (!name.startsWith('POSTERN_') || known.includes(name) || nonEmpty(env[name]) === undefined) continue;
    const meant = known.find((one) => editDistance(name, one) <= MISSPELT);
    if (meant !== undefined)
      throw serverError('server.config', `there is no variable ${name}`, { hint: `did you mean ${meant}?` });
  }
}

/** Letters that may be wrong in a name that is meant. */
const MISSPELT = 2;

/** The variable that sets this, as it is written in the environment; undefined when none does. */
export function variableOf(env: Environment, name: string): string | undefined {
  return [`${name}_FILE`, name].find((one) => nonEmpty(env[one]) !== undefined);
}

/** The value of a variable, or of the file that NAME_FILE names. */
export function secretOf(env: Environment, name: string): Secret | undefined {
  const path = nonEmpty(env[`${name}_FILE`]);
  if (path !== undefined) return firstLine(path);
  const value = nonEmpty(env[name]);
  return value === undefined ? undefined : new Secret(value);
}

export function firstLine(path: string): Secret {
  return new Secret(readText(path).split(/\r?\n/)[0]!);
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (isAccessRefused(cause)) throw accessRefused(path, cause);
    const ofMachine = machineError(cause, path);
    if (ofMachine) throw ofMachine;
    throw serverError(
      'server.config',
      (cause as NodeJS.ErrnoException).code === 'EISDIR'
        ? `${path} is a folder, not a file`
        : `${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`,
      {
        hint:
          (cause as NodeJS.ErrnoException).code === 'EISDIR'
            ? `${moveAway(path)}, then put the file in its place`
            : `check that it exists and that this user may read it: ls -l ${shellWord(path)}`,
        cause,
      },
    );
  }
}

export function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw serverError('server.config', `${name} is not a number: ${text}`, { hint: `correct or unset ${name}` });
}
