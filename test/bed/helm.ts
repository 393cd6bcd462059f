/**
 * As much of Helm's template language as our chart uses, so that it can be rendered where there is no helm: actions with trimming,
 * if, else, range, define, include, pipelines. A name that is not in the values is an error, where Helm renders nothing.
 */
import { createHash } from 'node:crypto';
import { stringify } from 'yaml';

type Value = unknown;
type Scope = Readonly<Record<string, Value>>;

interface Node {
  readonly type: 'text' | 'value' | 'if' | 'range' | 'define';
  readonly text: string;
  readonly children: Node[];
  readonly otherwise: Node[];
}

/** Renders templates by name, in the order of their definition. @throws on what the chart must not contain */
export class Templates {
  readonly #sources: ReadonlyMap<string, readonly Node[]>;
  readonly #defined = new Map<string, readonly Node[]>();
  readonly #root: Scope;

  constructor(files: ReadonlyMap<string, string>, root: Scope) {
    this.#root = { ...root, Template: { BasePath: '' } };
    this.#sources = new Map([...files].map(([name, text]) => [name, parse(text, name)]));
    for (const nodes of this.#sources.values())
      for (const { type, text, children } of nodes)
        if (type === 'define') this.#defined.set(String(this.#evaluate(text, this.#root)), children);
  }

  render(name: string): string {
    const nodes = this.#sources.get(name);
    if (!nodes) throw new Error(`there is no template ${name}`);
    return this.#write(nodes, this.#root);
  }

  #write(nodes: readonly Node[], scope: Value): string {
    return nodes.map((node) => this.#one(node, scope)).join('');
  }

  #one({ type, text, children, otherwise }: Node, scope: Value): string {
    if (type === 'text') return text;
    if (type === 'define') return '';
    const value = this.#evaluate(text, scope);
    if (type === 'if') return this.#write(isTrue(value) ? children : otherwise, scope);
    if (type === 'range') return (value as Value[]).map((item) => this.#write(children, item)).join('');
    if (value === undefined || value === null) throw new Error(`nothing to write for ${text}`);
    return plain(value);
  }

  #evaluate(expression: string, scope: Value): Value {
    const words = expression.match(/"(?:[^"\\]|\\.)*"|[()|]|[^\s()|]+/g) ?? [];
    let at = 0;
    const pipeline = (): Value => {
      let value: Value;
      for (let first = true; ; first = false) {
        const call: Value[] = [];
        const [name] = words.slice(at);
        while (at < words.length && words[at] !== '|' && words[at] !== ')') call.push(operand(call.length === 0));
        if (!first) call.push(value);
        value = FUNCTIONS.has(name!) || name === 'include' ? this.#call(name!, call.slice(1)) : call[0];
        if (words[at] !== '|') return value;
        at += 1;
      }
    };
    const operand = (first: boolean): Value => {
      const word = words[at++]!;
      if (word === '(') {
        const value = pipeline();
        at += 1;
        return value;
      }
      if (word.startsWith('"')) return JSON.parse(word);
      if (/^\d+$/.test(word)) return Number(word);
      if (word.startsWith('.') || word.startsWith('$.')) return this.#look(word, scope);
      if (first) return word;
      throw new Error(`${word} in ${expression} is not known`);
    };
    return pipeline();
  }

  #look(path: string, scope: Value): Value {
    const names = path
      .replace(/^\$?\./, '')
      .split('.')
      .filter(Boolean);
    // Inside a range a dot is the item, and the values are not below it.
    let value: Value = path.startsWith('$') ? this.#root : scope;
    for (const name of names) {
      if (typeof value !== 'object' || value === null || !(name in value)) throw new Error(`unknown reference ${path}`);
      value = (value as Scope)[name];
    }
    return value;
  }

  #call(name: string, given: readonly Value[]): Value {
    if (name !== 'include') return FUNCTIONS.get(name)!(...given);
    const [which, scope] = given as [string, Value];
    const nodes = this.#defined.get(which) ?? this.#sources.get(which.replace(/^\//, ''));
    if (!nodes) throw new Error(`include of ${which}, which is not defined`);
    return this.#write(nodes, scope);
  }
}

const plain = (value: Value): string =>
  typeof value === 'object' ? JSON.stringify(value) : `${value as string | number | boolean}`;
const isTrue = (value: Value): boolean =>
  typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value);

const FUNCTIONS = new Map<string, (...given: readonly Value[]) => Value>([
  ['quote', (text) => JSON.stringify(plain(text))],
  ['default', (other, value) => (isTrue(value) ? value : other)],
  [
    'nindent',
    (by, text) =>
      `\n${plain(text)
        .trimEnd()
        .replace(/^(?=.)/gm, ' '.repeat(Number(by)))}`,
  ],
  ['toYaml', (value) => stringify(value).trimEnd()],
  ['b64enc', (text) => Buffer.from(plain(text)).toString('base64')],
  ['sha256sum', (text) => createHash('sha256').update(plain(text)).digest('hex')],
  ['print', (...all) => all.map(plain).join('')],
  ['trunc', (length, text) => plain(text).slice(0, Number(length))],
  ['trimSuffix', (end, text) => (plain(text).endsWith(plain(end)) ? plain(text).slice(0, -1) : text)],
  ['int', Number],
  ['gt', (a, b) => Number(a) > Number(b)],
  ['not', (value) => !isTrue(value)],
  ['and', (...all) => all.find((value) => !isTrue(value)) ?? all.at(-1)],
  ['or', (...all) => all.find(isTrue) ?? all.at(-1)],
  [
    'fail',
    (text) => {
      throw new Error(plain(text));
    },
  ],
]);

function parse(source: string, name: string): readonly Node[] {
  const top: Node = { type: 'define', text: '', children: [], otherwise: [] };
  const open: { readonly node: Node; into: Node[] }[] = [{ node: top, into: top.children }];
  const add = (type: Node['type'], text: string): Node => {
    const node: Node = { type, text, children: [], otherwise: [] };
    open.at(-1)!.into.push(node);
    return node;
  };
  const trimmed = source.replace(/\s*\{\{-/g, '{{').replace(/-\}\}\s*/g, '}}');
  for (const piece of trimmed.split(/(\{\{[^]*?\}\})/)) {
    const [, word = '', rest = ''] = /^\{\{\s*(\S+)\s*([^]*?)\s*\}\}$/.exec(piece) ?? [];
    if (!piece.startsWith('{{')) add('text', piece);
    else if (word === 'if' || word === 'range' || word === 'define') {
      const node = add(word, rest);
      open.push({ node, into: node.children });
    } else if (word === 'else') open.at(-1)!.into = open.at(-1)!.node.otherwise;
    else if (word === 'end') open.pop();
    else add('value', `${word} ${rest}`);
    if (open.length === 0) throw new Error(`${name}: an end too many`);
  }
  if (open.length !== 1) throw new Error(`${name}: an end is missing`);
  return top.children;
}
