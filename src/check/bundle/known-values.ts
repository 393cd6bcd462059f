/**
 * Finding secrets whose value is known, however they are written. Texts and values are compared by their letters and digits
 * alone, in lower case: so base64 and base64url, wrapped lines, dashes, escapes and capitals make no difference.
 */

import { withoutEscapes } from './separators.ts';

export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Shorter ones would garble ordinary words; nothing we keep is that short. */
const LEAST = 6;
/** White space may lie within longer values only: short ones would be found across ordinary words. */
const LEAST_WITH_SPACE = 12;
/** Longer values are looked for by each whole block of this length, so that one that was cut off is found as well. */
const BLOCK = 32;

interface Place {
  readonly form: Uint8Array;
  readonly at: number;
}

/**
 * Where any of these values, as it is or encoded, stands in a text; in order, not overlapping. Takes time by the length of the
 * text, not by the number of values.
 */
export function valueFinder(values: Iterable<string>): (text: string) => readonly Span[] {
  const bySize = new Map<number, Map<number, Place[]>>();
  const forms = new Set<string>();
  // What has hardly a letter or digit can only be looked for as it stands; what has spaces is so even where it is short.
  const asWritten = new Set<string>();
  for (const value of values) {
    for (const form of formsOf(value)) {
      const folded = form.replace(/[^A-Za-z0-9]+/g, '').toLowerCase();
      if (folded.length >= LEAST) forms.add(folded);
      if (form.length >= LEAST && (folded.length < LEAST || /\s/.test(form))) asWritten.add(form);
    }
  }
  for (const text of forms) {
    const form = Buffer.from(text, 'latin1');
    const size = form.length < 2 * BLOCK ? form.length : BLOCK;
    let places = bySize.get(size);
    if (!places) bySize.set(size, (places = new Map()));
    for (let at = 0; at + size <= form.length; at += size) {
      const hash = hashOf(form, at, size);
      const same = places.get(hash);
      // Tokens of one authority begin alike: one of them stands for the block that all have.
      if (!same) places.set(hash, [{ form, at }]);
      else if (!same.some((other) => equal(other.form, other.at, form, at, size))) same.push({ form, at });
    }
  }
  return (text) => {
    const spans: Span[] = [];
    const words = withoutEscapes(text);
    // Also as it stands: what looks like an escape may belong to a value.
    for (const read of words === text ? [text] : [text, words]) {
      const folded = fold(read);
      for (const [size, places] of bySize) look(read, folded, size, places, spans);
    }
    for (const form of asWritten)
      for (let at = text.indexOf(form); at >= 0; at = text.indexOf(form, at + form.length))
        spans.push({ from: at, to: at + form.length });
    return merged(spans);
  };
}

/** Puts `mask` in the place of each. */
export function masked(text: string, spans: readonly Span[], mask: string): string {
  const pieces: string[] = [];
  let at = 0;
  for (const { from, to } of spans) {
    pieces.push(text.slice(at, from), mask);
    at = to;
  }
  return pieces.length === 0 ? text : pieces.join('') + text.slice(at);
}

/** As it is, in JSON, in addresses, in hexadecimal, and in base64 at each of its three offsets (as SASL and Basic have it). */
function formsOf(value: string): readonly string[] {
  const octets = Buffer.from(value);
  const base64 = [0, 1, 2].map((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), octets]);
    // Only what does not depend on the neighbours.
    return padded.toString('base64').slice(Math.ceil((offset * 8) / 6), Math.floor((padded.length * 8) / 6));
  });
  // Forms (application/x-www-form-urlencoded) encode more than addresses do, ~ among them.
  const form = new URLSearchParams([['', value]]).toString().slice(1);
  return [
    value,
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value),
    form,
    octets.toString('hex'),
    ...base64,
  ];
}

interface Folded {
  /** Letters and digits in lower case. */
  readonly octets: Uint8Array;
  /** Where each stands in the text. */
  readonly places: Uint32Array;
  readonly length: number;
}

function fold(text: string): Folded {
  const octets = new Uint8Array(text.length);
  const places = new Uint32Array(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const isUpper = code >= 0x41 && code <= 0x5a;
    if (!isUpper && !(code >= 0x61 && code <= 0x7a) && !(code >= 0x30 && code <= 0x39)) continue;
    octets[length] = isUpper ? code + 32 : code;
    places[length++] = at;
  }
  return { octets, places, length };
}

const BASE = 0x01000193;

function hashOf(octets: Uint8Array, from: number, size: number): number {
  let hash = 0;
  for (let at = from; at < from + size; at++) hash = (Math.imul(hash, BASE) + octets[at]!) | 0;
  return hash;
}

/** One pass with a hash that rolls along; a value that was found is passed over. */
function look(
  text: string,
  { octets, places, length }: Folded,
  size: number,
  known: ReadonlyMap<number, readonly Place[]>,
  spans: Span[],
): void {
  let power = 1;
  for (let n = 1; n < size; n++) power = Math.imul(power, BASE);
  let hash = 0;
  let fresh = 0;
  for (let end = 0; end < length; end++) {
    if (fresh >= size) hash = (hash - Math.imul(octets[end - size]!, power)) | 0;
    hash = (Math.imul(hash, BASE) + octets[end]!) | 0;
    if (++fresh < size) continue;
    const start = end + 1 - size;
    const place = known.get(hash)?.find(({ form, at }) => equal(form, at, octets, start, size));
    if (!place) continue;
    let first = start;
    for (let at = place.at; at > 0 && first > 0 && place.form[at - 1] === octets[first - 1]; at--) first -= 1;
    let last = end;
    for (
      let at = place.at + size;
      at < place.form.length && last + 1 < length && place.form[at] === octets[last + 1];
      at++
    )
      last += 1;
    const span = { from: places[first]!, to: places[last]! + 1 };
    if (last + 1 - first >= LEAST_WITH_SPACE || !/\s/.test(text.slice(span.from, span.to))) {
      spans.push(span);
      end = last;
      hash = 0;
      fresh = 0;
    }
  }
}

function equal(a: Uint8Array, atA: number, b: Uint8Array, atB: number, size: number): boolean {
  for (let n = 0; n < size; n++) if (a[atA + n] !== b[atB + n]) return false;
  return true;
}

/** In order, not overlapping. */
export function merged(spans: readonly Span[]): readonly Span[] {
  const one: { from: number; to: number }[] = [];
  for (const span of spans.toSorted((a, b) => a.from - b.from)) {
    const last = one.at(-1);
    if (last && span.from < last.to) last.to = Math.max(last.to, span.to);
    else one.push({ ...span });
  }
  return one;
}
