/** Where things are on disk: one folder with POSTERN_HOME, otherwise the XDG base directories. */
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { makeFolder } from '../base/folder.ts';
import { machineError } from '../base/error.ts';
import { serverError } from './errors.ts';
import { accessRefused, isAccessRefused } from './ownership.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Home {
  /** Database, key and certificates. */
  readonly state: string;
  readonly config: string;
  readonly database: string;
  readonly key: string;
  readonly tls: string;
  /** A newer edition of the catalogue, once `postern update-data` has put one there. */
  readonly catalogue: string;
  /** The option or variable that named the folder; undefined for the usual one. */
  readonly namedBy?: string;
}

/**
 * @param given the folder of `--home`, which wins over POSTERN_HOME
 * @see XDG Base Directory Specification 0.8
 */
export function homeOf(env: Environment, given?: string): Home {
  const folder = given ?? nonEmpty(env['POSTERN_HOME']);
  const state =
    folder === undefined
      ? join(nonEmpty(env['XDG_STATE_HOME']) ?? join(homeFolder(env), '.local', 'state'), 'postern')
      : resolve(folder);
  const config =
    nonEmpty(env['POSTERN_CONFIG']) ??
    (folder === undefined
      ? join(nonEmpty(env['XDG_CONFIG_HOME']) ?? join(homeFolder(env), '.config'), 'postern', 'postern.yaml')
      : join(state, 'postern.yaml'));
  return {
    state,
    config,
    database: join(state, 'postern.db'),
    key: join(state, 'key'),
    tls: join(state, 'tls'),
    catalogue: join(state, 'catalogue.json'),
    ...(folder === undefined ? {} : { namedBy: given === undefined ? 'POSTERN_HOME' : '--home' }),
  };
}

/** Makes the state folder, open to its owner only. @throws server.home, server.not-yours */
export function makeHome(home: Home): void {
  try {
    makeFolder(home.state);
    if (!statSync(home.state).isDirectory()) throw new Error('not a folder');
  } catch (cause) {
    if (isAccessRefused(cause)) throw accessRefused(home.state, cause);
    throw (
      machineError(cause, home.state) ??
      serverError('server.home', `the folder ${home.state} cannot be used`, { cause })
    );
  }
}

const homeFolder = (env: Environment): string => nonEmpty(env['HOME']) ?? homedir();

export function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
