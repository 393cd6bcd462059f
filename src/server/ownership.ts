/** Files that the operating system keeps from this user: whose they are, and how to run the command as their owner. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, resolve } from 'node:path';
import { isError, machineError, type PosternError } from '../base/error.ts';
import { shellWord } from '../base/shell.ts';
import { serverError } from './errors.ts';

const REFUSED: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS']);

/** True for what the operating system says when a file is not this user's to read or write. */
export function isAccessRefused(error: unknown): error is NodeJS.ErrnoException & { readonly path: string } {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  return typeof path === 'string' && code !== undefined && REFUSED.has(code);
}

/**
 * Looks at the folder of the state and at the configuration before anything is read: a file that may not be looked at seems
 * not to be there, and then the installation would seem to be missing.
 * @throws server.not-yours
 */
export function requireAccess(home: { readonly state: string; readonly config: string }): void {
  requireAccessTo(home.state, constants.R_OK | constants.W_OK | constants.X_OK);
  requireAccessTo(home.config, constants.R_OK);
}

/** A path that is not there is not refused. @throws server.not-yours */
export function requireAccessTo(path: string, mode: number): void {
  try {
    accessSync(path, mode);
  } catch (cause) {
    if (isAccessRefused(cause)) throw accessRefused(path, cause);
  }
}

/** Whose it is, and what to type. @param args of the command that was refused */
export function accessRefused(path: string, cause: unknown, args = process.argv.slice(2)): PosternError {
  if (isError(cause)) return cause;
  const ofMachine = machineError(cause, path);
  if (ofMachine) return ofMachine;
  const nearest = nearestOf(path);
  const owner = nearest.uid;
  const me = process.geteuid?.() ?? owner;
  if (nearest.missing && owner !== me) {
    const folder = shellWord(dirname(path) === nearest.path ? path : dirname(path));
    return serverError(
      'server.not-yours',
      `${path} cannot be made: ${nearest.path} belongs to ${nameOf(owner)}, and this command runs as ${nameOf(me)}`,
      {
        hint: `make the folder first: sudo install -d -m 700 -o ${shellWord(nameOf(me))} ${folder}; or choose another one with POSTERN_HOME`,
        detail: { path, owner: nameOf(owner) },
        cause,
      },
    );
  }
  if (owner === me) {
    return serverError(
      'server.not-yours',
      `${nearest.path} is yours, but its mode ${nearest.mode.toString(8)} does not let you use ${path}`,
      { hint: `chmod u+rwX ${shellWord(nearest.path)}`, detail: { path, mode: nearest.mode.toString(8) }, cause },
    );
  }
  const name = nameOf(owner);
  if (args.some((arg, at) => INPUT.test(`${args[at - 1]}=`) && resolve(arg) === resolve(path)))
    return serverError('server.not-yours', `${path} belongs to ${name}, and ${nameOf(me)} may not read it`, {
      hint: `let ${nameOf(me)} read it, and look into the folders above it: ${readable(path, nearest, nameOf(me))}`,
      detail: { path, owner: name },
      cause,
    });
  return serverError('server.not-yours', `${path} belongs to ${name}, and this command runs as ${nameOf(me)}`, {
    hint: `run it as ${name}: ${asUser(name, args)}`,
    detail: { path, owner: name },
    cause,
  });
}

/** Options that name a file of somebody else’s to read. */
const INPUT = /^--(?:ca|settings|cache-store)=/;

/** A file that was named is meant to be read here, by whoever runs the installation. */
function readable(path: string, nearest: { readonly path: string }, user: string): string {
  const folder = nearest.path === path ? '' : ` && sudo chmod o+x ${shellWord(nearest.path)}`;
  return `sudo chmod o+r ${shellWord(path)}${folder} (when it holds a secret: sudo chown ${shellWord(user)} ${shellWord(path)})`;
}

/** `sudo …`, with the same installation: the variables that name it are passed on, since sudo drops them. */
export function asUser(name: string, args: readonly string[], set: Readonly<Record<string, string>> = named()): string {
  const variables = Object.entries(set).map(([name, value]) => shellWord(`${name}=${value}`));
  const env = variables.length === 0 ? [] : ['env', ...variables];
  return ['sudo', '-H', '-u', shellWord(name), ...env, 'postern', ...args.map(shellWord)].join(' ');
}

function named(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ['POSTERN_HOME', 'POSTERN_CONFIG'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined || value === '' ? [] : [[name, value] as const];
    }),
  );
}

/** The name of a user, or `#UID` as sudo takes it where there is none. */
export function nameOf(uid: number): string {
  try {
    const me = userInfo();
    if (me.uid === uid) return me.username;
    const row = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find((fields) => fields[2] === String(uid));
    return row?.[0] ?? `#${uid}`;
  } catch {
    // A container may run as a user without a name.
    return `#${uid}`;
  }
}

/** Whose this path is, or the nearest folder above it that this user may look at. */
export function ownerOf(path: string): string {
  return nameOf(nearestOf(path).uid);
}

/** The path itself or, where a folder above it may not be searched, that folder: its owner decides. */
function nearestOf(path: string): {
  readonly path: string;
  readonly uid: number;
  readonly mode: number;
  /** True when the path itself is not there. */
  readonly missing: boolean;
} {
  let missing = false;
  for (let at = path; ; at = dirname(at)) {
    try {
      const { uid, mode } = statSync(at);
      return { path: at, uid, mode: mode & 0o7777, missing };
    } catch (error) {
      if (at === dirname(at)) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') missing = true;
    }
  }
}
