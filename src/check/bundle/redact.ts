/**
 * Taking secrets out of a text by value: every secret of the installation in every form it may have, then everything that has
 * the shape of one, then, where asked, the people. Linear in the length of the text.
 */
import { type Secret, scrub } from '../../base/secret.ts';
import { masked, valueFinder } from './known-values.ts';
import { pseudonymizer } from './people.ts';

/** @param names what shall stand for addresses; empty keeps them */
export function redactor(
  secrets: readonly Secret[],
  names: ReadonlyMap<string, string> = new Map(),
): (text: string) => string {
  const find = valueFinder(secrets.map((secret) => secret.reveal()));
  const rename = pseudonymizer(names);
  const plain = (text: string): string => shapes(masked(text, find(text), MASK));
  const holdsSecret = (octets: Buffer): boolean => {
    const inside = octets.toString('latin1');
    return isPlainSignIn(inside) || plain(inside) !== inside || rename(inside) !== inside;
  };
  // What is encoded is looked into before its neighbours are masked, and masked whole.
  return (text) => rename(plain(text.replace(ENCODED, (word) => (readings(word).some(holdsSecret) ? MASK : word))));
}

const MASK = '[secret]';

/** What is long enough for a SASL or Basic response with a password in it. */
const ENCODED = /[A-Za-z0-9+/_-]{16,}={0,2}/g;

/** Something joined in front by a character of the alphabet (`sasl-AGFs…`, `/x/AGFs…`) shifts the octets: read behind it too. */
function readings(word: string): readonly Buffer[] {
  const joints = [...word.slice(0, JOINED).matchAll(/[-_/+]/g)].map(({ index }) => index + 1);
  return [0, ...joints].map((from) => decoded(word.slice(from)));
}

/** A label in front is no longer than this. */
const JOINED = 24;

function decoded(word: string): Buffer {
  return Buffer.from(word, /[-_]/.test(word) ? 'base64url' : 'base64');
}

/** RFC 4616 §2: identity NUL user NUL password. */
function isPlainSignIn(text: string): boolean {
  const parts = text.split('\0');
  return parts.length === 3 && parts[1] !== '' && parts[2] !== '';
}

/** Takes out what has the shape of a secret, even when nobody told us. */
function shapes(text: string): string {
  const clean = withoutAppPasswords(scrub(text))
    .replace(API_KEY, MASK)
    .replace(WEBHOOK_SECRET, MASK)
    .replace(CONSENT_LINK, `$1${MASK}`)
    .replace(SIGN_IN, `$1${MASK}`)
    .replace(PEM, MASK)
    .replace(URL_PASSWORD, `$1${MASK}$2`);
  return clean.includes(':') ? clean.split('\n').map(withoutSetting).join('\n') : clean;
}

/** 26 characters of our base 32 by themselves, in any case, together or in groups; ids have a prefix, hashes are longer. */
const APP_PASSWORD = /(?<![a-z0-9_])[0-9a-hjkmnp-tv-z](?:[- ]?[0-9a-hjkmnp-tv-z]){25}(?![a-z0-9_])/gi;
/** Escapes of JSON, addresses and terminals end in letters and digits, which would hide where a word begins. */
const ESCAPE = /\\u[0-9a-f]{4}|\\[nrtbf]|%[0-9a-f]{2}|\x1b\[[0-9;]{0,12}m/gi;

function withoutAppPasswords(text: string): string {
  const words = text.replace(ESCAPE, (escape) => '\0'.repeat(escape.length));
  const spans = [...words.matchAll(APP_PASSWORD)]
    .filter(([found]) => looksLikeAppPassword(found))
    .map(({ 0: found, index }) => ({ from: index, to: index + found.length }));
  return masked(text, spans, MASK);
}

/** Words and numbers that happen to use the same alphabet stay: by chance a password has 18 letters and 8 digits. */
function looksLikeAppPassword(text: string): boolean {
  const letters = text.replace(/[^a-z]+/gi, '').length;
  return letters >= 6 && (letters < 26 || !text.includes(' '));
}

const API_KEY = /postern[_-](?:[0-9a-hjkmnp-tv-z]-?){20,}/gi;
const WEBHOOK_SECRET = /whsec[_-]?[\w+/=-]{8,}/gi;
/** The token of a link by which a mailbox's owner consents, also inside another address. */
const CONSENT_LINK = /(consent(?:\/|%2F))[\w-]{8,}(?:\.|%2E)[\w-]{8,}/gi;
/** Sign-ins whose response we cannot decode or do not know the form of. */
const SIGN_IN = /(\b(?:authorization:? *basic|basic|auth(?:enticate)? plain|auth(?:enticate)? login) +)[\w+/=-]{8,}/gi;
const PEM = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
const URL_PASSWORD = /(:\/\/[^\s:/@]*:)[^\s/@]+(@)/g;

/** A setting whose name says that its value is a secret, in YAML or an environment file. */
function withoutSetting(line: string): string {
  const colon = line.indexOf(':');
  const name = line
    .slice(0, colon)
    .replace(/^[ \t-]+/, '')
    .trimEnd();
  if (colon === -1 || !/^[\w.-]+$/.test(name) || !SECRET_NAME.test(name)) return line;
  const value = line.slice(colon + 1);
  const begin = value.search(/[^ \t]/);
  return begin === -1 || value[begin] === '#' || value.trim() === '' ? line : line.slice(0, colon + 1 + begin) + MASK;
}

const SECRET_NAME = /secret|password|passphrase|token/i;
