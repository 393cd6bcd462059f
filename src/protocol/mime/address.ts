/** Address lists of header fields (RFC 5322 §3.4), as ENVELOPE shows them. */
import { MAX_HEADER } from './header-fields.ts';

export type Address =
  | {
      readonly type: 'mailbox';
      readonly name: string | undefined;
      readonly local: string;
      readonly domain: string;
      readonly route?: string;
    }
  | { readonly type: 'group-start'; readonly name: string }
  | { readonly type: 'group-end' };

/** Each matches its opening; the last group is there when it is closed. */
const BRACKETS = {
  '"': { type: 'quoted', pattern: /"((?:\\.|[^"\\])*)(")?/sy },
  '(': { type: 'comment', pattern: /\(((?:\\.|[^()\\])*)(\))?/sy },
  '<': { type: 'route', pattern: /<([^>]*)(>)?/sy },
} as const;
const WORD = /[^\s"(<,:;]+/y;

interface Token {
  readonly type: 'quoted' | 'comment' | 'route' | 'mark' | 'word';
  readonly text: string;
}

/** In linear time: what was once looked for up to the end in vain is not looked for again. */
function* tokens(value: string): Generator<Token> {
  const hopeless = new Set<string>();
  for (let at = 0; at < value.length;) {
    const char = value[at]!;
    if (char === '"' || char === '(' || char === '<') {
      const { type, pattern } = BRACKETS[char];
      pattern.lastIndex = at;
      const found = hopeless.has(char) ? null : pattern.exec(value);
      if (found?.[2] !== undefined) {
        yield { type, text: found[1]! };
        at += found[0].length;
        continue;
      }
      // A lone backslash may be left at the end.
      if (found && at + found[0].length >= value.length - 1) hopeless.add(char);
      at += 1;
    } else if (char === ',' || char === ':' || char === ';') {
      yield { type: 'mark', text: char };
      at += 1;
    } else {
      WORD.lastIndex = at;
      const word = WORD.exec(value)?.[0];
      if (word !== undefined) yield { type: 'word', text: word };
      at += word?.length ?? 1;
    }
  }
}

/**
 * Lenient: what is no address is still shown, with an empty domain. One octet per character in and out. What is longer than a whole
 * header may be is read as far as that.
 */
export function parseAddresses(value: string): Address[] {
  const out: Address[] = [];
  let words: string[] = [];
  let comment: string | undefined;
  let angle: string | undefined;
  let inGroup = false;
  const flush = (): void => {
    const spec = angle ?? words.join('');
    if (spec !== '') {
      const name = angle === undefined ? comment : words.join(' ') || comment;
      const route = /^@[^:]*(?=:)/.exec(spec)?.[0];
      const bare = route === undefined ? spec : spec.slice(route.length + 1);
      const at = bare.lastIndexOf('@');
      const local = at === -1 ? bare : bare.slice(0, at);
      const domain = at === -1 ? '' : bare.slice(at + 1).trim();
      out.push({ type: 'mailbox', name, local: local.trim(), domain, ...(route === undefined ? {} : { route }) });
    }
    words = [];
    comment = angle = undefined;
  };
  for (const { type, text } of tokens(value.length > MAX_HEADER ? value.slice(0, MAX_HEADER) : value)) {
    if (type === 'quoted') words.push(text.replace(/\\(.)/gs, '$1'));
    else if (type === 'comment') comment = text;
    else if (type === 'route') angle = text;
    else if (type === 'word') words.push(text);
    else if (text === ':' && !inGroup) {
      out.push({ type: 'group-start', name: words.join(' ') });
      words = [];
      inGroup = true;
    } else {
      flush();
      if (text === ';' && inGroup) {
        out.push({ type: 'group-end' });
        inGroup = false;
      }
    }
  }
  flush();
  if (inGroup) out.push({ type: 'group-end' });
  return out;
}
