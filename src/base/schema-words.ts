/** What is wrong with a value of the configuration, in words for the person who wrote it. */
import { z } from 'zod';
import { nearest } from './edit-distance.ts';

/** Values of these keys may hold a password and are never repeated. */
const SECRET = new Set(['database']);

/**
 * One sentence about an issue, without its key: what stands there and what would be right.
 * @param value what the file has at the issue's path; undefined where nothing stands there
 * @param known names of keys near the place, for one that is misspelt
 */
export function issueText(issue: z.core.$ZodIssue, value: unknown, known: readonly string[] = []): string {
  const key = issue.path.at(-1);
  const shown = typeof key === 'string' && SECRET.has(key) ? 'what stands there' : shownAs(value);
  switch (issue.code) {
    case 'unrecognized_keys': {
      const [name = ''] = issue.keys;
      const near = nearest(name, known);
      return near === undefined ? `known here: ${known.join(', ')}` : `did you mean ${near}?`;
    }
    case 'invalid_type':
      return value === undefined || value === null
        ? `it is missing; give ${TYPES[issue.expected] ?? issue.expected}`
        : `${shown} is not ${TYPES[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return value === undefined
        ? `it is missing; one of ${issue.values.map(String).join(', ')}`
        : `${shown} is not one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return bound(issue, shown, 'at least', Number(issue.minimum));
    case 'too_big':
      return bound(issue, shown, 'at most', Number(issue.maximum));
    case 'invalid_format':
      return issue.format === 'url'
        ? `${shown} is no address of the kind that belongs here; for example https://mail.example.com/`
        : `${shown}: ${issue.message}`;
    case 'invalid_union': {
      const kinds = kindsOf(issue);
      if (value === undefined) return kinds === undefined ? 'it is missing' : `it is missing; one of ${kinds}`;
      return `${shown} is not one of ${kinds ?? 'the kinds that belong here; see docs/configuration.md'}`;
    }
    default:
      return value === undefined || typeof value === 'object' ? issue.message : `${shown}: ${issue.message}`;
  }
}

/**
 * The same for what a program or a person gave to one command or request, as the language that every schema speaks unless it has
 * words of its own. The value is not repeated: it may be a secret, and who gave it knows it.
 */
z.config({
  localeError: (issue) => {
    const missing = issue.input === undefined || issue.input === null;
    switch (issue.code) {
      case 'unrecognized_keys':
        return `there is no ${issue.keys.join(', ')} here`;
      case 'invalid_type': {
        const type = TYPES[issue.expected] ?? issue.expected;
        return missing ? `it is missing; give ${type}` : `it is not ${type}`;
      }
      case 'invalid_value':
        return `it is ${missing ? 'missing; ' : 'not '}one of ${issue.values.map(String).join(', ')}`;
      case 'too_small':
        return bound(issue, 'it', 'at least', Number(issue.minimum));
      case 'too_big':
        return bound(issue, 'it', 'at most', Number(issue.maximum));
      case 'invalid_format':
        return `it is not written as ${FORMATS[issue.format] ?? issue.format}`;
      case 'invalid_union': {
        const kinds = kindsOf(issue);
        if (kinds !== undefined) return `it is not one of ${kinds}`;
        return missing ? 'it is missing' : 'it is of no kind that belongs here';
      }
      case 'invalid_key':
        return 'a name in it is not valid';
      case 'invalid_element':
        return 'an entry in it is not valid';
      case 'not_multiple_of':
        return `it is no multiple of ${issue.divisor}`;
      default:
        return 'it is not valid';
    }
  },
});

/** Of a union that one key tells apart: the values it may have. */
function kindsOf(issue: object): string | undefined {
  return 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String).join(', ') : undefined;
}

/** Formats by their names in schemas. */
const FORMATS: Readonly<Record<string, string>> = {
  url: 'an address such as https://mail.example.com/',
  email: 'a mail address such as alice@example.com',
  datetime: 'a time such as 2026-11-30T14:00:00Z',
  base64: 'base64',
  regex: 'what belongs here',
};

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a group of keys',
  record: 'a group of keys',
};

function bound(
  issue: { readonly origin: string; readonly inclusive?: boolean | undefined },
  shown: string,
  word: 'at least' | 'at most',
  limit: number,
): string {
  if (issue.origin === 'string') {
    if (word === 'at least') return limit === 1 ? 'it is empty' : `it is shorter than ${limit} characters`;
    return `it is longer than ${limit} characters`;
  }
  if (issue.origin === 'array') return `it needs ${word} ${limit === 1 ? 'one entry' : `${limit} entries`}`;
  const most = word === 'at least' ? 'more than' : 'less than';
  return `${shown} is too ${word === 'at least' ? 'small' : 'large'}: ${issue.inclusive === false ? most : word} ${limit}`;
}

function shownAs(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return 'a list';
  return value === null || value === undefined ? 'nothing' : 'a group of keys';
}

/** What stands at a path of a value that was read; undefined where nothing does. */
export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}
