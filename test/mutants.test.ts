/** The mutants of `npm run mutate` are what they say, and the named ones still fit the code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { mutantsOf, mutated } from '../scripts/mutation/mutants.ts';
import { NAMED } from './mutants.ts';

const root = resolve(import.meta.dirname, '..');

test('each named mutant fits one place of its file, and is a program', () => {
  for (const { becomes, file, name, was } of NAMED) {
    const source = readFileSync(join(root, file), 'utf8');
    assert.equal(source.split(was).length, 2, `${name}: ${file}`);
    stripTypeScriptTypes(source.replace(was, () => becomes));
  }
});

test('conditions, comparisons, arithmetic, statements and literals are changed; words for people are not', () => {
  const source = `
    const LEAST = 3 - 1;
    export function judge(log: Log, list: readonly number[], most?: number): boolean {
      log.info({ count: list.length + 1 }, 'judged');
      if (list.length > LEAST && most !== undefined) throw new PosternError('a', { hint: most > 1 ? 'b' : 'c' });
      list.push(Math.min(1, 2));
      return false;
    }`;
  assert.deepEqual(
    mutantsOf(source).map(({ line, says }) => `${line} ${says}`),
    [
      '5 list.length > LEAST && most !== undefined → true',
      '5 list.length > LEAST && most !== undefined → false',
      '5 list.length > LEAST: > → >=',
      '5 list.length > LEAST && most !== undefined: && → ||',
      '5 most !== undefined: !== → ===',
      '6 list.push(Math.min(1, 2)); → ;',
      '6 min → max',
      '7 false → true',
    ],
  );
  for (const mutant of mutantsOf(source)) assert.notEqual(mutated(source, mutant), source);
});

test('every mutant of every kind of file can be read by the engine', () => {
  for (const file of ['src/outbox/deliver/attempt.ts', 'src/gateway/reuse.ts', 'src/store/table/leases.ts']) {
    const source = readFileSync(join(root, file), 'utf8');
    for (const mutant of mutantsOf(source)) stripTypeScriptTypes(mutated(source, mutant));
  }
});
