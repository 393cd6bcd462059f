/**
 * `npm run sign-data -- KEY.pem > postern-data.json`: the catalogue of this checkout as a signed edition, for `postern
 * update-data`. KEY.pem holds the publisher's Ed25519 private key and is kept away from the repository. Raise `edition` and
 * `published` in src/oauth/catalogue/data/edition.json first: an edition that is not newer is taken by nobody.
 */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { builtIn } from '../src/oauth/catalogue/catalogue.ts';
import { openSigned, PUBLISHERS, signCatalogue } from '../src/oauth/catalogue/signature.ts';

const [path] = process.argv.slice(2);
if (path === undefined) fail('name the file with the private key');
const key = createPrivateKey(readFileSync(path));
const own = createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64');
const text = signCatalogue(JSON.stringify(builtIn()), key);
// What nobody could read must not be published.
const { edition, published, errors, calendar } = openSigned(text, [own]);
process.stdout.write(text);
const known = PUBLISHERS.includes(own)
  ? 'a key every installation knows'
  : `a key of your own: data.publishers: [${own}]`;
process.stderr.write(
  `sign-data: edition ${edition} of ${published}, ${errors.length} errors, ${calendar.length} changes, signed with ${known}\n`,
);

function fail(why: string): never {
  process.stderr.write(`sign-data: ${why}\n`);
  process.exit(64);
}
