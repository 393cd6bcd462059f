/** Which services of this machine serve a Postern, and whose installation that is. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Environment, nonEmpty } from '../home.ts';
import { asUser, ownerOf } from '../ownership.ts';
import { parseUnit, type UnitFacts } from './unit.ts';

export const UNIT = 'postern.service';

/** Where systemd looks for units of the machine, the administrator's own first (systemd.unit(5)). */
const SYSTEM_FOLDERS = ['/etc/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system'];

export interface InstalledUnit extends UnitFacts {
  readonly scope: 'system' | 'user';
  readonly path: string;
  readonly text: string;
}

/** @param root folder that stands for `/`, as in a system image that is being built */
export function unitPath(scope: 'system' | 'user', env: Environment, root = ''): string {
  if (scope === 'system') return join(root, '/', SYSTEM_FOLDERS[0]!, UNIT);
  const config = nonEmpty(env['XDG_CONFIG_HOME']) ?? join(nonEmpty(env['HOME']) ?? homedir(), '.config');
  return join(root, config, 'systemd', 'user', UNIT);
}

/** The unit there; undefined when there is none, or none that this user may read. */
export function readUnit(scope: 'system' | 'user', path: string): InstalledUnit | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    return { scope, path, text, ...parseUnit(text) };
  } catch {
    // Not installed, which is an answer.
    return undefined;
  }
}

/** Every service of Postern that this user can see. */
export function installedUnits(env: Environment, root = ''): readonly InstalledUnit[] {
  return [
    readUnit('user', unitPath('user', env, root)),
    ...SYSTEM_FOLDERS.map((folder) => readUnit('system', join(root, '/', folder, UNIT))),
  ].flatMap((unit) => unit ?? []);
}

/** The installation that a service uses, and how to run a command on it. */
export function serviceInstallation(
  env: Environment = process.env,
): { readonly home: string; run(args: readonly string[]): string } | undefined {
  const unit = installedUnits(env).find(({ home }) => home !== undefined);
  if (unit?.home === undefined) return undefined;
  const { home, config, user = ownerOf(home) } = unit as InstalledUnit & { readonly home: string };
  const names = { POSTERN_HOME: home, ...(config === undefined ? {} : { POSTERN_CONFIG: config }) };
  return { home, run: (args) => asUser(user, withoutHome(args), names) };
}

/** `--home` of a command line that is run again on another installation would win over the variable. */
function withoutHome(args: readonly string[]): readonly string[] {
  return args.filter((word, at) => word !== '--home' && !word.startsWith('--home=') && args[at - 1] !== '--home');
}
