/**
 * What an installation remembers of its database beside it, so that a database that is missing, empty or another one is told
 * instead of being begun again: an empty database answers every program "wrong password".
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { machineError, type PosternError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { replaceFile } from '../base/replace-file.ts';
import { shellWord } from '../base/shell.ts';
import type { Store } from '../store/types.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import { isAccessRefused, ownerOf } from './ownership.ts';

interface Mark {
  /** File of an SQLite database, or `postgres`. */
  readonly database: string;
  /** The same value is in the database's settings. */
  readonly installation: string;
  /** The end of the audit log has been seen with its signature: one without is no longer an old version's. */
  readonly auditSigned?: true;
}

const SETTING = 'installation';

/** File of an SQLite database; undefined for another one. */
export function databaseFile({ database }: Pick<Config, 'database'>): string | undefined {
  const url = database.reveal();
  if (!url.startsWith('sqlite:')) return undefined;
  const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '');
  return path === ':memory:' ? undefined : path;
}

/**
 * What the server of this installation says of itself at the console, so that nobody takes another one's answer for its own: of the
 * mark, which stays inside. Empty where there is none. @throws server.not-yours, server.database-mark
 */
export function installationFingerprint(config: Config): string {
  const mark = readMark(config);
  return mark === undefined
    ? ''
    : createHash('sha256').update(`answers for ${mark.installation}`).digest('hex').slice(0, 16);
}

/** Where the database is named, for whoever has to correct it. */
export const databaseSetting = ({ databaseVariable }: Pick<Config, 'databaseVariable'>): string =>
  databaseVariable === undefined ? '`database` in postern.yaml' : `or unset ${databaseVariable}`;

/** To be called before the database is opened, which would make an empty one. @throws server.database-missing */
export function expectDatabase(config: Config): void {
  const file = databaseFile(config);
  const mark = readMark(config);
  if (file === undefined || mark === undefined || existsSync(file)) return;
  const moved = mark.database !== file && mark.database !== 'postgres' && existsSync(mark.database);
  throw serverError(
    'server.database-missing',
    moved
      ? `there is no database ${file}; this installation has its data in ${mark.database}`
      : `the database ${file} of this installation is missing`,
    {
      detail: { database: file },
      hint: moved
        ? `correct ${databaseSetting(config)}, or stop \`postern serve\` and move the file: mv ${mark.database} ${file}`
        : `put the file back, or restore the last backup to ${file}; only to begin with an empty one, remove ${markPath(config)} first`,
    },
  );
}

/** To be called with the opened database; remembers it on the first call ever. @throws server.database-missing */
export async function confirmDatabase(config: Config, store: Pick<Store, 'settings'>, log: Log): Promise<void> {
  const database = databaseFile(config) ?? (config.database.reveal().startsWith('sqlite:') ? undefined : 'postgres');
  if (database === undefined) return;
  const mark = readMark(config);
  const there = await store.settings.get(SETTING);
  if (mark !== undefined && mark.installation !== there)
    throw serverError(
      'server.database-missing',
      there === undefined
        ? 'the database is empty, although this installation has been in use'
        : 'the database belongs to another installation',
      {
        hint: `check ${databaseSetting(config)}, or restore the last backup; if this database is meant, remove ${markPath(config)} first`,
      },
    );
  if (mark?.database === database) return;
  const installation = there ?? (await store.settings.setOnce(SETTING, randomBytes(16).toString('hex')));
  remember(config, { ...mark, database, installation }, log);
}

/** Whether the end of the audit log was ever seen signed here. To be called with the opened database, after {@link confirmDatabase}. */
export async function isAuditSigned(config: Config, store: Pick<Store, 'audit'>, log: Log): Promise<boolean> {
  const mark = readMark(config);
  if (mark === undefined || mark.auditSigned) return mark?.auditSigned === true;
  const head = await store.audit.head();
  if (head?.mac === undefined) {
    if (head !== undefined && head.seq > 0)
      log.warn(
        { records: head.seq },
        'the audit log is not signed: expected once, after an upgrade from a version that did not sign; otherwise its signature was taken away: postern audit verify',
      );
    return false;
  }
  remember(config, { ...mark, auditSigned: true }, log);
  return true;
}

function remember(config: Config, mark: Mark, log: Log): void {
  try {
    replaceFile(markPath(config), `${JSON.stringify(mark)}\n`);
  } catch (error) {
    log.debug({ error }, 'the database could not be remembered now; it will be at the next start');
  }
}

export const markPath = ({ home }: Pick<Config, 'home'>): string => join(home.state, 'installation.json');

/** Only a file that is not there means that no database was opened here yet. @throws server.not-yours, server.database-mark, base.* */
function readMark(config: Config): Mark | undefined {
  const path = markPath(config);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw machineError(cause, path) ?? (isAccessRefused(cause) ? unreadable(path, cause) : damagedMark(path, cause));
  }
  try {
    const mark = JSON.parse(text) as Partial<Mark> | null;
    if (typeof mark?.database === 'string' && typeof mark.installation === 'string') return mark as Mark;
  } catch (cause) {
    throw damagedMark(path, cause);
  }
  throw damagedMark(path, undefined);
}

/** The folder is this user's, so whoever wrote the file did it as somebody else: root, most likely. */
function unreadable(path: string, cause: unknown): PosternError {
  const owner = ownerOf(path);
  return serverError('server.not-yours', `${path} cannot be read: it belongs to ${owner}`, {
    hint: `give it to the owner of its folder: sudo chown --reference=${shellWord(dirname(path))} ${shellWord(path)}`,
    detail: { path, owner },
    cause,
  });
}

function damagedMark(path: string, cause: unknown): PosternError {
  return serverError('server.database-mark', `${path}, which names the database of this installation, is damaged`, {
    hint: `restore it from the last backup; or, when \`database\` in postern.yaml is the right one and holds your mailboxes, remove it: rm ${shellWord(path)}`,
    detail: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}
