/**
 * Bounds of JSON, looked at while its octets arrive: what a reader and a schema make of many members or deep nesting costs far more
 * than the octets, in one piece of work that holds up everybody else's mail.
 */
import type { PosternError } from '../../base/error.ts';
import { apiError } from './errors.ts';

/** What mail is made from has a few levels; readers and writers that call themselves for each one fail at some thousand. */
export const MAX_DEPTH = 64;
/** Of one object. Names that differ are what costs most: each is looked up, and a schema looks at it again. */
export const MAX_MEMBERS = 4000;
/** Objects, arrays and members of objects in all: a merge of 500 letters with 90 values each. Reading so many takes some 50 ms. */
export const MAX_VALUES = 50_000;
/** Of arrays in all: numbers and texts in a row cost a hundredth of that. */
export const MAX_ELEMENTS = 500_000;

const ARRAY = -1;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Counts members and depth of JSON (RFC 8259) that comes in pieces. Whether it is JSON at all is for its reader to say. */
export class JsonBounds {
  /** What is open: of each object the members begun. */
  readonly #open: number[] = [];
  #values = 0;
  #elements = 0;
  #inString = false;
  #escaped = false;

  /** The next octets. @throws api.request, naming the bound that is passed */
  add(octets: Uint8Array): void {
    for (let at = 0; at < octets.length;) {
      if (this.#inString) at = this.#throughString(octets, at);
      else this.#structure(octets[at++]!);
    }
  }

  /** Where the string that is open goes on after these octets, or what follows it begins. Most of a body is strings. */
  #throughString(octets: Uint8Array, from: number): number {
    let at = from;
    if (this.#escaped) {
      this.#escaped = false;
      at += 1;
    }
    while (at < octets.length) {
      const octet = octets[at]!;
      at += 1;
      if (octet === QUOTE) {
        this.#inString = false;
        return at;
      }
      if (octet === BACKSLASH) at += 1;
    }
    this.#escaped = at > octets.length;
    return octets.length;
  }

  #structure(octet: number): void {
    if (octet === QUOTE) this.#inString = true;
    else if (octet === COMMA) this.#member();
    else if (octet === OPEN_ARRAY || octet === OPEN_OBJECT) {
      this.#open.push(octet === OPEN_OBJECT ? 0 : ARRAY);
      if (this.#open.length > MAX_DEPTH)
        throw beyond('depth', MAX_DEPTH, `is nested more than ${MAX_DEPTH} levels deep`);
      this.#value();
    } else if (octet === CLOSE_ARRAY || octet === CLOSE_OBJECT) this.#open.pop();
  }

  #member(): void {
    const last = this.#open.length - 1;
    // A comma outside of everything is no JSON.
    if (last < 0) return;
    if (this.#open[last] === ARRAY) {
      this.#elements += 1;
      if (this.#elements > MAX_ELEMENTS)
        throw beyond('elements', MAX_ELEMENTS, `has more than ${MAX_ELEMENTS} elements of arrays`);
      return;
    }
    this.#open[last]! += 1;
    if (this.#open[last]! > MAX_MEMBERS)
      throw beyond('members', MAX_MEMBERS, `has more than ${MAX_MEMBERS} members in one object`);
    this.#value();
  }

  #value(): void {
    this.#values += 1;
    if (this.#values > MAX_VALUES)
      throw beyond('values', MAX_VALUES, `has more than ${MAX_VALUES} objects, arrays and members of objects in all`);
  }
}

function beyond(limit: string, most: number, what: string): PosternError {
  return apiError('api.request', `the JSON body ${what}`, {
    hint: 'send less in one request: several merges, or data that the template uses',
    detail: { limit, most },
  });
}
