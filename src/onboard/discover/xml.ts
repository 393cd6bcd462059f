/**
 * As much XML 1.0 as autoconfig files need, read strictly: elements, attributes, text, CDATA, comments, the five predefined
 * entities and character references. No document type: entities of one's own are how XML attacks its readers.
 */
import { discoverError } from './errors.ts';

export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  /** The text of this element itself, trimmed. */
  readonly text: string;
}

const MAX_DEPTH = 32;
const MAX_ELEMENTS = 2000;
const NAME = /[A-Za-z_:][\w:.-]*/y;
const SPACE = /[ \t\r\n]*/y;

/** @throws discover.garbled */
export function readXml(text: string): XmlElement {
  return new Reader(text.replace(/^\ufeff/, '')).document();
}

/** The first child of this name. */
export function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((one) => one.name === name);
}

export function childText(element: XmlElement, name: string): string | undefined {
  const text = child(element, name)?.text;
  return text === undefined || text === '' ? undefined : text;
}

class Reader {
  readonly #text: string;
  #at = 0;
  #elements = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): XmlElement {
    if (this.#sees('<?xml')) this.#skipTo('?>');
    this.#between();
    if (!this.#sees('<')) throw this.#broken('there is no element');
    const root = this.#element(1);
    this.#between();
    if (this.#at < this.#text.length) throw this.#broken('something follows the document');
    return root;
  }

  /** Space, comments and processing instructions around the root. */
  #between(): void {
    for (;;) {
      this.#take(SPACE);
      if (this.#sees('<!--')) this.#skipTo('-->');
      else if (this.#sees('<?')) this.#skipTo('?>');
      else return;
    }
  }

  #element(depth: number): XmlElement {
    if (depth > MAX_DEPTH || ++this.#elements > MAX_ELEMENTS) throw this.#broken('it is too large');
    this.#expect('<');
    const name = this.#name();
    const attributes = this.#attributes();
    if (this.#sees('/>')) {
      this.#at += 2;
      return { name, attributes, children: [], text: '' };
    }
    this.#expect('>');
    const children: XmlElement[] = [];
    let text = '';
    for (;;) {
      if (this.#sees('</')) {
        this.#at += 2;
        if (this.#name() !== name) throw this.#broken(`the end of ${name} is missing`);
        this.#take(SPACE);
        this.#expect('>');
        return { name, attributes, children, text: text.trim() };
      }
      if (this.#sees('<!--')) this.#skipTo('-->');
      else if (this.#sees('<![CDATA[')) {
        const start = this.#at + '<![CDATA['.length;
        this.#skipTo(']]>');
        text += this.#text.slice(start, this.#at - 3);
      } else if (this.#sees('<?')) this.#skipTo('?>');
      else if (this.#sees('<')) children.push(this.#element(depth + 1));
      else text += this.#characters();
    }
  }

  #attributes(): Record<string, string> {
    const found: Record<string, string> = Object.create(null) as Record<string, string>;
    for (;;) {
      const space = this.#take(SPACE);
      if (this.#sees('>') || this.#sees('/>')) return found;
      if (space === '') throw this.#broken('attributes are not apart');
      const name = this.#name();
      this.#take(SPACE);
      this.#expect('=');
      this.#take(SPACE);
      const quote = this.#text[this.#at];
      if (quote !== '"' && quote !== "'") throw this.#broken(`the value of ${name} has no quotes`);
      const end = this.#text.indexOf(quote, this.#at + 1);
      if (end < 0) throw this.#broken(`the value of ${name} has no end`);
      const value = this.#text.slice(this.#at + 1, end);
      if (value.includes('<') || name in found) throw this.#broken(`the attribute ${name} is not well formed`);
      found[name] = this.#resolve(value);
      this.#at = end + 1;
    }
  }

  #characters(): string {
    const end = this.#text.indexOf('<', this.#at);
    if (end < 0) throw this.#broken('it ends in the middle');
    const piece = this.#text.slice(this.#at, end);
    this.#at = end;
    return this.#resolve(piece);
  }

  #resolve(text: string): string {
    return text.replace(/&([^;&<\s]{0,12};?)/g, (whole, reference: string) => {
      const known = ENTITIES[reference];
      if (known !== undefined) return known;
      const number = /^#(?:(\d{1,7})|x([\da-fA-F]{1,6}));$/.exec(reference);
      const code = number ? Number.parseInt(number[1] ?? number[2]!, number[1] === undefined ? 16 : 10) : Number.NaN;
      // XML 1.0 §2.2: no control characters but tab and line ends, no surrogates.
      const allowed =
        code === 9 ||
        code === 10 ||
        code === 13 ||
        (code >= 32 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff));
      if (!allowed) throw this.#broken(`there is no ${whole}`);
      return String.fromCodePoint(code);
    });
  }

  #name(): string {
    const name = this.#take(NAME);
    // `<!DOCTYPE` and `<!ENTITY` end here.
    if (name === '') throw this.#broken('a name was expected; document types are not read');
    return name;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #sees(text: string): boolean {
    return this.#text.startsWith(text, this.#at);
  }

  #expect(text: string): void {
    if (!this.#sees(text)) throw this.#broken(`${text} was expected`);
    this.#at += text.length;
  }

  #skipTo(end: string): void {
    const found = this.#text.indexOf(end, this.#at);
    if (found < 0) throw this.#broken('it ends in the middle');
    this.#at = found + end.length;
  }

  #broken(why: string): Error {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    return discoverError('discover.garbled', `the XML is broken in line ${line}: ${why}`);
  }
}

const ENTITIES: Readonly<Record<string, string>> = Object.assign(Object.create(null) as object, {
  'amp;': '&',
  'lt;': '<',
  'gt;': '>',
  'quot;': '"',
  'apos;': "'",
});
