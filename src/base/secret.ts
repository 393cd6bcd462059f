/** Values that must not be seen: tokens, passwords, client secrets, keys. */
import { inspect } from 'node:util';

/**
 * A secret text. Prints, logs and serialises as `[secret]`; the only way out is {@link Secret.reveal}, easy to grep.
 * Every live secret is known to {@link scrub}, so that a value quoted by somebody else's error is caught as well; one that a
 * stranger offers only once it has proved right.
 */
export class Secret {
  readonly #value: string;
  /** {@link scrub} looks for it. */
  #known = false;

  constructor(value: string, known = true) {
    this.#value = value;
    if (known) this.prove();
  }

  /**
   * What somebody gives who has not signed in. It prints as `[secret]` like any other, but {@link scrub} does not know it: else
   * anybody could choose which words disappear from the log, by trying them as passwords.
   */
  static offered(value: string): Secret {
    return new Secret(value, false);
  }

  /** It is a secret of this installation, so {@link scrub} looks for it from now on. */
  prove(): void {
    if (this.#known) return;
    this.#known = true;
    if (this.#value.length >= SCRUB_FROM) remember(this, this.#value);
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

/**
 * Masks secrets in a text meant for people or logs: every live {@link Secret} by value (as it is, percent-encoded and in
 * SASL base64), and anything that has the shape of a token even when nobody told us. Linear in the length of the text.
 */
export function scrub(text: string): string {
  if (text.length < SCRUB_FROM) return text;
  return maskShapes(maskKnown(text));
}

/**
 * The same for a finished line of JSON. Names of facts stay, and so does what names a thing or a peer: `remoteAddress`, ids and
 * mail addresses. Other programs read the log by them, and a secret that happens to look like one must not take them away.
 */
export function scrubJson(line: string): string {
  if (line.length < SCRUB_FROM) return line;
  return maskShapes(maskKnown(line, isNamingInJson));
}

/**
 * Whether a fact of this name tells only which thing or peer is meant, so that its text is never quoted from somewhere. What should
 * be a mail address may be a password that somebody typed in its place, so it has to look like one.
 */
export function isNaming(name: string, text: string): boolean {
  return IDENTIFIERS.has(name) || (ADDRESSES.has(name) && text.includes('@'));
}

function isNamingInJson(line: string, from: number, to: number): boolean {
  if (line[from - 1] !== '"' || line[from - 2] === '\\' || line[to] !== '"') return false;
  if (line[to + 1] === ':') return true;
  const name = /"(\w{1,30})":"$/.exec(line.slice(Math.max(0, from - LONGEST_NAME), from))?.[1];
  return name !== undefined && isNaming(name, line.slice(from, to));
}

function maskShapes(known: string): string {
  // Hardly any line has the shape of one; looking once for how they begin takes a third of looking for each.
  if (!SHAPE.test(known)) return known;
  return maskTokens(known).replace(BEARER, `$1${MASK}`).replace(SASL, MASK).replace(FIELD, `$1${MASK}`);
}

/** Names of facts in the log and the audit log whose texts are made here. */
const IDENTIFIERS: ReadonlySet<string> = new Set([
  'apiKeyId',
  'appPasswordId',
  'applicationId',
  'grantId',
  'id',
  'messageId',
  'remoteAddress',
  'requestId',
  'sessionId',
  'time',
]);
const ADDRESSES: ReadonlySet<string> = new Set(['address', 'from', 'mailbox', 'to', 'user']);
/** Of the name of a fact, with its quotes and colon. */
const LONGEST_NAME = 34;

const MASK = '[secret]';
/** Shorter values are no secrets of ours (an app password has 26 characters) and masking them would garble ordinary text. */
const SCRUB_FROM = 8;
/** Secrets are looked up word by word: what lies between these separators. */
const SEPARATOR = /[\s"'`<>&=,;(){}[\]\\\u0001]/;
/** The same for ASCII: every log line and every audited text is looked at octet by octet. */
const SEPARATES: readonly boolean[] = Array.from({ length: 128 }, (_, code) =>
  SEPARATOR.test(String.fromCharCode(code)),
);
/** What one of the next four begins with, or has in it. */
const SHAPE = /eyJ|dXNlcj|bix|bearer|token|secret|assertion|code|key|passw|passp/i;
/** The characters of a JWT; the shortest one has its first part of 11, a stop, and a second part of 8. */
const JWT_RUN = /[\w.-]{20,}/g;
const BEARER = /(bearer\s+)[\w\-.~+/=]{8,}/gi;
/** Base64 of `user=`…, `n,a=`…: XOAUTH2 and OAUTHBEARER initial responses. */
const SASL = /\b(?:dXNlcj|bixhP|bix1c2Vy)[\w+/=]{12,}/g;
const FIELD =
  /((?:access_?token|refresh_?token|id_?token|client_?secret|client_?assertion|device_?code|code_?verifier|private_?key|password|passphrase)\\*["']?\s*[=:]\s*\\*["']?)[^\s"'\\&,;}]{4,}/gi;

/** JWTs and JWEs: `ey…` and at least one more part (RFC 7519 §3, RFC 7516 §3); what is joined to them by stops is masked as well. */
function maskTokens(text: string): string {
  return text.replace(JWT_RUN, (run) => {
    const parts = run.split('.');
    let at = 0;
    for (const [n, part] of parts.entries()) {
      const start = part.search(/\beyJ/);
      if (start >= 0 && part.length - start >= 11 && (parts[n + 1]?.length ?? 0) >= 8)
        return run.slice(0, at + start) + MASK;
      at += part.length + 1;
    }
    return run;
  });
}

/** How many live Secret objects hold each value: the same token is often wrapped more than once. */
const live = new Map<string, number>();
/** How many of those values have each length: most words are told by theirs. */
const lengths = new Map<number, number>();
const registry = new FinalizationRegistry<readonly string[]>((forms) => {
  for (const form of forms) if (count(live, form, -1) === 0) count(lengths, form.length, -1);
});

function remember(secret: Secret, value: string): void {
  const forms = [...new Set([value, encodeURIComponent(value)])];
  for (const form of forms) if (count(live, form, 1) === 1) count(lengths, form.length, 1);
  registry.register(secret, forms);
}

function count<Key>(counts: Map<Key, number>, key: Key, more: 1 | -1): number {
  const now = (counts.get(key) ?? 0) + more;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
  return now;
}

/** @param isKept whether a word, from and to, stays although it is a secret's value */
function maskKnown(text: string, isKept?: (text: string, from: number, to: number) => boolean): string {
  let masked = '';
  let from = 0;
  for (let start = 0; start < text.length; start++) {
    let end = start;
    let last = 0;
    let divided = false;
    for (; end < text.length; end++) {
      const code = text.charCodeAt(end);
      if (code < 128 ? SEPARATES[code] : SEPARATOR.test(text[end]!)) break;
      divided ||= code === COLON || code === BAR;
      last = code;
    }
    if (end - start >= SCRUB_FROM && (divided || STOPS.has(last) || lengths.has(end - start))) {
      const word = text.slice(start, end);
      const shown = maskWord(word);
      if (shown !== word && isKept?.(text, start, end) !== true) {
        masked += text.slice(from, start) + shown;
        from = end;
      }
    }
    start = end;
  }
  return from === 0 ? text : masked + text.slice(from);
}

const COLON = 0x3a;
const BAR = 0x7c;
/** `.`, `!`, `?` */
const STOPS: ReadonlySet<number> = new Set([0x2e, 0x21, 0x3f]);

/** A word may carry a prefix or a full stop around the secret: “token:ey…”, “ey….”. */
function maskWord(word: string): string {
  if (live.has(word)) return MASK;
  const start = PREFIX.exec(word)?.[0].length ?? 0;
  let end = word.length;
  while (end > start && (STOPS.has(word.charCodeAt(end - 1)) || word.charCodeAt(end - 1) === COLON)) end -= 1;
  return live.has(word.slice(start, end)) ? word.slice(0, start) + MASK + word.slice(end) : word;
}

const PREFIX = /^[\w-]{0,24}[:|]/;
