/** Every command line that is printed can be pasted: what it is filled in with passes through one function. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { type AnyNode, parse } from 'acorn';
import { full } from 'acorn-walk';
import { shellWord } from '../src/base/shell.ts';

const root = resolve(import.meta.dirname, '..');

test('B18: an argument means the same to a shell as to us', () => {
  for (const text of [
    "o'neil@x.test",
    'a b',
    '$(id)',
    '`id`',
    '"',
    '\\',
    '*@x.test',
    "''",
    '',
    '~',
    '#a',
    '!x',
    'ü@x.test',
    'a&b;c|d<e>f',
    '{a,b}',
  ])
    assert.equal(execFileSync('/bin/sh', ['-c', `printf %s ${shellWord(text)}`]).toString(), text, text);
  assert.equal(shellWord('alice+x@example.com'), 'alice+x@example.com');
  assert.equal(shellWord('a\n\u001b[2Jb'), "'a[2Jb'");
});

/** A command of ours begins in this text and has not ended in it: what follows is an argument of it. */
const OPEN = /(?:^|[\s:(`$])postern [a-z][^;\n`]*$/;
/** Words that end a command inside a sentence. */
const SENTENCE = /(?:, (?:then|or|and) (?!postern)|\) |\. )/;

function isFixed(node: AnyNode): boolean {
  switch (node.type) {
    case 'Literal':
      return true;
    case 'TemplateLiteral':
      return node.expressions.every(isSafe);
    case 'ConditionalExpression':
      return isFixed(node.consequent) && isFixed(node.alternate);
    default:
      return false;
  }
}
/** Quoted, made of fixed words only, or a constant of ours. */
function isSafe(node: AnyNode): boolean {
  if (isFixed(node)) return true;
  if (node.type === 'Identifier') return /^(?:[A-Z_]+|cloud)$/.test(node.name);
  if (node.type !== 'CallExpression') return false;
  if (node.callee.type === 'Identifier') return node.callee.name === 'shellWord';
  // Names of protocols: imap,pop3,smtp.
  return (
    node.callee.type === 'MemberExpression' &&
    node.callee.property.type === 'Identifier' &&
    node.callee.property.name === 'join'
  );
}

test('B18: no printed command line is filled in without quoting', () => {
  const bare: string[] = [];
  let seen = 0;
  for (const file of globSync('src/**/*.ts', { cwd: root })) {
    if (/\.(?:test|fuzz)\.ts$/.test(file) || file.startsWith('src/vault/')) continue;
    const code = stripTypeScriptTypes(readFileSync(join(root, file), 'utf8'), { mode: 'strip' });
    full(parse(code, { ecmaVersion: 'latest', sourceType: 'module', locations: true }), (node) => {
      if (node.type !== 'TemplateLiteral') return;
      let before = '';
      for (const [at, { value }] of node.quasis.entries()) {
        before += value.cooked ?? value.raw;
        const expression = node.expressions[at];
        const line = before.slice(Math.max(0, before.lastIndexOf('postern ') - 1));
        if (expression && OPEN.test(before) && !SENTENCE.test(line)) {
          seen += 1;
          if (!isSafe(expression))
            bare.push(`${file}:${node.loc?.start.line}: ${code.slice(node.start, node.end).slice(0, 160)}`);
        }
        before += 'x';
      }
    });
  }
  assert.deepEqual(bare, []);
  assert.ok(seen > 50, `${seen}`);
});
