/** The catalogue in force: what this version was built with, or a newer signed edition kept in the home. */
import { readFileSync, statSync } from 'node:fs';
import { asError, type PosternError } from '../../base/error.ts';
import { replaceFile } from '../../base/replace-file.ts';
import { oauthError } from '../errors.ts';
import type { Catalogue } from './schema.ts';
import { openSigned, PUBLISHERS } from './signature.ts';

/** Where a newer edition may be, and who besides the project may have signed it. */
export interface CatalogueHome {
  readonly path: string;
  readonly publishers: readonly string[];
}

/** From now on an edition kept there counts when it is newer than the built-in one. For the composition root. */
export function keepCatalogueAt(home: CatalogueHome): void {
  kept = { home, stamp: undefined, data: undefined, problem: undefined };
}

/** The data to go by. Read on first use, and again when the file in the home has changed; asked only when something failed. */
export function catalogue(): Catalogue {
  const newer = look()?.data;
  return newer && newer.edition > builtIn().edition ? newer : builtIn();
}

/** Why the edition in the home is not used, if it should be and cannot. */
export function catalogueProblem(): PosternError | undefined {
  return look()?.problem;
}

/**
 * Puts a signed edition in place.
 * @throws oauth.catalogue-unreadable, oauth.catalogue-untrusted, oauth.catalogue-older
 */
export function installCatalogue(
  text: string,
  home: CatalogueHome,
): { readonly before: Catalogue; readonly now: Catalogue } {
  const now = openSigned(text, [...PUBLISHERS, ...home.publishers]);
  const before = catalogue();
  if (now.edition < before.edition)
    throw oauthError(
      'oauth.catalogue-older',
      `edition ${now.edition} is older than edition ${before.edition}, which is in use`,
      {
        detail: { offered: now.edition, inUse: before.edition },
      },
    );
  if (now.edition > before.edition) replaceFile(home.path, text, 0o644);
  return { before, now };
}

/** What this version was built with. Parsed on first use: a gateway that has no trouble never needs it. */
export function builtIn(): Catalogue {
  built ??= {
    ...(read('edition') as Pick<Catalogue, 'format' | 'edition' | 'published' | 'sources'>),
    errors: ERROR_FILES.flatMap((name) => read(name) as Catalogue['errors']),
    calendar: read('calendar') as Catalogue['calendar'],
    limits: read('limits') as Catalogue['limits'],
  };
  return built;
}

/** In the order in which rows are tried. */
const ERROR_FILES = ['errors-microsoft', 'errors-oauth', 'errors-mail', 'errors-local'] as const;

let built: Catalogue | undefined;

interface Kept {
  readonly home: CatalogueHome;
  /** Time and size of the file that was read. */
  stamp: string | undefined;
  data: Catalogue | undefined;
  problem: PosternError | undefined;
}

let kept: Kept | undefined;

function look(): Kept | undefined {
  if (!kept) return undefined;
  const { path, publishers } = kept.home;
  const found = statSync(path, { throwIfNoEntry: false });
  const stamp = found === undefined ? 'none' : `${found.mtimeMs} ${found.size}`;
  if (stamp === kept.stamp) return kept;
  kept.stamp = stamp;
  kept.data = undefined;
  kept.problem = undefined;
  if (found === undefined) return kept;
  try {
    kept.data = openSigned(readFileSync(path, 'utf8'), [...PUBLISHERS, ...publishers]);
  } catch (error) {
    // The built-in edition serves on; `postern check` tells.
    kept.problem = asError(error);
  }
  return kept;
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`data/${name}.json`, import.meta.url), 'utf8'));
}
