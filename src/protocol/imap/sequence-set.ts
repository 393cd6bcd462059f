/** Sets of message numbers such as `1,4:7,*` (RFC 3501 §9 `sequence-set`). */
import { protocolError } from '../errors.ts';

/** Bounds of one range as written; `*` is the largest number in use. */
export type SequenceRange = readonly [number | '*', number | '*'];
export type SequenceSet = readonly SequenceRange[];

const NUMBER = /^[1-9]\d{0,9}$/;
const MAX = 0xffff_ffff;

/** @throws wire.syntax */
export function parseSequenceSet(text: string): SequenceSet {
  return text.split(',').map((part) => {
    const bounds = part.split(':');
    if (bounds.length > 2) throw malformed();
    const from = bound(bounds[0]!);
    return [from, bounds[1] === undefined ? from : bound(bounds[1])] as const;
  });
}

/** The text of a set; the other way round than `parseSequenceSet`. */
export function writeSequenceSet(set: SequenceSet): string {
  return set.map(([from, to]) => (from === to ? `${from}` : `${from}:${to}`)).join(',');
}

/** Tells whether a number is in the set; `largest` is what `*` stands for (0 in an empty mailbox matches nothing). */
export function sequenceMatcher(set: SequenceSet, largest: number): (value: number) => boolean {
  const ranges = set.map(([a, b]) => {
    const [from, to] = [a === '*' ? largest : a, b === '*' ? largest : b];
    return from <= to ? ([from, to] as const) : ([to, from] as const);
  });
  return (value) => ranges.some(([from, to]) => value >= from && value <= to);
}

/** The shortest text for these numbers in this order; runs that rise by one become ranges. */
export function formatSequenceSet(values: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const value of values) {
    const last = ranges.at(-1);
    if (last && value === last[1] + 1) last[1] = value;
    else ranges.push([value, value]);
  }
  return writeSequenceSet(ranges);
}

function bound(text: string): number | '*' {
  if (text === '*') return '*';
  if (!NUMBER.test(text) || Number(text) > MAX) throw malformed();
  return Number(text);
}

function malformed(): Error {
  return protocolError('wire.syntax', 'a message set is malformed');
}
