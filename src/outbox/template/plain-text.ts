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
 * alternative text. Not a renderer; whoever wants a particular text part writes it.
 */
export function plainTextOf(html: string): string {
  const page = new Page();
  let link: { readonly href: string; readonly from: number } | undefined;
  for (const token of tokens(html)) {
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
    } else if (name === 'img') page.say(attribute(attributes, 'alt') ?? '');
    else if (name === 'a' && !isEnd) link = { href: attribute(attributes, 'href') ?? '', from: page.length };
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

/** Linear in the length of the text: what is never closed ends it. */
function* tokens(html: string): Generator<Token> {
  let from = 0;
  for (let at = html.indexOf('<'); at >= 0; at = html.indexOf('<', at + 1)) {
    const name = /^<\/?([a-z][a-z0-9]*)/i.exec(html.slice(at, at + 24))?.[1]?.toLowerCase();
    const isComment = html.startsWith('<!', at);
    if (name === undefined && !isComment) continue;
    yield { type: 'text', text: html.slice(from, at) };
    const isEnd = html[at + 1] === '/';
    let end = isComment ? commentEnd(html, at) : tagEnd(html, at);
    if (name !== undefined) {
      yield { type: 'tag', name, isEnd, attributes: html.slice(at + name.length + (isEnd ? 2 : 1), end - 1) };
      if (!isEnd && HIDDEN.has(name)) end = hiddenEnd(html, end, name);
    }
    from = end;
    at = end - 1;
  }
  yield { type: 'text', text: html.slice(from) };
}

const orEnd = (index: number, html: string, after: number): number => (index < 0 ? html.length : index + after);

function commentEnd(html: string, at: number): number {
  return html.startsWith('<!--', at)
    ? orEnd(html.indexOf('-->', at + 4), html, 3)
    : orEnd(html.indexOf('>', at), html, 1);
}

function tagEnd(html: string, at: number): number {
  let quote = '';
  for (let index = at; index < html.length; index++) {
    const character = html[index]!;
    if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === '"' || character === "'") quote = character;
    else if (character === '>') return index + 1;
  }
  return html.length;
}

function hiddenEnd(html: string, from: number, name: string): number {
  const close = new RegExp(`</${name}\\b`, 'gi');
  close.lastIndex = from;
  const found = close.exec(html);
  return found === null ? html.length : tagEnd(html, found.index);
}

function attribute(text: string, name: string): string | undefined {
  const match = new RegExp(`(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s"'>]+))`, 'i').exec(text);
  const value = match?.[1] ?? match?.[2] ?? match?.[3];
  return value === undefined ? undefined : entities(value).trim();
}

function entities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal, hex, name) => {
    if (typeof name === 'string') return ENTITIES[name.toLowerCase()] ?? whole;
    const code = typeof decimal === 'string' ? Number(decimal) : Number.parseInt(String(hex), 16);
    const isText = code >= 0x20 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    return isText ? String.fromCodePoint(code) : ' ';
  });
}
