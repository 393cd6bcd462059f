/** The text part of a message that was written as HTML only. */

/** What is neither shown nor read out. */
const HIDDEN = new Set(['style', 'script', 'head', 'title', 'template']);
const BLOCKS = new Set(
  'address article aside blockquote div dl fieldset footer form h1 h2 h3 h4 h5 h6 header main nav ol p pre section table ul'.split(
    ' ',
  ),
);
const LINES = new Set(['tr', 'li', 'dt', 'dd', 'caption']);
const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
  copy: '©',
  reg: '®',
  trade: '™',
  hellip: '…',
  ndash: '–',
  mdash: '—',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  laquo: '«',
  raquo: '»',
  bull: '•',
  middot: '·',
  euro: '€',
  times: '×',
};

/**
 * Reads HTML as a text browser would: blocks become paragraphs, items get a dash, links keep their address, images their
 * alternative text. Not a renderer; whoever wants a particular text part writes it. Yields where it may pause.
 */
export function* readAsText(html: string): Generator<undefined, string> {
  const page = new Page();
  let count = 0;
  let link: { readonly href: string; readonly from: number } | undefined;
  for (const token of tokens(html)) {
    if (++count % TOKENS_A_PAUSE === 0) yield;
    if (token.type === 'text') {
      page.say(token.text);
      continue;
    }
    const { name, isEnd, attributes } = token;
    if (name === 'br') page.end(1, true);
    else if (name === 'hr') {
      page.end(2);
      page.say('----');
      page.end(2);
    } else if (name === 'img') page.say(attribute(attributes, ALT) ?? '');
    else if (name === 'a' && !isEnd) link = { href: attribute(attributes, HREF) ?? '', from: page.length };
    else if (name === 'a' && link) {
      const words = page.since(link.from).trim();
      const isShown = link.href.endsWith(words) && words !== '';
      if (/^(?:https?|mailto|tel):/i.test(link.href) && !isShown)
        page.say(words === '' ? link.href : ` (${link.href})`);
      link = undefined;
    } else if (name === 'td' || name === 'th') {
      if (isEnd) page.say(' ');
    } else if (LINES.has(name)) {
      page.end(1);
      if (name === 'li' && !isEnd) page.say('- ');
    } else if (BLOCKS.has(name)) page.end(2);
  }
  return page.text();
}

/** Some hundred microseconds. */
const TOKENS_A_PAUSE = 500;

/** Lines as they fill; only the last one changes. */
class Page {
  readonly #lines: string[] = [];
  #line: string[] = [];
  #begun = false;
  length = 0;

  say(words: string): void {
    let plain = entities(words).replace(/[ \t\r\n\f]+/g, ' ');
    if (!this.#begun) plain = plain.replace(/^ +/, '');
    if (plain === '') return;
    this.#begun = true;
    this.length += 1;
    this.#line.push(plain);
  }

  /** Ends the line that was begun; 2 leaves a line free. `always`: also one without words. */
  end(lines: 1 | 2, always = false): void {
    if (this.#begun || always) this.#lines.push(this.#line.join('').trimEnd());
    this.#line = [];
    this.#begun = false;
    if (lines === 2 && this.#lines.length > 0 && this.#lines.at(-1) !== '') this.#lines.push('');
  }

  /** What was said on this line since {@link length} was `from`. */
  since(from: number): string {
    const pieces = this.length - from;
    return pieces === 0 ? '' : this.#line.slice(-pieces).join('');
  }

  text(): string {
    this.end(1);
    return `${this.#lines.join('\n').replaceAll('\u00a0', ' ').trim()}\n`;
  }
}

type Token =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tag'; readonly name: string; readonly isEnd: boolean; readonly attributes: string };

/** The longest name that is looked at; no element that means something here has a longer one. */
const MAX_NAME = 22;

/** Linear in the length of the text: what is never closed ends it. */
function* tokens(html: string): Generator<Token> {
  let from = 0;
  for (let at = html.indexOf('<'); at >= 0; at = html.indexOf('<', at + 1)) {
    const isEnd = html.charCodeAt(at + 1) === SLASH;
    const begin = isEnd ? at + 2 : at + 1;
    const length = nameLength(html, begin);
    const isComment = html.charCodeAt(at + 1) === EXCLAMATION;
    if (length === 0 && !isComment) continue;
    if (from < at) yield { type: 'text', text: html.slice(from, at) };
    let end = isComment ? commentEnd(html, at) : tagEnd(html, at);
    if (length > 0) {
      const name = html.slice(begin, begin + length).toLowerCase();
      yield { type: 'tag', name, isEnd, attributes: html.slice(begin + length, end - 1) };
      if (!isEnd && HIDDEN.has(name)) end = hiddenEnd(html, end, name);
    }
    from = end;
    at = end - 1;
  }
  yield { type: 'text', text: html.slice(from) };
}

const EXCLAMATION = 0x21;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const SLASH = 0x2f;
const GREATER = 0x3e;

/** A letter, then letters and digits; 0 where there is no name. */
function nameLength(html: string, begin: number): number {
  let at = begin;
  for (; at < begin + MAX_NAME; at++) {
    const code = html.charCodeAt(at);
    const lower = code | 0x20;
    const isLetter = lower >= 0x61 && lower <= 0x7a && code < 0x80;
    if (!isLetter && (at === begin || !(code >= 0x30 && code <= 0x39))) break;
  }
  return at - begin;
}

const orEnd = (index: number, html: string, after: number): number => (index < 0 ? html.length : index + after);

function commentEnd(html: string, at: number): number {
  return html.startsWith('<!--', at)
    ? orEnd(html.indexOf('-->', at + 4), html, 3)
    : orEnd(html.indexOf('>', at), html, 1);
}

function tagEnd(html: string, at: number): number {
  let quote = 0;
  for (let index = at; index < html.length; index++) {
    const code = html.charCodeAt(index);
    if (quote !== 0) quote = code === quote ? 0 : quote;
    else if (code === DOUBLE_QUOTE || code === SINGLE_QUOTE) quote = code;
    else if (code === GREATER) return index + 1;
  }
  return html.length;
}

function hiddenEnd(html: string, from: number, name: string): number {
  const close = new RegExp(`</${name}\\b`, 'gi');
  close.lastIndex = from;
  const found = close.exec(html);
  return found === null ? html.length : tagEnd(html, found.index);
}

const ALT = /(?:^|\s)alt\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/i;
const HREF = /(?:^|\s)href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/i;

function attribute(text: string, pattern: RegExp): string | undefined {
  const match = text.includes('=') ? pattern.exec(text) : null;
  const value = match?.[1] ?? match?.[2] ?? match?.[3];
  return value === undefined ? undefined : entities(value).trim();
}

function entities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal, hex, name) => {
    if (typeof name === 'string') return ENTITIES[name.toLowerCase()] ?? whole;
    const code = typeof decimal === 'string' ? Number(decimal) : Number.parseInt(String(hex), 16);
    const isText = code >= 0x20 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return isText ? String.fromCodePoint(code) : ' ';
  });
}
