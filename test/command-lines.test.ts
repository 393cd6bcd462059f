/** Every command line that is printed can be pasted: what it is filled in with passes through one function. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { type AnyNode, parse } from 'acorn';
import { full } from 'acorn-walk';
import type { Command } from 'commander';
import { shellWord } from '../src/base/shell.ts';
import { program } from '../src/cli/program.ts';

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

/** A command of ours in a text, to the end of its line or sentence. */
const COMMANDS = /(?<![\w./-]|-u )postern (?!postern)((?:--home \S+ )?[a-z](?:[^\n;`|,]|,(?! ))*)/g;
/** Words after the name that belong to a sentence about it. */
const PROSE =
  /^(?:is|has|was|runs|stops|needs|and|or|of|for|then|cannot|starts|says|user|command|in|on|takes|with|to|by|from|not|itself|package)\b/;

const PROGRAM = program();

/** What is wrong with a command line, as the program itself would see it: a name or an option that does not exist. */
function unknownIn(text: string): string | undefined {
  const words = text
    .replace(/^--home \S+ /, '')
    .split(/\s+/)
    .map((word) => word.replace(/[,.:)’”"'\]]+$/, ''));
  let at: Command = PROGRAM;
  const path: Command[] = [at];
  let index = 0;
  for (; index < words.length; index++) {
    const next = at.commands.find((one) => one.name() === words[index] || one.aliases().includes(words[index]!));
    if (next === undefined) break;
    path.push((at = next));
  }
  const left = words[index] ?? '';
  if (path.length === 1) return PROSE.test(left) || left === 'help' ? undefined : `there is no command ${left}`;
  if (at.commands.length > 0 && at.registeredArguments.length === 0 && /^[a-z][a-z-]+$/.test(left) && !PROSE.test(left))
    return `${at.name()} has no command ${left}`;
  const known = path.flatMap(({ options }) => options.flatMap(({ long }) => long ?? []));
  return words
    .slice(index)
    .map((word) => /^\[?(--[a-z][a-z-]*)/.exec(word)?.[1])
    .find((option) => option !== undefined && ![...known, '--help', '--version'].includes(option));
}

function textsOf(path: string): readonly string[] {
  const texts: string[] = [];
  const source = readFileSync(join(root, path), 'utf8');
  if (path.endsWith('.json')) {
    JSON.parse(source, (_key, value: unknown) => (typeof value === 'string' && texts.push(value), value));
    return texts;
  }
  if (path.endsWith('.md')) return source.split('\n');
  full(parse(stripTypeScriptTypes(source), { ecmaVersion: 'latest', sourceType: 'module' }), (node) => {
    if (node.type === 'Literal' && typeof node.value === 'string') texts.push(node.value);
    if (node.type === 'TemplateLiteral')
      texts.push(node.quasis.map(({ value }) => value.cooked!.replace(/ $/, ' X')).join(''));
  });
  return texts;
}

test('D27: every command line that is printed or stands in a page names commands and options that exist', () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const path of globSync(['src/**/*.ts', 'src/oauth/catalogue/data/*.json', 'docs/*.md', '*.md'], {
    cwd: root,
  }).sort()) {
    // The vault names its keys in such words, too.
    if (/\.(?:test|fuzz)\.ts$|CHANGELOG|^src\/vault\//.test(path)) continue;
    for (const text of textsOf(path))
      for (const [, line] of text.matchAll(COMMANDS)) {
        seen++;
        const found = unknownIn(line!);
        if (found !== undefined) wrong.push(`${path}: postern ${line}: ${found}`);
      }
  }
  assert.ok(seen > 500, String(seen));
  assert.deepEqual(wrong, []);
});

test('D27: a command or option that does not exist is found', () => {
  assert.equal(unknownIn('sandbox fault list --all'), '--all');
  assert.equal(unknownIn('sandbox falt list'), 'sandbox has no command falt');
  assert.equal(unknownIn('mailbx list'), 'there is no command mailbx');
  assert.equal(unknownIn('sandbox fault list --stage smtp'), undefined);
});
