/** The generated pages are what the code says now. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { pages } from '../scripts/docs.ts';

const root = resolve(import.meta.dirname, '..');

for (const [path, text] of pages()) {
  test(`${path} is up to date (npm run docs)`, () => {
    assert.equal(readFileSync(join(root, path), 'utf8'), text);
  });
}

test('every command has an example', () => {
  const page = pages().get('docs/cli.md')!;
  const sections = page.split(/^## /m).slice(1);
  assert.ok(sections.length > 12);
  assert.deepEqual(
    sections.filter((section) => !section.includes('```sh')).map((section) => section.split('\n')[0]),
    [],
  );
});

test('D30: no page has a section without a word, and no section twice; optional arguments are shown as such', () => {
  const wrong: string[] = [];
  for (const path of globSync(['docs/*.md', '*.md'], { cwd: root })) {
    const lines = readFileSync(join(root, path), 'utf8')
      .replace(/```[^]*?```/g, 'code')
      .split('\n')
      .filter((line) => line !== '');
    const level = (line: string | undefined): number => /^(#+) /.exec(line ?? '')?.[1]?.length ?? 9;
    for (const [at, line] of lines.entries())
      if (level(line) < 9 && level(lines[at + 1]) <= level(line)) wrong.push(`${path}: ${line} is empty`);
    const sections = lines.filter((line) => line.startsWith('## '));
    if (path !== 'CHANGELOG.md')
      wrong.push(
        ...sections.filter((line, at) => sections.indexOf(line) !== at).map((line) => `${path}: ${line} twice`),
      );
  }
  assert.deepEqual(wrong, []);
  const commands = readFileSync(join(root, 'docs/cli.md'), 'utf8');
  assert.match(commands, /^## `postern check \[address\]`$/m);
  assert.match(commands, /^## `postern explain \[what\.\.\.\]`$/m);
});
