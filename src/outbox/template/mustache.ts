/**
 * The template language: Mustache (mustache(5)) without partials, lambdas and changed delimiters. `{{name}}` is escaped,
 * `{{{name}}}` and `{{&name}}` are not, `{{#name}}…{{/name}}` is repeated for each item or shown when there is something,
 * `{{^name}}…{{/name}}` is shown when there is nothing, `{{! … }}` is a comment, `.` is the item itself, `a.b` goes deeper.
 *
 * Stricter than Mustache in one respect: a value that is shown must be there. "Dear ," is worse than no message.
 */
import { outboxError } from '../errors.ts';

/** The names of a path in their order; none is the item itself. */
type Path = readonly string[];
export type TemplateNode =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'value'; readonly path: Path; readonly raw: boolean }
  | {
      readonly type: 'section';
      readonly path: Path;
      readonly inverted: boolean;
      readonly children: readonly TemplateNode[];
    };

const SIGIL = /^[#^/&!]/;
const NAME = /^(?:\.|[A-Za-z_][\w-]*(?:\.[\w-]+)*)$/;
/** Sections inside sections; more is a mistake. */
const DEEPEST = 32;
/** Characters of a path and names in it; data is not nested deeper by anybody. */
const MAX_PATH = 1000;
const MAX_NAMES = 32;
/** Tags of a part; a page written by hand has some hundreds. */
const MAX_TAGS = 20_000;
/** Characters of a rendered part: repeated sections multiply. */
const MAX_CHARACTERS = 4_000_000;
/**
 * Work of rendering one part: tags passed and names looked for, also where they show nothing. Sections inside repeated sections
 * multiply. So much takes about a tenth of a second.
 */
const MAX_STEPS = 1_000_000;
/** After so many steps it may pause. */
const STEPS_A_PAUSE = 1000;

/** @param part what is read, for messages: `subject`, `html`, `text` @throws outbox.template */
export function parseTemplate(text: string, part: string): readonly TemplateNode[] {
  const root: TemplateNode[] = [];
  const open: { readonly path: string; readonly inverted: boolean; readonly children: TemplateNode[] }[] = [];
  let children = root;
  let from = 0;
  let tags = 0;
  const wrong = (what: string, at: number): Error => {
    const line = text.slice(0, at).split('\n').length;
    return outboxError('outbox.template', `${part}, line ${line}: ${what}`, { detail: { part, line } });
  };
  for (let at = text.indexOf('{{'); at >= 0; at = text.indexOf('{{', from)) {
    const triple = text.startsWith('{{{', at);
    const close = triple ? '}}}' : '}}';
    const end = text.indexOf(close, at);
    if (end < 0) throw wrong(`the tag is never closed by ${close}`, at);
    if (at > from) children.push({ type: 'text', text: text.slice(from, at) });
    from = end + close.length;
    if (++tags > MAX_TAGS) throw wrong(`there are more than ${MAX_TAGS} tags`, at);
    const inside = text.slice(at + close.length, end).trim();
    const sigil = triple ? '&' : (SIGIL.exec(inside)?.[0] ?? '');
    if (sigil === '!') continue;
    const path = triple ? inside : inside.slice(sigil.length).trim();
    if (!NAME.test(path)) throw wrong(`${text.slice(at, Math.min(from, at + 60))} is no tag of ours`, at);
    const names = path === '.' ? [] : path.split('.', MAX_NAMES + 1);
    if (path.length > MAX_PATH || names.length > MAX_NAMES)
      throw wrong(`a path has more than ${MAX_NAMES} names or ${MAX_PATH} characters`, at);
    if (sigil === '#' || sigil === '^') {
      if (open.length >= DEEPEST) throw wrong(`sections are more than ${DEEPEST} deep`, at);
      const section = { type: 'section' as const, path: names, inverted: sigil === '^', children: [] };
      children.push(section);
      open.push({ ...section, path });
      children = section.children;
    } else if (sigil === '/') {
      const section = open.pop();
      if (section?.path !== path) {
        const instead = section === undefined ? 'no section is open' : `{{/${section.path}}} was expected`;
        throw wrong(`{{/${path}}} closes nothing: ${instead}`, at);
      }
      children = open.at(-1)?.children ?? root;
    } else {
      children.push({ type: 'value', path: names, raw: sigil === '&' });
    }
  }
  const unclosed = open.at(-1);
  if (unclosed) throw wrong(`the section ${unclosed.path} is never closed`, text.length);
  const rest = text.slice(from);
  if (rest !== '') children.push({ type: 'text', text: rest });
  return root;
}

/** An item, and those around it. */
interface Scope {
  readonly item: unknown;
  readonly outer: Scope | undefined;
}

/**
 * Fills in `data`; yields where it may pause. `escape` is applied to every value that is not raw.
 * @throws outbox.template-data naming the value that is missing, outbox.template when it grows out of bounds
 */
export function* renderTemplate(
  nodes: readonly TemplateNode[],
  data: Readonly<Record<string, unknown>>,
  escape: (text: string) => string,
  part: string,
): Generator<undefined, string> {
  const pieces: string[] = [];
  let characters = 0;
  let steps = 0;
  let pauseAt = STEPS_A_PAUSE;
  const add = (text: string): void => {
    characters += text.length;
    if (characters > MAX_CHARACTERS)
      throw outboxError('outbox.template', `${part} grows beyond ${MAX_CHARACTERS} characters`, { detail: { part } });
    pieces.push(text);
  };
  const count = (by: number): void => {
    steps += by;
    if (steps > MAX_STEPS)
      throw outboxError('outbox.template', `${part} repeats too much`, { detail: { part, steps } });
  };
  /** The first name of a path is looked for from the innermost item outwards, the rest below it; own properties only. */
  const lookUp = (path: Path, scope: Scope): unknown => {
    const first = path[0];
    if (first === undefined) return scope.item;
    let holder: Scope | undefined = scope;
    for (; holder && !has(holder.item, first); holder = holder.outer) count(1);
    let value = holder && has(holder.item, first) ? holder.item[first] : undefined;
    for (let at = 1; at < path.length; at++) {
      const name = path[at]!;
      if (!has(value, name)) return undefined;
      count(1);
      value = value[name];
    }
    return value;
  };
  const run = function* (list: readonly TemplateNode[], scope: Scope): Generator<undefined, void> {
    for (const node of list) {
      count(1);
      if (steps >= pauseAt) {
        pauseAt = steps + STEPS_A_PAUSE;
        yield;
      }
      if (node.type === 'text') {
        add(node.text);
        continue;
      }
      const value = lookUp(node.path, scope);
      if (node.type === 'value') {
        const shown = textOf(value, node.path, part);
        add(node.raw || shown.length > MAX_CHARACTERS ? shown : escape(shown));
        continue;
      }
      const isEmpty = value === undefined || value === null || value === false || value === '' || isEmptyList(value);
      if (node.inverted) {
        if (isEmpty) yield* run(node.children, scope);
      } else if (Array.isArray(value)) {
        for (const item of value as unknown[]) {
          count(1);
          yield* run(node.children, { item, outer: scope });
        }
      } else if (!isEmpty) yield* run(node.children, { item: value, outer: scope });
    }
  };
  yield* run(nodes, { item: data, outer: undefined });
  return pieces.join('');
}

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

function has(value: unknown, name: string): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name);
}

function textOf(value: unknown, names: Path, part: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const path = names.join('.') || '.';
  const problem = value === undefined || value === null ? 'is missing' : 'is no text or number';
  throw outboxError('outbox.template-data', `the value ${path} that ${part} shows ${problem}`, {
    detail: { part, path },
  });
}
