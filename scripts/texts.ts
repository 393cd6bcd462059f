/**
 * Every text that a person can meet, in one list to be read:
 *
 *   node scripts/texts.ts          file:line and the text, values as {}
 *
 * Whatever the code has as a string or template of three words or more, the hints and sentences of the catalogue of errors, and the
 * lines of the documents. test/words.test.ts holds them against the list of words that are not used.
 */
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { parse } from 'acorn';
import { full } from 'acorn-walk';

const root = resolve(import.meta.dirname, '..');

export interface Text {
  readonly at: string;
  readonly text: string;
}

/** @param least words, so that names and values of settings stay out */
export function textsOfCode(least = 3): readonly Text[] {
  const found: Text[] = [];
  for (const file of globSync('src/**/*.ts', { cwd: root }).sort()) {
    if (/\.(?:test|fuzz)\.ts$/.test(file)) continue;
    const code = stripTypeScriptTypes(readFileSync(join(root, file), 'utf8'), { mode: 'strip' });
    full(parse(code, { ecmaVersion: 'latest', sourceType: 'module', locations: true }), (node) => {
      const text =
        node.type === 'Literal' && typeof node.value === 'string'
          ? node.value
          : node.type === 'TemplateLiteral'
            ? node.quasis.map(({ value }) => value.cooked ?? '').join('{}')
            : '';
      if (text.split(/\s+/).filter((word) => /[a-z]{2}/.test(word)).length >= least && !SQL.test(text))
        found.push({ at: `${file}:${node.loc?.start.line ?? 0}`, text });
    });
  }
  for (const file of globSync('src/**/*.json', { cwd: root }).sort()) found.push(...linesOf(file, /"/));
  return found;
}

/** Of documents that people read, line by line. */
export function textsOfDocuments(): readonly Text[] {
  const files = globSync(['*.md', 'docs/*.md', 'examples/*.md', 'packaging/**/*.md', 'src/*/README.md'], { cwd: root });
  return files.sort().flatMap((file) => (file === 'CHANGELOG.md' ? [] : linesOf(file, /[a-z]{2}/)));
}

function linesOf(file: string, wanted: RegExp): readonly Text[] {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  return lines.flatMap((text, index) => (wanted.test(text) ? [{ at: `${file}:${index + 1}`, text: text.trim() }] : []));
}

const SQL = /^\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|PRAGMA|DROP|WITH|LOCK)\b/;

if (process.argv[1] === import.meta.filename)
  for (const { at, text } of textsOfCode()) process.stdout.write(`${at}\t${text.replaceAll('\n', '⏎')}\n`);
