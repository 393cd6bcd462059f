/** The header of a message as it comes in: where it ends, and its fields with their lines (RFC 5322 §2.2). No I/O. */

/** Octets. Exchange refuses headers above 256 KiB; nobody writes one by hand. */
export const MAX_HEADER = 256 * 1024;

const CR = 13;
const LF = 10;

/**
 * Where the header ends: the octets up to and including the empty line, or undefined while it has not come yet. A message
 * may begin with the empty line. @param from where to begin to look, for octets that were looked at before
 */
export function headerEnd(octets: Buffer, from = 0): number | undefined {
  if (octets.length >= 2 && octets[0] === CR && octets[1] === LF) return 2;
  const end = octets.indexOf('\r\n\r\n', Math.max(0, from - 3));
  return end === -1 ? undefined : end + 4;
}

/** Gathers the octets of a header from pieces of any size, each looked at once. */
export class HeaderReader {
  #octets: Buffer = Buffer.alloc(0);
  #length = 0;

  /** What has come so far, the beginning of the text with it. */
  get octets(): Buffer {
    return this.#octets.subarray(0, this.#length);
  }

  /** Octets of memory it has taken. */
  get memory(): number {
    return this.#octets.length;
  }

  /** More than a header may have came without its end. */
  get endless(): boolean {
    return this.#length > MAX_HEADER;
  }

  /** @returns where the header ends, once it does within {@link MAX_HEADER}, however the pieces are cut */
  add(piece: Uint8Array): number | undefined {
    const before = this.#length;
    const length = before + piece.length;
    if (length > this.#octets.length) {
      // By halves, so that a header that comes octet by octet is not copied with each.
      const larger = before === 0 ? Buffer.from(piece) : Buffer.allocUnsafe(Math.max(length, 2 * before));
      if (before > 0) {
        larger.set(this.octets);
        larger.set(piece, before);
      }
      this.#octets = larger;
    } else this.#octets.set(piece, before);
    this.#length = length;
    const end = headerEnd(this.octets, before);
    return end !== undefined && end > MAX_HEADER ? undefined : end;
  }
}

export interface Field {
  /** In lower case. */
  readonly name: string;
  /** Unfolded, without space around it; one octet per character. */
  readonly value: string;
  /** As it stood, without the CRLF that ends it; one octet per character. */
  readonly raw: string;
  /** Counted from 1. */
  readonly line: number;
}

export interface FieldProblem {
  readonly line: number;
  readonly problem: string;
}

export interface ReadOptions {
  /**
   * The line `From alice Mon Jan 1 …` with which mbox files and `git format-patch` begin a message: it is no field. Refused where the
   * header is passed on as it came.
   */
  readonly mboxLine?: 'left-out' | 'refused';
  /** Lines that are no field are left out instead of being a problem: for looking something up, never for judging. */
  readonly skipUnreadable?: boolean;
}

const NAME = /^[\x21-\x39\x3b-\x7e]+$/;

/** `From : alice@x` is a field in the obsolete form (RFC 5322 §4.5.2), and no line of an mbox file. */
const MBOX_LINE = /^>?From (?![ \t]*:)/;

/**
 * Reads the fields of a whole header; space before the colon is allowed (RFC 5322 §4.5), a line that is neither a field nor the
 * continuation of one is a problem. @param text one octet per character, the empty line may be there or not @returns what is wrong, with its line
 */
export function readFields(
  text: string,
  { mboxLine = 'left-out', skipUnreadable = false }: ReadOptions = {},
): readonly Field[] | FieldProblem {
  const lines = text.split('\r\n');
  const fields: Field[] = [];
  let raw: string[] = [];
  let begun = 1;
  for (let at = 0; at <= lines.length; at++) {
    const line = lines[at] ?? '';
    if (at === 0 && mboxLine === 'left-out' && MBOX_LINE.test(line)) continue;
    if (/[\r\n\0]/.test(line))
      return { line: at + 1, problem: 'has a line break or NUL in it that does not belong there' };
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (raw.length === 0 && skipUnreadable) continue;
      if (raw.length === 0)
        return { line: at + 1, problem: `is indented, and there is no field before it: ${shown(line)}` };
      raw.push(line);
      continue;
    }
    if (raw.length > 0) {
      const field = fieldOf(raw, begun);
      if (!('problem' in field)) fields.push(field);
      else if (!skipUnreadable) return field;
    }
    raw = line === '' ? [] : [line];
    begun = at + 1;
  }
  return fields;
}

/** The value of a field that occurs exactly once in a whole header; undefined otherwise, and where the header cannot be read. */
export function oneField(header: Buffer, name: string): string | undefined {
  const fields = readFields(header.toString('latin1'), { skipUnreadable: true });
  if ('problem' in fields) return undefined;
  const found = fields.filter((field) => field.name === name);
  return found.length === 1 ? found[0]!.value : undefined;
}

function fieldOf(lines: readonly string[], line: number): Field | FieldProblem {
  const [first] = lines;
  const colon = first!.indexOf(':');
  const name = colon === -1 ? '' : trimmed(first!.slice(0, colon));
  if (!NAME.test(name)) return { line, problem: `is no header field (Name: value): ${shown(first!)}` };
  const value = [first!.slice(colon + 1), ...lines.slice(1)].join('');
  return { name: name.toLowerCase(), value: trimmed(value), raw: lines.join('\r\n'), line };
}

/** RFC 5322 §3.6: these may occur once. */
const ONCE = new Set('date from sender reply-to to cc bcc message-id in-reply-to references subject'.split(' '));

/** A field that may occur once and is there again. */
export function repeatedField(fields: readonly Field[]): FieldProblem | undefined {
  const seen = new Map<string, number>();
  for (const { name, line, raw } of fields) {
    if (!ONCE.has(name)) continue;
    const before = seen.get(name);
    if (before !== undefined)
      return {
        line,
        problem: `has ${raw.slice(0, name.length)} again, which stands in line ${before} and may occur once (RFC 5322 §3.6)`,
      };
    seen.set(name, line);
  }
  return undefined;
}

/** The values of all fields of a name, as UTF-8. */
export function valuesOf(fields: readonly Field[], name: string): readonly string[] {
  return fields.filter((field) => field.name === name).map(({ value }) => utf8(value));
}

/** Octets, one per character, as the text they mean. */
export function utf8(value: string): string {
  return Buffer.from(value, 'latin1').toString('utf8');
}

/** The fields of the newest resending (RFC 5322 §3.6.6): a block in front of all others; empty where it was never resent. */
export function newestResending(fields: readonly Field[]): readonly Field[] {
  const first = fields.findIndex(({ name }) => name.startsWith('resent-'));
  if (first === -1) return [];
  const block: Field[] = [];
  for (const field of fields.slice(first)) {
    if (!field.name.startsWith('resent-') || block.some(({ name }) => name === field.name)) break;
    block.push(field);
  }
  return block;
}

/** Without space around it, and of that only what RFC 5322 knows: an octet 0xA0 is part of a character. */
function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && (text[from] === ' ' || text[from] === '\t')) from += 1;
  while (to > from && (text[to - 1] === ' ' || text[to - 1] === '\t')) to -= 1;
  return text.slice(from, to);
}

function shown(line: string): string {
  return JSON.stringify(line.slice(0, 60));
}
