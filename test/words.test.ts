/**
 * Words that are not used: archaic ones, and names that the glossary (ARCHITECTURE.md, “Words”) has another word for. Whatever a
 * person can meet is held against them, and the comments and names of the code as well.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { type Text, textsOfCode, textsOfDocuments } from '../scripts/texts.ts';

const root = resolve(import.meta.dirname, '..');

/** What is not written, and what instead. */
const NOT_USED: readonly (readonly [RegExp, string])[] = [
  [/\banew\b/i, 'again'],
  [/\bhasten/i, 'make due, send now'],
  [/\bmend(?:s|ed|ing)?\b/i, 'correct, repair, fix'],
  [/\bshall\b/i, 'is to, will, or the present'],
  [/\b(?:whence|hither|thither|thereof|therein|henceforth|hereby|amiss|betwixt|lest|nigh)\b/i, 'a word of today'],
  [/\bis(?: not)? to be had\b/i, 'exists, is available'],
  [/\b(?:is|are) none of ours\b/i, 'was not made by Postern'],
  [/\bbe told of\b/i, 'hear of, know about'],
  [/\b(?:gets?|get) no mail (?:any more|from every)\b/i, 'nothing is sent to it'],
  [/\blet an address get\b/i, 'send to an address'],
  [/\bprovider (?:add|set|list|show|remove|credential)\b/, 'application (the command)'],
  [/--provider\b/, '--application'],
  [/\bMOST_[A-Z]/, 'MAX_'],
];

function problems(texts: readonly Text[]): readonly string[] {
  return texts.flatMap(({ at, text }) =>
    NOT_USED.flatMap(([pattern, instead]) => {
      const found = pattern.exec(text)?.[0];
      return found === undefined || isQuoted(at, found) ? [] : [`${at}: “${found}”: ${instead}`];
    }),
  );
}

/** Where a word stands because it is another's: the old words of the command line. */
function isQuoted(at: string, word: string): boolean {
  return /^src\/cli\/renamed\b/.test(at) && word.includes('provider');
}

test('what a person can read has no word that is not used', () => {
  assert.deepEqual(problems([...textsOfCode(1), ...textsOfDocuments()]), []);
});

test('nor have the comments and names of the code', () => {
  const lines = globSync('{src,scripts,bench,examples}/**/*.ts', { cwd: root }).flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .map((text, index): Text => ({ at: `${file}:${index + 1}`, text })),
  );
  assert.deepEqual(problems(lines), []);
});
