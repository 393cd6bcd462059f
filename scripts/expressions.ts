/**
 * Every regular expression of the product, and what an analyser says about the time it can take.
 *
 *   node scripts/expressions.ts          analyses what is new and rewrites test/expressions.json
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { type AnyNode, parse } from 'acorn';
import { full } from 'acorn-walk';
import { z } from 'zod';
import { catalogue } from '../src/oauth/catalogue/catalogue.ts';

const root = resolve(import.meta.dirname, '..');
const KNOWN = join(root, 'test/expressions.json');

export interface Expression {
  /** `/pattern/flags`. */
  readonly text: string;
  readonly pattern: string;
  readonly flags: string;
  /** `src/room/file.ts:line`. */
  readonly at: string;
}

/** A `RegExp` made at run time from what the walk cannot know. */
export interface Composed {
  readonly file: string;
  readonly line: number;
  /** Its source, as written. */
  readonly text: string;
}

/**
 * Every expression in `src/` outside tests: literals, and `RegExp` of constants of the same file; what some of those made from
 * other things come to; the patterns of the catalogue. Apart from them, what is made from other things.
 */
export function expressions(): { readonly found: readonly Expression[]; readonly composed: readonly Composed[] } {
  const found: Expression[] = [...INSTANCES, ...patternsOf([catalogue().errors, catalogue().calendar])];
  const composed: Composed[] = [];
  for (const file of globSync('src/**/*.ts', { cwd: root }).sort()) {
    if (file.endsWith('.test.ts') || file.endsWith('.fuzz.ts')) continue;
    const code = stripTypeScriptTypes(readFileSync(join(root, file), 'utf8'), { mode: 'strip' });
    const tree = parse(code, { ecmaVersion: 'latest', sourceType: 'module', locations: true });
    const constants = new Map<string, AnyNode>();
    full(tree, (node) => {
      if (node.type === 'VariableDeclarator' && node.id.type === 'Identifier' && node.init)
        constants.set(node.id.name, node.init);
    });
    full(tree, (node) => {
      const line = node.loc?.start.line ?? 0;
      const add = (pattern: string, flags: string): void =>
        void found.push({ text: `/${pattern}/${flags}`, pattern, flags, at: `${file}:${line}` });
      if (node.type === 'Literal' && node.regex) add(node.regex.pattern, node.regex.flags);
      if (node.type !== 'NewExpression' && node.type !== 'CallExpression') return;
      if (node.callee.type !== 'Identifier' || node.callee.name !== 'RegExp') return;
      const pattern = constant(node.arguments[0], constants);
      if (pattern === undefined) composed.push({ file, line, text: code.slice(node.start, node.end) });
      else add(pattern, constant(node.arguments[1], constants) ?? '');
    });
  }
  return { found, composed };
}

/** An attribute's value, as `src/outbox/template/plain-text.ts` looks for it. */
const INSTANCES: readonly Expression[] = ['href', 'alt'].map((name) => {
  const pattern = `(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s"'>]+))`;
  return { text: `/${pattern}/i`, pattern, flags: 'i', at: 'src/outbox/template/plain-text.ts' };
});

/** Texts of the catalogue's fields that hold expressions. */
function patternsOf(value: unknown, key = ''): Expression[] {
  if (typeof value === 'string' && ['pattern', 'hosts', 'reason', 'description'].includes(key))
    return [{ text: `/${value}/i`, pattern: value, flags: 'i', at: 'the catalogue' }];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => patternsOf(inner, Array.isArray(value) ? key : name));
}

/** The text an expression of the language always has, if that can be seen from this file alone. */
function constant(node: AnyNode | undefined, constants: ReadonlyMap<string, AnyNode>, depth = 0): string | undefined {
  const known = (inner: AnyNode | undefined): string | undefined =>
    depth > 8 ? undefined : constant(inner, constants, depth + 1);
  const joined = (texts: readonly (string | undefined)[], inner: readonly AnyNode[]): string | undefined => {
    const values = inner.map(known);
    if (values.includes(undefined) || texts.includes(undefined)) return undefined;
    return texts.map((text, n) => `${text}${values[n] ?? ''}`).join('');
  };
  switch (node?.type) {
    case 'Literal':
      return typeof node.value === 'string' ? node.value : undefined;
    case 'Identifier':
      return known(constants.get(node.name));
    case 'TemplateLiteral':
      return joined(
        node.quasis.map((quasi) => quasi.value.cooked ?? undefined),
        node.expressions,
      );
    case 'TaggedTemplateExpression':
      return joined(
        node.quasi.quasis.map((quasi) => quasi.value.raw),
        node.quasi.expressions,
      );
    case 'MemberExpression': {
      const inner = node.object.type === 'Identifier' ? constants.get(node.object.name) : node.object;
      return inner?.type === 'Literal' && node.property.type === 'Identifier' && node.property.name === 'source'
        ? inner.regex?.pattern
        : undefined;
    }
    default:
      return undefined;
  }
}

/**
 * What the analyser said: `linear`; `polynomial 2` and so on or `exponential`, with the text that shows it; or `unknown` with
 * its reason.
 */
export interface Judgement {
  readonly time: string;
  readonly attack?: string;
}

/** Asks the analyser. A second or less for most; it is not loaded where every expression is known. */
export async function judge({ pattern, flags }: Pick<Expression, 'pattern' | 'flags'>): Promise<Judgement> {
  const { check } = await import('recheck');
  const answer = await check(pattern, flags, { timeout: 30_000 });
  switch (answer.status) {
    case 'safe':
      return { time: 'linear' };
    case 'vulnerable': {
      const { type } = answer.complexity;
      const time = type === 'polynomial' ? `polynomial ${answer.complexity.degree}` : type;
      return { time, attack: answer.attack.pattern };
    }
    case 'unknown':
      return { time: `unknown: ${answer.error.kind}` };
  }
}

/** The expressions found linear before: analysing all of them again takes a minute. */
export function knownLinear(): ReadonlySet<string> {
  return new Set(z.array(z.string()).parse(JSON.parse(readFileSync(KNOWN, 'utf8'))));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const before = knownLinear();
  const linear = new Set<string>();
  for (const expression of expressions().found) {
    if (linear.has(expression.text)) continue;
    const judgement = before.has(expression.text) ? { time: 'linear' } : await judge(expression);
    if (judgement.time === 'linear') linear.add(expression.text);
    else process.stdout.write(`${expression.at} ${judgement.time} ${expression.text}\n  ${judgement.attack ?? ''}\n`);
  }
  writeFileSync(KNOWN, `${JSON.stringify([...linear].sort(), null, 2)}\n`);
}
