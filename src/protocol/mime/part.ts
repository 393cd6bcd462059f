/** The structure of a message (RFC 5322 §2, RFC 2045, RFC 2046 §5.1) as ranges of its octets; nothing is copied or decoded. */
import { headerEnd } from './header-fields.ts';

export interface Part {
  readonly raw: Buffer;
  /** Header with its empty line: `raw[start, body)`. */
  readonly start: number;
  readonly body: number;
  readonly end: number;
  /** Names in lower case, values unfolded, one octet per character. */
  readonly fields: readonly Field[];
  /** Lower case. */
  readonly type: string;
  readonly subtype: string;
  readonly parameters: Parameters;
  /** Parts of a multipart; the message inside a message/rfc822. */
  readonly children: readonly Part[];
}

export interface Field {
  readonly name: string;
  readonly value: string;
  /** Range of the whole field with its line end. */
  readonly start: number;
  readonly end: number;
}

export type Parameters = readonly (readonly [string, string])[];

/** Hostile nesting and splitting end here; what is deeper or more is one opaque part, and fields beyond are not listed. */
const DEEPEST = 40;
const MAX_CHILDREN = 1000;
const MAX_PARTS = 10_000;
const MAX_FIELDS = 50_000;

/** Takes time in proportion to the message, whatever is in it. */
export function parseMessage(raw: Buffer): Part {
  return parsePart(raw, 0, raw.length, 'text/plain', 0, { parts: MAX_PARTS, fields: MAX_FIELDS });
}

/** What is left of the limits of one message. */
interface Budget {
  parts: number;
  fields: number;
}

/** The first field of this name (lower case). */
export function fieldOf(part: Part, name: string): string | undefined {
  return part.fields.find((field) => field.name === name)?.value;
}

/** A structured value and its parameters: `text/plain; charset="utf-8"`. Continuations (RFC 2231) stay as they are. */
export function parseParameters(value: string): { readonly value: string; readonly parameters: Parameters } {
  const [head = '', ...rest] = splitOutsideQuotes(value);
  const parameters = rest.flatMap((text) => {
    const equals = text.indexOf('=');
    if (equals < 1) return [];
    const bare = text.slice(equals + 1).trim();
    const unquoted = /^"((?:\\.|[^"\\])*)"/.exec(bare)?.[1]?.replace(/\\(.)/g, '$1');
    return [[text.slice(0, equals).trim().toLowerCase(), unquoted ?? bare] as const];
  });
  return { value: head.trim(), parameters };
}

/** At semicolons that are not inside quotes; a quote that is never closed is an ordinary character. */
function splitOutsideQuotes(value: string): string[] {
  const pieces: string[] = [];
  let from = 0;
  let opened = -1;
  for (let at = 0; at < value.length; at++) {
    const char = value[at];
    if (opened === -1 ? char === '"' : char === '\\') {
      if (opened === -1) opened = at;
      else at++;
    } else if (char === '"') opened = -1;
    else if (char === ';' && opened === -1) {
      pieces.push(value.slice(from, at));
      from = at + 1;
    }
  }
  if (opened === -1) pieces.push(value.slice(from));
  else {
    const [first = '', ...others] = value.slice(opened).split(';');
    pieces.push(value.slice(from, opened) + first, ...others);
  }
  return pieces.filter((piece) => piece !== '');
}

function parsePart(raw: Buffer, start: number, end: number, fallback: string, depth: number, budget: Budget): Part {
  budget.parts -= 1;
  const body = start + (headerEnd(raw.subarray(start, end)) ?? end - start);
  const fields = parseFields(raw, start, body, budget);
  const declared = parseParameters(fields.find((field) => field.name === 'content-type')?.value ?? '');
  const valid = /^[^\s/]+\/[^\s/]+$/.test(declared.value);
  const [type, subtype] = (valid ? declared.value : fallback).toLowerCase().split('/') as [string, string];
  const parameters: Parameters = valid ? declared.parameters : [['charset', 'us-ascii']];
  const part = { raw, start, body, end, fields, type, subtype, parameters };
  const boundary = parameters.find(([name]) => name === 'boundary')?.[1];
  const nests = depth < DEEPEST && budget.parts > 0;
  if (nests && type === 'multipart' && boundary) {
    const inner = subtype === 'digest' ? 'message/rfc822' : 'text/plain';
    const ranges = splitMultipart(raw, body, end, boundary).slice(0, budget.parts);
    const children = ranges.map(([from, to]) => parsePart(raw, from, to, inner, depth + 1, budget));
    if (children.length > 0) return { ...part, children };
  }
  if (type === 'multipart') return { ...part, type: 'text', subtype: 'plain', parameters: [], children: [] };
  if (nests && type === 'message' && subtype === 'rfc822' && !encoded(fields))
    return { ...part, children: [parsePart(raw, body, end, 'text/plain', depth + 1, budget)] };
  if (type === 'message' && subtype === 'rfc822')
    return { ...part, type: 'application', subtype: 'octet-stream', children: [] };
  return { ...part, children: [] };
}

function encoded(fields: readonly Field[]): boolean {
  const encoding = fields.find((field) => field.name === 'content-transfer-encoding')?.value.toLowerCase();
  return encoding === 'base64' || encoding === 'quoted-printable';
}

function parseFields(raw: Buffer, start: number, end: number, budget: Budget): Field[] {
  const fields: Field[] = [];
  for (let at = start; at < end && budget.fields > 0;) {
    budget.fields -= 1;
    let stop = lineEnd(raw, at, end);
    while (stop < end && (raw[stop] === 32 || raw[stop] === 9)) stop = lineEnd(raw, stop, end);
    const text = raw.toString('latin1', at, stop);
    const colon = text.indexOf(':');
    if (colon > 0) {
      const value = text
        .slice(colon + 1)
        .replace(/\r?\n(?=[ \t])/g, '')
        .trim();
      fields.push({ name: text.slice(0, colon).trim().toLowerCase(), value, start: at, end: stop });
    }
    at = stop;
  }
  return fields;
}

function lineEnd(raw: Buffer, from: number, end: number): number {
  const lf = raw.subarray(from, end).indexOf(10);
  return lf === -1 ? end : from + lf + 1;
}

function splitMultipart(raw: Buffer, start: number, end: number, boundary: string): [number, number][] {
  const delimiter = Buffer.from(`--${boundary}`, 'latin1');
  const ranges: [number, number][] = [];
  // A search that is not bounded would read the rest of the message once for every part in it.
  const whole = raw.subarray(0, end);
  let open: number | undefined;
  for (let at = whole.indexOf(delimiter, start); at !== -1; at = whole.indexOf(delimiter, at + 1)) {
    if (at !== start && raw[at - 1] !== 10) continue;
    const line = lineEnd(raw, at, end);
    // More than this is no end of a delimiter line.
    const tail = raw.toString('latin1', at + delimiter.length, Math.min(line, at + delimiter.length + 1000));
    if (!/^(?:--)?[ \t]*\r?\n?$/.test(tail)) continue;
    if (open !== undefined) ranges.push([open, Math.max(open, at - (raw[at - 2] === 13 ? 2 : 1))]);
    open = line;
    if (tail.startsWith('--')) return ranges;
    if (ranges.length >= MAX_CHILDREN) return ranges;
  }
  if (open !== undefined) ranges.push([open, end]);
  return ranges;
}
