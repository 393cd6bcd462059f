/** The mutants of a source file: small changes of behaviour that a test ought to notice. */
import { hash } from 'node:crypto';
import { stripTypeScriptTypes } from 'node:module';
import { type AnyNode, type Expression, parse } from 'acorn';
import { fullAncestor } from 'acorn-walk';

export interface Mutant {
  /** In the source as written; types are blanks where it runs, so that places stay the same. */
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
  readonly line: number;
  /** `what it was → what it became`, on one line. */
  readonly says: string;
}

const BOUNDS = new Map([
  ['<', '<='],
  ['<=', '<'],
  ['>', '>='],
  ['>=', '>'],
]);
const EQUALITY = new Map([
  ['===', '!=='],
  ['!==', '==='],
]);
const ARITHMETIC = new Map([
  ['-', '+'],
  ['*', '/'],
  ['/', '*'],
  ['%', '*'],
]);
/** Methods with an opposite, and methods that may be left out: their object stands for them. */
const OPPOSITES = new Map([
  ['min', 'max'],
  ['max', 'min'],
  ['some', 'every'],
  ['every', 'some'],
]);
const LEFT_OUT = new Set(['filter', 'trim', 'toLowerCase', 'toSorted']);
/** Who speaks to people who watch, or counts for them: not behaviour that a test should pin. */
const WATCHERS = /^(?:this\.#?|deps\.|this\.#?deps\.)?(?:log|meter|metrics)$|Log$/;
const ERRORS = /^(?:[A-Z]\w*)?Error$/;

/** All mutants of a file, in the order of the source. */
export function mutantsOf(source: string): readonly Mutant[] {
  const code = stripTypeScriptTypes(source, { mode: 'strip' });
  const tree = parse(code, { ecmaVersion: 'latest', sourceType: 'module', locations: true });
  const found: Mutant[] = [];
  const textOf = (node: AnyNode): string => source.slice(node.start, node.end);
  const add = (node: AnyNode, replacement: string): void => {
    const was = textOf(node);
    if (was === replacement) return;
    const line = node.loc?.start.line ?? 0;
    const says = `${short(was)} → ${short(replacement) || 'nothing'}`;
    found.push({ start: node.start, end: node.end, replacement, line, says });
  };
  /** Between two operands there is nothing else that could be the operator, comments apart. */
  const swap = (left: AnyNode, right: AnyNode, node: AnyNode, is: string, becomes: string): void => {
    const start = code.indexOf(is, left.end);
    if (start < 0 || start >= right.start) return;
    const says = `${short(textOf(node))}: ${is} → ${becomes}`;
    const line = code.slice(0, start).split('\n').length;
    found.push({ start, end: start + is.length, replacement: becomes, line, says });
  };
  const condition = (test: AnyNode): void => {
    add(test, 'true');
    add(test, 'false');
  };

  fullAncestor(tree, (node, _state, ancestors) => {
    if (!within(ancestors)) return;
    switch (node.type) {
      case 'IfStatement':
      case 'ConditionalExpression':
        return condition(node.test);
      case 'WhileStatement':
      case 'DoWhileStatement':
        if (node.test.type !== 'Literal') add(node.test, 'false');
        return;
      case 'LogicalExpression':
        if (node.operator === '??') return add(node, textOf(node.left));
        return swap(node.left, node.right, node, node.operator, node.operator === '&&' ? '||' : '&&');
      case 'BinaryExpression': {
        const { left, operator, right } = node;
        const becomes =
          BOUNDS.get(operator) ??
          // A comparison that is a whole condition is there already, as true and as false.
          (isCondition(node, ancestors) ? undefined : EQUALITY.get(operator)) ??
          ARITHMETIC.get(operator) ??
          (operator === '+' && !isText(left) && !isText(right) ? '-' : undefined);
        if (becomes !== undefined) swap(left, right, node, operator, becomes);
        return;
      }
      case 'UnaryExpression':
        if (node.operator === '!' && !isCondition(node, ancestors)) add(node, textOf(node.argument));
        return;
      case 'AssignmentExpression':
        if (node.operator === '+=' || node.operator === '-=')
          swap(node.left, node.right, node, node.operator, node.operator === '+=' ? '-=' : '+=');
        return;
      case 'ExpressionStatement': {
        const { expression } = node;
        if (expression.type === 'Literal') return; // a directive
        add(node, ';');
        if (expression.type === 'AwaitExpression') add(node, `void ${textOf(expression.argument)};`);
        return;
      }
      case 'ThrowStatement':
        // Alone in its condition it goes with it.
        if (!ancestors.some((one) => one.type === 'IfStatement' && onlyOf(one.consequent) === node)) add(node, ';');
        return;
      case 'Literal':
        if (typeof node.value === 'boolean') add(node, String(!node.value));
        else if (node.regex && !isLiteralText(node.regex.pattern)) add(node, '/(?:)/');
        return;
      case 'ReturnStatement':
        if (node.argument) returned(node.argument);
        return;
      case 'ArrowFunctionExpression':
        if (node.body.type !== 'BlockStatement') returned(node.body);
        return;
      case 'CallExpression': {
        const { callee } = node;
        if (callee.type !== 'MemberExpression' || callee.computed || callee.property.type !== 'Identifier') return;
        const { name } = callee.property;
        const opposite = OPPOSITES.get(name);
        if (opposite !== undefined) add(callee.property, opposite);
        else if (LEFT_OUT.has(name) && !node.optional && !callee.optional) add(node, textOf(callee.object));
        return;
      }
      default:
        return;
    }
  });
  return unique(found);

  function returned(value: Expression): void {
    if (value.type === 'Literal' && typeof value.value === 'number') add(value, String(value.value + 1));
    else if (value.type === 'Literal' && typeof value.value === 'string' && value.value !== '') add(value, "''");
    else if (value.type === 'ArrayExpression' && value.elements.length > 0) add(value, '[]');
  }
}

/** A name for a mutant that stays when lines elsewhere in the file come and go. */
export function identity(source: string, mutant: Mutant): string {
  const from = source.lastIndexOf('\n', mutant.start) + 1;
  const to = source.indexOf('\n', mutant.end);
  const lines = source.slice(from, to < 0 ? source.length : to).trim();
  return hash('sha256', JSON.stringify([lines, mutant.start - from, mutant.replacement]));
}

export function mutated(source: string, { end, replacement, start }: Mutant): string {
  return source.slice(0, start) + replacement + source.slice(end);
}

/** Inside of a function, and in nothing that only tells people something. */
function within(ancestors: readonly AnyNode[]): boolean {
  let inFunction = false;
  for (const one of ancestors) {
    if (/Function|MethodDefinition/.test(one.type)) inFunction = true;
    if (one.type === 'NewExpression' && one.callee.type === 'Identifier' && ERRORS.test(one.callee.name)) return false;
    if (speaks(one)) return false;
    // Whether something is said at all.
    if (one.type === 'IfStatement' && !one.alternate && speaks(onlyOf(one.consequent))) return false;
  }
  return inFunction;
}

function speaks(node: AnyNode): boolean {
  const inner = node.type === 'ExpressionStatement' ? node.expression : node;
  const call = inner.type === 'ChainExpression' ? inner.expression : inner;
  return (
    call.type === 'CallExpression' &&
    call.callee.type === 'MemberExpression' &&
    WATCHERS.test(pathOf(call.callee.object))
  );
}

/** `this.#deps.log`; empty where it is anything but names. */
function pathOf(node: AnyNode): string {
  if (node.type === 'ThisExpression') return 'this';
  if (node.type === 'Identifier') return node.name;
  if (node.type !== 'MemberExpression' || node.computed) return '';
  const name = node.property.type === 'PrivateIdentifier' ? `#${node.property.name}` : pathOf(node.property);
  return `${pathOf(node.object)}.${name}`;
}

function isCondition(node: AnyNode, ancestors: readonly AnyNode[]): boolean {
  const parent = ancestors.at(-2);
  return (parent?.type === 'IfStatement' || parent?.type === 'ConditionalExpression') && parent.test === node;
}

/** The one statement of a block, or what stands there in place of one. */
function onlyOf(block: AnyNode): AnyNode {
  return block.type === 'BlockStatement' && block.body.length === 1 ? block.body[0]! : block;
}

function isText(node: AnyNode): boolean {
  return node.type === 'TemplateLiteral' || (node.type === 'Literal' && typeof node.value === 'string');
}

/** An expression that only stands for a character, as line ends and separators do. */
function isLiteralText(pattern: string): boolean {
  return pattern.replaceAll(/\\./g, 'x').length <= 2;
}

function short(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= 90 ? line : `${line.slice(0, 60)} … ${line.slice(-25)}`;
}

function unique(mutants: readonly Mutant[]): readonly Mutant[] {
  const seen = new Map(mutants.map((one) => [`${one.start}-${one.end}-${one.replacement}`, one]));
  return [...seen.values()].toSorted((a, b) => a.start - b.start || a.end - b.end);
}
