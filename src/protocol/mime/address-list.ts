/**
 * Address lists as they decide who a message is from and whom it goes to (RFC 5322 §3.4). Where readers disagree about a text it
 * is refused, so that nobody sees another address than the one that was checked. In linear time. No I/O.
 */

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

/** @param text a field's value, unfolded */
export function readAddressList(text: string): AddressList {
  const addresses: ListedAddress[] = [];
  let grouped = false;
  let open = false;
  try {
    let tokens: Token[] = [];
    const flush = (): void => {
      const one = addressOf(tokens);
      if (one) addresses.push(one);
      tokens = [];
    };
    for (const token of tokensOf(text)) {
      if (typeof token !== 'string') tokens.push(token);
      else if (token === ':') {
        if (open || tokens.some(({ kind }) => kind === 'angle')) throw new Wrong('a colon in the wrong place');
        tokens = [];
        grouped = open = true;
      } else if (token === ';') {
        flush();
        open = false;
      } else flush();
    }
    flush();
    return { addresses, grouped, problem: open ? 'a group without its end (;)' : undefined };
  } catch (error) {
    if (error instanceof Wrong) return { addresses: [], grouped, problem: error.message };
    throw error;
  }
}

/** An address as a header field shows it. */
export function formatAddress({ name, address }: Pick<ListedAddress, 'name' | 'address'>): string {
  if (name === '') return address;
  const words = ATOMS.test(name) ? name : `"${name.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
  return `${words} <${address}>`;
}
const ATOMS = /^[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*$/;

const SPACE = new Set([' ', '\t', '\r', '\n']);
const ENDS_WORD = new Set([' ', '\t', '\r', '\n', '"', '(', ')', '<', '>', ',', ';', ':', '[', ']', '\\']);

function* tokensOf(text: string): Generator<Token | ',' | ';' | ':'> {
  let apart = false;
  for (let at = 0; at < text.length;) {
    const char = text[at]!;
    if (SPACE.has(char)) {
      apart = true;
      at += 1;
      continue;
    }
    if (char === ',' || char === ';' || char === ':') {
      yield char;
      apart = false;
      at += 1;
      continue;
    }
    const from = at;
    let token: Omit<Token, 'raw' | 'apart'>;
    if (char === '"') {
      const end = quotedEnd(text, at);
      token = { kind: 'quoted', text: text.slice(at + 1, end).replaceAll(/\\([^])/g, '$1') };
      at = end + 1;
    } else if (char === '(') {
      const end = commentEnd(text, at);
      token = { kind: 'comment', text: text.slice(at + 1, end).replaceAll(/\\([^])/g, '$1') };
      at = end + 1;
    } else if (char === '<') {
      const end = angleEnd(text, at);
      token = { kind: 'angle', text: text.slice(at + 1, end) };
      at = end + 1;
    } else if (char === '[') {
      const end = text.indexOf(']', at);
      if (end === -1) throw new Wrong('a [ without its ]');
      token = { kind: 'word', text: text.slice(at, end + 1) };
      at = end + 1;
    } else if (ENDS_WORD.has(char)) throw new Wrong(`a ${char} in the wrong place`);
    else {
      while (at < text.length && !ENDS_WORD.has(text[at]!)) at += 1;
      token = { kind: 'word', text: text.slice(from, at) };
    }
    yield { ...token, raw: text.slice(from, at), apart };
    apart = token.kind === 'comment';
  }
}

function quotedEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  throw new Wrong('a quotation mark without its end');
}

function commentEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '(') depth += 1;
    else if (text[at] === ')' && (depth -= 1) === 0) return at;
  }
  throw new Wrong('a comment without its end');
}

function angleEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const char = text[at];
    if (char === '>') return at;
    if (char === '"') at = quotedEnd(text, at);
    else if (char === '(') at = commentEnd(text, at);
    else if (char === '<') break;
  }
  throw new Wrong('a < without its >');
}

/** @throws Wrong */
function addressOf(tokens: readonly Token[]): ListedAddress | undefined {
  const comments = tokens.filter(({ kind }) => kind === 'comment');
  const parts = tokens.filter(({ kind }) => kind !== 'comment');
  if (parts.length === 0) return undefined;
  const angles = parts.filter(({ kind }) => kind === 'angle');
  const comment = comments.map(({ text }) => text).join(' ');
  if (angles.length === 0) return { name: comment, ...specOf(parts) };
  const last = parts.at(-1)!;
  if (angles.length > 1 || last.kind !== 'angle') throw new Wrong('something behind the address of a name');
  const inside = [...tokensOf(last.text)];
  if (inside.some((token) => typeof token === 'string')) throw new Wrong('more than one address between < and >');
  const spec = (inside as Token[]).filter(({ kind }) => kind !== 'comment');
  const found = spec.length === 0 ? { address: '', isLocal: false } : specOf(spec);
  const phrase = parts.slice(0, -1);
  // `ceo@x <alice@x>` is no phrase, and readers show the one or the other: only the same address twice is harmless.
  for (const { kind, text } of phrase)
    if (kind === 'word' && text.includes('@') && text.toLowerCase() !== found.address.toLowerCase())
      throw new Wrong(`${text.slice(0, 80)} outside of quotation marks beside <${found.address.slice(0, 80)}>`);
  return { name: phrase.map(({ text }) => text).join(' ') || comment, ...found };
}

/** `local@domain` with spaces and comments between its parts taken out (RFC 5322 §4.4). @throws Wrong */
function specOf(parts: readonly Token[]): Pick<ListedAddress, 'address' | 'isLocal'> {
  let text = '';
  for (const { kind, raw, apart } of parts) {
    if (kind === 'angle') throw new Wrong('a < in the wrong place');
    if (apart && text !== '' && !/[.@]$/.test(text.slice(-1)) && !/^[.@]/.test(raw))
      throw new Wrong(`two words without a comma between them (${text.slice(0, 40)} ${raw.slice(0, 40)})`);
    text += raw;
  }
  const at = text.lastIndexOf('@');
  const local = at === -1 ? text : text.slice(0, at);
  const domain = at === -1 ? '' : text.slice(at + 1);
  const isQuoted = parts[0]!.kind === 'quoted';
  const isLocalPart = isQuoted ? local === parts[0]!.raw : !/["@]/.test(local);
  if (!isLocalPart || domain.includes('"')) throw new Wrong(`${text.slice(0, 80)} is no address`);
  return { address: text, isLocal: at === -1 };
}
