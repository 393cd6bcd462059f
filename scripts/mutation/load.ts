/** Preloaded into every process and thread of a test: one source file is loaded with a mutation. */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import process from 'node:process';

/** JSON: the URL of the file and the path of what is loaded in its place. */
export const MUTANT = 'POSTERN_MUTANT';

const given = process.env[MUTANT];
if (given !== undefined) {
  const { from, url } = JSON.parse(given) as { readonly url: string; readonly from: string };
  registerHooks({
    load(asked, context, next) {
      const loaded = next(asked, context);
      return asked === url ? { ...loaded, source: readFileSync(from, 'utf8') } : loaded;
    },
  });
}
