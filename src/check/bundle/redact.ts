/**
 * Taking secrets out of a text by value: every secret of the installation in every form it may have, then everything that has
 * the shape of one, then, where asked, the people.
 */
import { type Secret, scrub } from '../../base/secret.ts';

/** @param names what shall stand for addresses; empty keeps them */
export function redactor(
  secrets: readonly Secret[],
  names: ReadonlyMap<string, string> = new Map(),
): (text: string) => string {
  const forms = [...new Set(secrets.flatMap((secret) => formsOf(secret.reveal())))].sort((a, b) => b.length - a.length);
  const people = [...names].sort(([a], [b]) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const form of forms) clean = clean.replaceAll(form, MASK);
    clean = scrub(clean)
      .replace(YAML_SECRET, `$1${MASK}`)
      .replace(APP_PASSWORD, MASK)
      .replace(PEM, MASK)
      .replace(URL_PASSWORD, `$1${MASK}$2`);
    for (const [address, name] of people) {
      clean = clean.replaceAll(new RegExp(escaped(address), 'gi'), name);
      // As mail programs' logs and SASL responses write it.
      clean = clean.replaceAll(encodeURIComponent(address), name);
    }
    return clean;
  };
}

const MASK = '[secret]';
/** Shorter ones would garble ordinary words; nothing we keep is that short. */
const LEAST = 6;
/** App passwords (26 characters of our base 32 by themselves; ids have a prefix, hashes are longer) and API keys. */
const APP_PASSWORD = /(?<!\w)(?:[0-9a-hjkmnp-tv-z]{26}|postern_[0-9a-hjkmnp-tv-z]{20,})(?!\w)/g;
const PEM = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
/** A configuration's own secrets, whose keys say so. */
const YAML_SECRET = /^([ \t-]*[\w.-]*(?:secret|password|passphrase|token)[\w.-]*[ \t]*:[ \t]*)(?![ \t]*(?:#.*)?$).+/gim;
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s/@]+(@)/gi;

/** As it is, in JSON, in addresses, and in base64 at each of its three offsets (as SASL and Basic authentication have it). */
function formsOf(value: string): readonly string[] {
  const octets = Buffer.from(value);
  const base64 = [0, 1, 2].flatMap((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), octets]);
    // Only what does not depend on the neighbours.
    const from = Math.ceil((offset * 8) / 6);
    const whole = Math.floor((padded.length * 8) / 6);
    return (['base64', 'base64url'] as const).map((alphabet) => padded.toString(alphabet).slice(from, whole));
  });
  const forms = [
    value,
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value),
    octets.toString('hex'),
    ...base64,
  ];
  return forms.filter((form) => form.length >= LEAST);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
