/**
 * Address lists as they decide who a message is from and whom it goes to (RFC 5322 §3.4). Where readers disagree about a text it
 * is refused, so that nobody sees another address than the one that was checked. In linear time. No I/O.
 */
import { MAX_HEADER } from './header-fields.ts';

export interface ListedAddress {
  /** Display name, or the comment that stands for one; empty where there is none. */
  readonly name: string;
  /** `local@domain`; a name without a domain as it stands; empty for `<>`. */
  readonly address: string;
  /** It has no domain: `root`. */
  readonly isLocal: boolean;
}

export interface AddressList {
  readonly addresses: readonly ListedAddress[];
  /** Some of it is in a group (`undisclosed-recipients:;`). */
  readonly grouped: boolean;
  /** What is wrong with the text; the addresses do not count then. */
  readonly problem: string | undefined;
}

/**
 * Octets of a header's own bound, and as many characters of a list at most: with a thousand addresses a list has 40 KiB. What is
 * read at once may not hold up others.
 */
const MAX_LIST = MAX_HEADER;

// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/;

interface Token {
  readonly kind: 'word' | 'quoted' | 'comment' | 'angle';
  /** Without quotes, brackets and escapes. */
  readonly text: string;
  /** As it stood. */
  readonly raw: string;
  /** Space or a comment stood before it. */
  readonly apart: boolean;
}

class Wrong extends Error {}

/** @param text a field's value, unfolded; of more characters than a whole header may have it is refused */
export function readAddressList(text: string): AddressList {
  if (text.length > MAX_LIST) return { addresses: [], grouped: false, problem: `more than ${MAX_LIST} characters` };
  // Some readers leave them out, and so put together what they hold apart.
  if (CONTROL.test(text)) return { addresses: [], grouped: false, problem: 'a control character' };
  const addresses: ListedAddress[] = [];
  let grouped = false;
  let open = false;
  try {
    let tokens: Token[] = [];
    let closed = false;
    const flush = (): void => {
      const one = addressOf(tokens);
      if (one) addresses.push(one);
      tokens = [];
    };
    for (const token of tokensOf(text)) {
      if (closed && token !== ',') throw new Wrong('something behind the end of a group (;)');
      closed = false;
      if (typeof token !== 'string') tokens.push(token);
      else if (token === ':') {
        if (open || !isPhrase(tokens)) throw new Wrong('a colon in the wrong place');
        tokens = [];
        grouped = open = true;
      } else if (token === ';') {
        // Some readers take it for a comma, others for the end of the field.
        if (!open) throw new Wrong('a semicolon outside of a group');
        flush();
        open = false;
        closed = true;
      } else flush();
    }
    flush();
    return { addresses, grouped, problem: open ? 'a group without its end (;)' : undefined };
  } catch (error) {
    if (error instanceof Wrong) return { addresses: [], grouped, problem: error.message };
    throw error;
  }
}

/** An address as a header field shows it; what {@link readAddressList} reads again. */
export function formatAddress({ name, address }: Pick<ListedAddress, 'name' | 'address'>): string {
  if (name === '') return address.startsWith('"') ? `<${address}>` : address;
  const words = ATOMS.test(name) ? name : `"${name.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
  return `${words} <${address}>`;
}
const ATOMS = /^[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*$/;

/** What a character below 128 does outside of quotes and brackets; all others are parts of words. */
const IN_WORD = 0;
const SPACE = 1;
const MARK = 2;
const OTHER = 3;
const DOES = new Uint8Array(128);
for (const char of ' \t\r\n') DOES[char.charCodeAt(0)] = SPACE;
for (const char of ',;:') DOES[char.charCodeAt(0)] = MARK;
for (const char of '"()<>[]\\') DOES[char.charCodeAt(0)] = OTHER;
const does = (code: number): number => (code < 128 ? DOES[code]! : IN_WORD);

/** @throws Wrong, once what is wrong is reached */
function* tokensOf(text: string): Generator<Token | ',' | ';' | ':'> {
  let apart = false;
  for (let at = 0; at < text.length;) {
    const from = at;
    const kind = does(text.charCodeAt(at));
    if (kind === SPACE) {
      apart = true;
      at += 1;
    } else if (kind === MARK) {
      yield text[at] as ',' | ';' | ':';
      apart = false;
      at += 1;
    } else if (kind === IN_WORD) {
      do at += 1;
      while (at < text.length && does(text.charCodeAt(at)) === IN_WORD);
      const word = text.slice(from, at);
      yield { kind: 'word', text: word, raw: word, apart };
      apart = false;
    } else {
      const { end, ...token } = enclosed(text, from);
      at = end + 1;
      yield { ...token, raw: text.slice(from, at), apart };
      apart = token.kind === 'comment';
    }
  }
}

/** What a quote or bracket at `from` begins; its last character is at `end`. @throws Wrong */
function enclosed(text: string, from: number): Pick<Token, 'kind' | 'text'> & { readonly end: number } {
  switch (text[from]) {
    case '"': {
      const end = quotedEnd(text, from);
      return { kind: 'quoted', text: unescaped(text.slice(from + 1, end)), end };
    }
    case '(': {
      const end = commentEnd(text, from);
      return { kind: 'comment', text: text.slice(from + 1, end), end };
    }
    case '<': {
      const end = angleEnd(text, from);
      return { kind: 'angle', text: text.slice(from + 1, end), end };
    }
    case '[': {
      const end = text.indexOf(']', from);
      if (end === -1) throw new Wrong('a [ without its ]');
      if (UNCLEAR_IN_BRACKETS.test(text.slice(from + 1, end)))
        throw new Wrong('a sign between [ and ] that needs quotation marks');
      return { kind: 'word', text: text.slice(from, end + 1), end };
    }
    default:
      throw new Wrong(`a ${text[from]} in the wrong place`);
  }
}

/** A domain literal has none of them but colons; readers that know of no such brackets end a name or an address there. */
const UNCLEAR_IN_BRACKETS = /[\s"(),;<>@[\\]/;

const unescaped = (text: string): string => (text.includes('\\') ? text.replaceAll(/\\([^])/g, '$1') : text);

const QUOTE = 0x22;
const LESS = 0x3c;
const GREATER = 0x3e;
const BACKSLASH = 0x5c;

function quotedEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at += 1;
    else if (code === QUOTE) return at;
  }
  throw new Wrong('a quotation mark without its end');
}

/** Only what every reader ends at the same place, and none looks for addresses in. @throws Wrong */
function commentEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const char = text[at]!;
    if (char === ')') return at;
    if (UNCLEAR_IN_COMMENT.includes(char)) throw new Wrong(`a ${char} in a comment`);
  }
  throw new Wrong('a comment without its end');
}
const UNCLEAR_IN_COMMENT = '\\("<>@';

function angleEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === GREATER) return at;
    if (code === QUOTE) {
      const end = quotedEnd(text, at);
      if (/[<>\\]/.test(text.slice(at, end))) throw new Wrong('a quoted name with < > or \\ between < and >');
      at = end;
    } else if (code === LESS) break;
  }
  throw new Wrong('a < without its >');
}

/** What may stand before a colon or an address in brackets. */
function isPhrase(tokens: readonly Token[]): boolean {
  return tokens.every(({ kind, text }) => kind === 'quoted' || (kind === 'word' && !text.includes('@')));
}

/** @throws Wrong */
function addressOf(tokens: readonly Token[]): ListedAddress | undefined {
  if (tokens.length === 0) return undefined;
  const first = tokens.findIndex(({ kind }) => kind !== 'comment');
  // Some readers see nobody there, others a name.
  if (first === -1) throw new Wrong('a comment where an address should be');
  const last = tokens.findLastIndex(({ kind }) => kind !== 'comment');
  const parts = tokens.slice(first, last + 1);
  if (parts.some(({ kind }) => kind === 'comment')) throw new Wrong('a comment inside an address or its name');
  const comment = tokens.flatMap(({ kind, text }) => (kind === 'comment' ? [text] : [])).join(' ');
  const angles = parts.filter(({ kind }) => kind === 'angle');
  if (angles.length === 0) {
    if (parts.some(({ kind }) => kind === 'quoted')) throw new Wrong('a quoted name without an address in < >');
    return { name: comment, ...specOf(parts) };
  }
  const angle = parts.at(-1)!;
  if (angles.length > 1 || angle.kind !== 'angle') throw new Wrong('something behind the address of a name');
  const spec = [...tokensOf(angle.text)];
  if (spec.some((token) => typeof token === 'string')) throw new Wrong('more than one address between < and >');
  const found = spec.length === 0 ? { address: '', isLocal: false } : specOf(spec as Token[]);
  const phrase = parts.slice(0, -1);
  checkPhrase(phrase, found.address);
  return { name: phrase.map(({ text }) => text).join(' ') || comment, ...found };
}

/** @throws Wrong where some readers find another address in a display name, or none at all */
function checkPhrase(phrase: readonly Token[], address: string): void {
  for (const { kind, text } of phrase) {
    if (kind !== 'word' || !text.includes('@')) continue;
    // `ceo@x <alice@x>` is no phrase, and readers show the one or the other: only the same address twice is harmless.
    if (phrase.length === 1 && text.toLowerCase() === address.toLowerCase()) continue;
    throw new Wrong(`${text.slice(0, 80)} outside of quotation marks beside <${address.slice(0, 80)}>`);
  }
  // A bracket makes some readers give up on the name, and go on with what the encoded word says.
  if (phrase.some(({ raw }) => raw.startsWith('[')) && phrase.some(({ raw }) => raw.includes('=?')))
    throw new Wrong('an encoded word beside a [ in a name');
}

/** `local@domain`, without the spaces and comments between its parts that RFC 5322 §4.4 has for history. @throws Wrong */
function specOf(parts: readonly Token[]): Pick<ListedAddress, 'address' | 'isLocal'> {
  let before = '';
  for (const [index, { kind, raw, apart }] of parts.entries()) {
    if (kind === 'angle' || kind === 'comment') throw new Wrong(`a ${raw[0]} in the wrong place`);
    if (apart && index > 0)
      throw new Wrong(`two words without a comma between them (${before.slice(0, 40)} ${raw.slice(0, 40)})`);
    before = raw;
  }
  const text = parts.map(({ raw }) => raw).join('');
  if (/\p{Cf}|(?! )\p{Z}/u.test(text)) throw new Wrong('a space or an invisible character in an address');
  // Some readers decode it, and look for an address in what comes out.
  if (text.includes('=?')) throw new Wrong('an encoded word in place of an address');
  const at = text.lastIndexOf('@');
  const local = at === -1 ? text : text.slice(0, at);
  const domain = at === -1 ? '' : text.slice(at + 1);
  const isQuoted = parts[0]!.kind === 'quoted';
  const isLocalPart = isQuoted ? local === parts[0]!.raw : !/["@[\]]/.test(local);
  if (!isLocalPart || !/^(?:[^"[\]]*|\[[^"[\]]+\])$/.test(domain))
    throw new Wrong(`${text.slice(0, 80)} is no address`);
  return { address: text, isLocal: at === -1 };
}
