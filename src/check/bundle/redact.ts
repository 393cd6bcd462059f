/**
 * Taking secrets out of a text by value: every secret of the installation in every form it may have, then everything that has
 * the shape of one, then, where asked, the people. Linear in the length of the text.
 */
import { type Secret, scrub } from '../../base/secret.ts';
import { masked, merged, type Span, valueFinder } from './known-values.ts';
import { ENCODINGS, withoutZeros } from './encodings.ts';
import { hashedFinder } from './hashed.ts';
import { pseudonymizer } from './people.ts';
import { withoutEscapes } from './separators.ts';
import { escapeStreams, numberStreams, pieceStreams, type Stream } from './streams.ts';

/**
 * @param names what replaces addresses; empty keeps them
 * @param isHashed tells an app password, or an API key without its prefix, of which the installation keeps a keyed hash only
 * @param unsearched told once for a text that has more of what could be one than is looked up: the rest of that is masked
 * @param mostTries words of a text that are looked up
 */
export function redactor(
  secrets: readonly Secret[],
  names: ReadonlyMap<string, string> = new Map(),
  isHashed?: (word: string) => boolean,
  unsearched: () => void = () => {},
  mostTries = MAX_TRIES,
): (text: string) => string {
  const find = valueFinder(secrets.map((secret) => secret.reveal()));
  /** The same words come in every reading of a text. */
  const looked = new Map<string, boolean>();
  let isTold = false;
  const isOne = (word: string): boolean | undefined => {
    if (!isHashed) return false;
    const before = looked.get(word);
    if (before !== undefined) return before;
    if (looked.size < mostTries) {
      const found = isHashed(word);
      looked.set(word, found);
      return found;
    }
    if (!isTold) unsearched();
    isTold = true;
    return undefined;
  };
  const findHashed = hashedFinder(isOne);
  // Chance makes words of what is no text, but none that are whole.
  const findWhole = hashedFinder(isOne, 0);
  const rename = pseudonymizer(names);
  const plain = (text: string): readonly Span[] => merged([...find(text), ...findHashed(text)]);
  const holdsSecret = (octets: Buffer, depth: number): boolean => {
    const inside = octets.toString('latin1');
    if (!READABLE.test(inside)) return false;
    const wide = withoutZeros(octets);
    return [inside, ...(wide === undefined ? [] : [wide])].some(
      (text) =>
        isPlainSignIn(text) ||
        plain(text).length > 0 ||
        shapes(text) !== text ||
        rename(text) !== text ||
        within(text, depth + 1).length > 0,
    );
  };
  /** What is encoded, masked whole, and what is written octet by octet; each looked into in the same way. */
  const within = (text: string, depth: number): readonly Span[] => {
    if (depth >= DEEPEST) return [];
    const spans: Span[] = [];
    for (const { pattern, decode } of ENCODINGS)
      for (const { 0: run, index } of text.matchAll(pattern))
        if (decode(run).some((octets) => holdsSecret(octets, depth)))
          spans.push({ from: index, to: index + run.length });
    const look = (stream: Stream, hashed: typeof findHashed): void => {
      if (!READABLE.test(stream.text)) return;
      for (const span of [...find(stream.text), ...hashed(stream.text), ...within(stream.text, depth + 1)])
        if (span.to > span.from) spans.push({ from: stream.from[span.from]!, to: stream.to[span.to - 1]! });
    };
    // One at a time: each is as large as the text.
    for (const stream of escapeStreams(text)) look(stream, findHashed);
    for (const stream of numberStreams(text)) look(stream, findWhole);
    for (const stream of pieceStreams(text)) look(stream, findWhole);
    return merged(spans);
  };
  return (text) => {
    looked.clear();
    isTold = false;
    return rename(shapes(masked(text, merged([...plain(text), ...inWindows(text, (part) => within(part, 0))]), MASK)));
  };
}

/** Looks at a long text in windows that reach into each other: each reading of one is as large as it, and there are many. */
function inWindows(text: string, look: (part: string) => readonly Span[]): Span[] {
  const spans: Span[] = [];
  for (let at = 0; at < text.length; at += WINDOW) {
    const start = Math.max(0, at - REACH);
    for (const { from, to } of look(text.slice(start, at + WINDOW + REACH)))
      spans.push({ from: start + from, to: start + to });
  }
  return spans;
}

/** Characters of a window: its readings take some five hundred times that at once. */
const WINDOW = 256 * 1024;
/** What a token of 2,000 octets takes where each of them is a number on a line of its own, beside the characters of its window. */
const REACH = 32 * 1024;

/**
 * App passwords and API keys are looked up by a keyed hash, some microseconds each. Of a text that has more of what could be one
 * than this, the rest is masked unsearched. A log of two megabytes full of ids has some 700,000.
 */
const MAX_TRIES = 1_000_000;
const MASK = '[secret]';
/** Encoded twice, as base64 of a JSON text with base64 in it, is common; more is not. */
const DEEPEST = 2;
/** No secret is shorter; what decodes to nothing readable is a hash, an id or compressed. */
const READABLE = /[\x20-\x7e]{6}|(?:[\x20-\x7e]\0{1,3}){6}/;

/** RFC 4616 §2: identity NUL user NUL password. */
function isPlainSignIn(text: string): boolean {
  const parts = text.split('\0');
  // oxlint-disable-next-line no-control-regex -- octets that no user name has
  return parts.length === 3 && !/[\x01-\x1f\x7f]/.test(text) && parts[1] !== '' && parts[2] !== '';
}

/** Takes out what has the shape of a secret, even when nobody told us. */
function shapes(text: string): string {
  const clean = withoutAppPasswords(scrub(text))
    .replace(API_KEY, MASK)
    .replace(WEBHOOK_SECRET, MASK)
    .replace(CONSENT_LINK, `$1${MASK}`)
    .replace(SIGN_IN, `$1${MASK}`)
    .replace(PEM, MASK)
    .replace(URL_PASSWORD, `$1${MASK}$2`)
    .replace(URL_SETTING, `$1${MASK}`)
    .replace(CHAT_WEBHOOK, `$1${MASK}`)
    .replace(QUERY, `$1${MASK}`)
    .replace(ARGUMENT, `$1${MASK}`);
  return clean.includes(':') ? withoutSettings(clean) : clean;
}

/** 26 characters of our base 32 by themselves, in any case, together or in groups; ids have a prefix, hashes are longer. */
const APP_PASSWORD = /(?<![a-z0-9_])[0-9a-hjkmnp-tv-z](?:[- ]?[0-9a-hjkmnp-tv-z]){25}(?![a-z0-9_])/gi;
function withoutAppPasswords(text: string): string {
  const words = withoutEscapes(text);
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

/** Who knows the path of a webhook may use it: of a member named `url`, in YAML or JSON, the host stays. */
const URL_SETTING =
  /(\burl\\{0,4}["']?\s?[:=]\s{0,4}\\{0,4}["']?https?:\/\/[^\s/?#"'\\<>,}]{1,260}[/?#])[^\s"'\\<>]+/gi;
/** Addresses of chat programs and of Azure that are secrets themselves, wherever they stand. */
const CHAT_WEBHOOK =
  /(\/\/(?:hooks\.slack\.com|(?:\w{1,20}\.)?discord(?:app)?\.com\/api\/webhooks|[\w.-]{1,99}\.webhook\.office\.com|[\w.-]{1,99}\.logic\.azure\.com|chat\.googleapis\.com)(?::\d{1,5})?\/)[^\s"'\\<>]+/gi;
const QUERY =
  /([?&;](?:[\w.-]{0,40}(?:secret|passw|passphrase|token|api-?key|credential|signature)[\w.-]{0,20}|key|sig|sas|code|auth)=)[^\s"'\\&<>]+/gi;
/** An argument of a program, joined to its option or the next of a list; not one that names a file or a program to ask. */
const ARGUMENT =
  /((?<![\w-])--?[\w-]{0,40}(?:secret|passw|passphrase|token|api-?key|credential)(?!\w{0,20}-(?:file|command|env|stdin))[\w-]{0,20}(?:=|\\{0,4}["']?\s{0,4},\s{0,40}|["']?\s{0,4}\n\s{0,40}-\s{1,4}| {1,4}))(?!--|\[secret\])(?:"[^"\n]+"|'[^'\n]+'|\\"[^"\n]+\\"|[^\s,\]"']+)/gi;

/** Settings whose name says that their value is a secret, in YAML or an environment file; also where it is on the lines below. */
function withoutSettings(text: string): string {
  /** How far in the name of the value stands whose lines are left out. */
  let block: { readonly indent: number; readonly isText: boolean } | undefined;
  return text
    .split('\n')
    .map((line) => {
      const indent = line.search(/[^ ]/);
      if (
        block !== undefined &&
        indent > block.indent &&
        (block.isText || !/^ *(?:- |#|["']?[\w.-]+["']?:(?: |$))/.test(line))
      )
        return `${' '.repeat(indent)}${MASK}`;
      // An empty line belongs to it.
      if (line.trim() !== '') block = undefined;
      const [begin, value] = secretSetting(line) ?? [0];
      if (value === undefined) return line;
      const isText = /^[|>][-+\d]{0,2}[ \t]*(?:#|$)/.test(value);
      if (isText || value === '') block = { indent, isText };
      return value === '' || isText ? line : line.slice(0, begin) + MASK;
    })
    .join('\n');
}

/** Where the value begins, and the value. */
function secretSetting(line: string): readonly [number, string] | undefined {
  const colon = line.indexOf(':');
  const name = line
    .slice(0, colon)
    .replace(/^[ \t-]+/, '')
    .trimEnd();
  if (colon === -1 || !/^[\w.-]+$/.test(name) || !SECRET_NAME.test(name)) return undefined;
  const value = line.slice(colon + 1).trim();
  return [line.indexOf(value, colon + 1), value.startsWith('#') ? '' : value];
}

const SECRET_NAME = /secret|password|passphrase|token/i;
