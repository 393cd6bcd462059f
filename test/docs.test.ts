/** The generated pages are what the code says now. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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
