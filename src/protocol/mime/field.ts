/**
 * Header fields, written: folding (RFC 5322 §2.2.3), words that are not ASCII (RFC 2047), addresses (RFC 5322 §3.4), message ids and
 * parameters (RFC 2045 §5.1, RFC 2231). Each function gives a whole field with its CRLF, or nothing for nothing to say. What is
 * given never begins a line of its own, whatever is in it. In linear time.
 */
import { domainToASCII } from 'node:url';
import { formatAddress } from './address-list.ts';

/** Characters: RFC 5322 §2.1.1 asks for 78, RFC 2047 §2 for 76 where a line has encoded words. */
const LINE = 76;
/** Longer words than this make lines longer than the 998 that RFC 5322 §2.1.1 allows. */
const MAX_WORD = 900;
const ENCODED_WORD = 75;
/** `=?UTF-8?Q?` and `?=`. */
const AROUND = 12;
const ENCODED_SPACE = '\r\n ';

export interface NamedAddress {
  /** Empty: none. */
  readonly name: string;
  readonly address: string;
}

/** Subject, Comments and what else is free text (RFC 5322 §3.6.5). */
export function textField(name: string, text: string): string {
  const line = oneLine(text);
  if (line === '') return '';
  return folded(name, isPlain(line) ? line : encodedWords(line, LINE - name.length - 2));
}

/** From, To and their like. A domain is written in ASCII, as programs without RFC 6532 know it. */
export function addressField(name: string, addresses: readonly NamedAddress[]): string {
  if (addresses.length === 0) return '';
  return folded(name, addresses.map((each) => mailbox(each)).join(', '));
}

/** What separates message ids: white space, what nobody writes, and nothing where one in angle brackets follows another. */
// oxlint-disable-next-line no-control-regex -- they are meant
const BETWEEN_IDS = /[\u0000- \u007f]+|(?<=>)(?=<)/;
/** With both angle brackets or none, and none inside. */
const ID = /^(?:<[!-;=?-~]+>|[!-;=?-~]+)$/;

/**
 * Message ids in a text. One that is not ASCII is none here: it cannot be encoded (RFC 5322 §3.6.4). Nor is one with a stray angle
 * bracket, which readers would take for another id, or for two.
 */
export function idsOf(text: string): { readonly ids: readonly string[]; readonly others: readonly string[] } {
  const all = text.split(BETWEEN_IDS).filter((id) => id !== '');
  const isId = (id: string): boolean => ID.test(id);
  return { ids: all.filter(isId), others: all.filter((id) => !isId(id)) };
}

/** Message-ID, In-Reply-To, References. @param texts with or without angle brackets, one or several in each; see {@link idsOf} */
export function idField(name: string, texts: readonly string[]): string {
  const all = texts.flatMap((text) => idsOf(text).ids);
  return all.length === 0 ? '' : folded(name, all.map((id) => (id.startsWith('<') ? id : `<${id}>`)).join(' '));
}

/** Content-Type and Content-Disposition. @param value with parameters that are written already, if any */
export function parameterField(name: string, value: string, parameters: readonly string[]): string {
  let field = `${name}: ${value.replace(/[^ -~]+/g, '')}`;
  let column = field.length;
  for (const parameter of parameters) {
    const fits = column + parameter.length + 2 < LINE;
    field += (fits ? '; ' : ';\r\n ') + parameter;
    column = (fits ? column + 1 : 0) + parameter.length + 1;
  }
  return `${field}\r\n`;
}

/** A parameter, in several that belong together when it is long or not ASCII (RFC 2231 §3, §4). */
export function parameter(name: string, value: string): readonly string[] {
  const text = oneLine(value);
  if (text.length <= ENCODED_WORD) {
    if (/^[\w!#$&+.^`{|}~-]+$/.test(text)) return [`${name}=${text}`];
    if (/^[ !#-[\]-~]*$/.test(text) && isPlain(text)) return [`${name}="${text}"`];
  }
  const segments: string[] = [];
  let segment = "utf-8''";
  for (const character of text.toWellFormed()) {
    const octets = /[\w!#$&+.^`|~-]/.test(character) ? character : percent(character);
    if (segment.length + octets.length > LINE - name.length - '*00*=;'.length - 1) {
      segments.push(segment);
      segment = '';
    }
    segment += octets;
  }
  segments.push(segment);
  return segments.length === 1 ? [`${name}*=${segment}`] : segments.map((each, n) => `${name}*${n}*=${each}`);
}

/** As `parameter`, for `name`, from which programs without RFC 2231 take what a file is called: they know encoded words there. */
export function nameParameter(name: string, value: string): readonly string[] {
  const written = parameter(name, value);
  if (!written[0]!.startsWith(`${name}*`)) return written;
  const room = LINE - name.length - '="";'.length - 1;
  return [`${name}="${encodedWords(oneLine(value), room, ENCODED_WORD - 2).replaceAll(' ', ENCODED_SPACE)}"`];
}

/** What an address's domain is called in ASCII. */
export function asciiDomain(address: string): string {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  return /[^ -~]/.test(domain) ? domainToASCII(domain) || domain : domain;
}

function mailbox({ name, address }: NamedAddress): string {
  const words = oneLine(name);
  const at = address.lastIndexOf('@') + 1;
  const written = oneLine(address.slice(0, at) + asciiDomain(address));
  // Quoting may double what is in a word.
  const isWritten = words === '' || (isPlain(words) && fitsLines(words, MAX_WORD / 2));
  return formatAddress({ name: isWritten ? words : encodedWords(words), address: written });
}

/** RFC 2047 in UTF-8, each word with whole characters; readable where half of it is. @param first room for the first word */
function encodedWords(text: string, first = ENCODED_WORD, most = ENCODED_WORD): string {
  const whole = text.toWellFormed();
  const literal = whole.match(/[\w!*+/ -]/g)?.length ?? 0;
  const octets = Buffer.byteLength(whole);
  const isQ = 2 * (octets - literal) <= octets;
  const words: string[] = [];
  let word = '';
  let used = 0;
  let room = Math.max(Math.min(first, most), AROUND * 3) - AROUND;
  const end = (): void => {
    words.push(isQ ? `=?UTF-8?Q?${word}?=` : `=?UTF-8?B?${Buffer.from(word).toString('base64')}?=`);
    word = '';
    used = 0;
    room = most - AROUND;
  };
  for (const character of whole) {
    const piece = isQ ? quoted(character) : character;
    const needs = isQ ? piece.length : Buffer.byteLength(character);
    if (used + needs > (isQ ? room : Math.floor(room / 4) * 3)) end();
    word += piece;
    used += needs;
  }
  end();
  return words.join(' ');
}

/** RFC 2047 §4.2 and §5: what is literal here is so in a display name, too. */
function quoted(character: string): string {
  if (character === ' ') return '_';
  return /[A-Za-z0-9!*+/-]/.test(character) ? character : percent(character).replaceAll('%', '=');
}

function percent(character: string): string {
  let text = '';
  for (const octet of Buffer.from(character)) text += `%${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  return text;
}

/** ASCII that comes back as it was: nothing that is taken for encoded, or that folding or reading would change. */
function isPlain(text: string): boolean {
  if (!/^[!-~]+(?:[ \t]+[!-~]+)*$/.test(text) || text.includes('=?')) return false;
  return fitsLines(text, MAX_WORD);
}

/** Whether folding can keep each word, with the space before it, to so many characters. */
function fitsLines(text: string, most: number): boolean {
  return text.length <= most || wordsOf(text).every((word) => word.length <= most);
}

/** Words with the space before each: what may begin a line. */
function wordsOf(text: string): readonly string[] {
  return text.split(/(?<=[^ ])(?= )/);
}

/** Folded before words, never so that a line is empty, and not before the first one unless that is what is asked of it. */
function folded(name: string, value: string): string {
  if (name.length + 2 + value.length <= LINE) return `${name}: ${value}\r\n`;
  let field = `${name}:`;
  let column = field.length;
  for (const word of wordsOf(` ${value}`)) {
    const isFirst = field.length === name.length + 1;
    if (column + word.length > LINE && (!isFirst || word.startsWith(' =?'))) {
      field += '\r\n';
      column = 0;
    }
    field += word;
    column += word.length;
  }
  return `${field}\r\n`;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\0]+/g, ' ');
}
