/**
 * The template language: Mustache (mustache(5)) without partials, lambdas and changed delimiters. `{{name}}` is escaped,
 * `{{{name}}}` and `{{&name}}` are not, `{{#name}}…{{/name}}` is repeated for each item or shown when there is something,
 * `{{^name}}…{{/name}}` is shown when there is nothing, `{{! … }}` is a comment, `.` is the item itself, `a.b` goes deeper.
 *
 * Stricter than Mustache in one respect: a value that is shown must be there. "Dear ," is worse than no message.
 */
import { outboxError } from '../errors.ts';

export type TemplateNode =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'value'; readonly path: string; readonly raw: boolean }
  | {
      readonly type: 'section';
      readonly path: string;
      readonly inverted: boolean;
      readonly children: readonly TemplateNode[];
    };

const SIGIL = /^[#^/&!]/;
const NAME = /^(?:\.|[A-Za-z_][\w-]*(?:\.[\w-]+)*)$/;
/** Sections inside sections; more is a mistake. */
const DEEPEST = 32;
/** Characters of a rendered part: repeated sections multiply. */
const MAX_CHARACTERS = 4_000_000;
/** Tags passed while rendering one part: sections inside repeated sections multiply even where they show nothing. */
const MAX_STEPS = 1_000_000;

/** @param part what is read, for messages: `subject`, `html`, `text` @throws outbox.template */
export function parseTemplate(text: string, part: string): readonly TemplateNode[] {
  const root: TemplateNode[] = [];
  const open: { readonly path: string; readonly inverted: boolean; readonly children: TemplateNode[] }[] = [];
  let children = root;
  let from = 0;
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
    const inside = text.slice(at + close.length, end).trim();
    const sigil = triple ? '&' : (SIGIL.exec(inside)?.[0] ?? '');
    if (sigil === '!') continue;
    const path = triple ? inside : inside.slice(sigil.length).trim();
    if (!NAME.test(path)) throw wrong(`${text.slice(at, Math.min(from, at + 60))} is no tag of ours`, at);
    if (sigil === '#' || sigil === '^') {
      if (open.length >= DEEPEST) throw wrong(`sections are more than ${DEEPEST} deep`, at);
      const section = { type: 'section' as const, path, inverted: sigil === '^', children: [] };
      children.push(section);
      open.push(section);
      children = section.children;
    } else if (sigil === '/') {
      const section = open.pop();
      if (section?.path !== path) {
        const instead = section === undefined ? 'no section is open' : `{{/${section.path}}} was expected`;
        throw wrong(`{{/${path}}} closes nothing: ${instead}`, at);
      }
      children = open.at(-1)?.children ?? root;
    } else {
      children.push({ type: 'value', path, raw: sigil === '&' });
    }
  }
  const unclosed = open.at(-1);
  if (unclosed) throw wrong(`the section ${unclosed.path} is never closed`, text.length);
  const rest = text.slice(from);
  if (rest !== '') children.push({ type: 'text', text: rest });
  return root;
}

/**
 * Fills in `data`. `escape` is applied to every value that is not raw.
 * @throws outbox.template-data naming the value that is missing, outbox.template when it grows out of bounds
 */
export function renderTemplate(
  nodes: readonly TemplateNode[],
  data: Readonly<Record<string, unknown>>,
  escape: (text: string) => string,
  part: string,
): string {
  const pieces: string[] = [];
  let characters = 0;
  let steps = 0;
  const add = (text: string): void => {
    characters += text.length;
    if (characters > MAX_CHARACTERS)
      throw outboxError('outbox.template', `${part} grows beyond ${MAX_CHARACTERS} characters`, { detail: { part } });
    pieces.push(text);
  };
  const run = (list: readonly TemplateNode[], stack: readonly unknown[]): void => {
    for (const node of list) {
      if (++steps > MAX_STEPS)
        throw outboxError('outbox.template', `${part} repeats too much`, { detail: { part, steps } });
      if (node.type === 'text') add(node.text);
      else if (node.type === 'value') {
        const shown = textOf(lookUp(node.path, stack), node.path, part);
        add(node.raw ? shown : escape(shown));
      } else {
        const value = lookUp(node.path, stack);
        const isEmpty = value === undefined || value === null || value === false || value === '' || isEmptyList(value);
        if (node.inverted) {
          if (isEmpty) run(node.children, stack);
        } else if (Array.isArray(value)) for (const item of value as unknown[]) run(node.children, [...stack, item]);
        else if (!isEmpty) run(node.children, [...stack, value]);
      }
    }
  };
  run(nodes, [data]);
  return pieces.join('');
}

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/** The first part of a path is looked for from the innermost item outwards, the rest below it; own properties only. */
function lookUp(path: string, stack: readonly unknown[]): unknown {
  if (path === '.') return stack.at(-1);
  const [first = '', ...rest] = path.split('.');
  const holder = stack.findLast((item) => isObject(item) && Object.hasOwn(item, first));
  let value: unknown = isObject(holder) ? holder[first] : undefined;
  for (const name of rest) value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function textOf(value: unknown, path: string, part: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const problem = value === undefined || value === null ? 'is missing' : 'is no text or number';
  throw outboxError('outbox.template-data', `the value ${path} that ${part} shows ${problem}`, {
    detail: { part, path },
  });
}
