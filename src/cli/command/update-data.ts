/** `postern update-data`: a newer edition of the catalogue, from a file or over HTTPS; only signed ones count. */
import { readFileSync, statSync } from 'node:fs';
import { installCatalogue, keepCatalogueAt } from '../../oauth/catalogue/catalogue.ts';
import { LARGEST_EDITION_OCTETS } from '../../oauth/catalogue/signature.ts';
import { oauthError } from '../../oauth/errors.ts';
import { requireHome } from '../../server/instance.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';

export function updateData(): Subcommand {
  return new Subcommand('update-data', 'take up a newer edition of the catalogue of errors and provider changes')
    .argument('[source]', 'a file or an https:// address (default: data.url of postern.yaml)')
    .remark(`An edition is used only when its signature is by a known publisher and it is newer than the one in use. Running
gateways take it up by themselves.`)
    .example('postern update-data postern-data.json')
    .run(async (context, given: string | undefined) => {
      const { home, data } = context.config();
      const source = given ?? data.url;
      if (source === undefined)
        throw cliError('cli.usage', 'no file or address was named', {
          hint: 'postern update-data FILE, or set data.url in postern.yaml',
        });
      requireHome(home);
      const kept = { path: home.catalogue, publishers: data.publishers };
      keepCatalogueAt(kept);
      const { before, now } = installCatalogue(await fetchEdition(source), kept);
      const newer = now.edition > before.edition;
      context.result({ before: before.edition, now: now.edition, published: now.published, changed: newer }, [
        newer
          ? `edition ${now.edition} of ${now.published} is in use (before: ${before.edition})`
          : `edition ${now.edition} is in use already`,
      ]);
    });
}

/** @throws cli.usage, oauth.provider-unreachable, oauth.catalogue-unreadable */
async function fetchEdition(source: string): Promise<string> {
  if (!/^https?:\/\//i.test(source)) return readEdition(source);
  const { openHttp } = await import('../../oauth/http.ts');
  const http = openHttp();
  try {
    const answer = await http.request(source, { method: 'GET' });
    if (answer.status !== 200)
      throw oauthError('oauth.catalogue-unreadable', `${new URL(source).host} answers ${answer.status}`, {
        hint: 'check the address; a file fetched by other means will do as well',
      });
    return await answer.text();
  } finally {
    await http.close();
  }
}

function readEdition(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile())
    throw cliError('cli.usage', `there is no file ${path}`, { hint: 'name the file with the signed edition' });
  if (found.size > LARGEST_EDITION_OCTETS)
    throw oauthError('oauth.catalogue-unreadable', `${path} is too large to be an edition of the catalogue`);
  return readFileSync(path, 'utf8');
}
